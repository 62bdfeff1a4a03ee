"""The server span of a call: below its client's, with what was asked and answered, and with no prompt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from headrace.broker.gateway.http.request_keys import KEY, LANE
from headrace.broker.gateway.http.traced import SERVING, ServerSpans
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.observability.spans import SERVE, Attribute
from headrace.broker.testing.spans import MemorySpans
from headrace.broker.trace_context import TraceContext, read_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHAT = "/v1/chat/completions"


@asynccontextmanager
async def serving(spans: MemorySpans, status: int = 200) -> AsyncIterator[tuple[aiohttp.ClientSession, list[object]]]:
    seen: list[object] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.get(SERVING))
        request[KEY], request[LANE] = ClientKey(name="ingest", tenant="acme"), "urgent"
        return web.Response(status=status)

    app = web.Application(middlewares=[ServerSpans(spans).around])
    app.add_routes([web.post(CHAT, handle), web.get("/v1/models", handle)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session, seen
    finally:
        await runner.cleanup()


async def test_a_call_has_a_span_below_its_clients() -> None:
    spans = MemorySpans()
    async with serving(spans) as (session, seen):
        given = {"traceparent": PARENT}
        async with session.post(CHAT, json={"prompt": "secret"}, headers=given) as answer:
            assert answer.status == 200
    [span] = spans.ended
    assert (span.row, span.target, span.parent, span.error) == (SERVE, CHAT, read_context(PARENT), "")
    assert seen == [span.context], "what the call's record names as its parent"
    assert span.context.trace_id == int(PARENT[3:35], 16)
    assert span.attributes[Attribute.HTTP_STATUS] == 200
    assert span.attributes[Attribute.LANE] == "urgent"
    assert "acme" not in str(span.attributes), "a tenant is a hash"
    assert span.start_ns <= span.end_ns


async def test_a_call_without_a_context_begins_a_trace() -> None:
    spans = MemorySpans()
    async with serving(spans) as (session, _):
        for _ in range(2):
            async with session.post(CHAT):
                pass
    assert [span.parent for span in spans.ended] == [None, None]
    assert len({span.context.trace_id for span in spans.ended}) == 2


async def test_what_its_client_does_not_sample_is_not_exported_and_still_carried() -> None:
    spans = MemorySpans()
    async with serving(spans) as (session, seen), session.post(CHAT, headers={"traceparent": PARENT[:-1] + "0"}):
        pass
    assert spans.ended == []
    [context] = seen
    assert isinstance(context, TraceContext)
    assert not context.sampled


@pytest.mark.parametrize(("status", "error"), [(504, "504"), (499, "hung_up"), (400, "")])
async def test_only_what_the_server_or_the_wire_failed_is_an_error(status: int, error: str) -> None:
    spans = MemorySpans()
    async with serving(spans, status) as (session, _), session.post(CHAT):
        pass
    assert [span.error for span in spans.ended] == [error]


async def test_a_look_at_the_models_is_no_span() -> None:
    spans = MemorySpans()
    async with serving(spans) as (session, seen), session.get("/v1/models"):
        pass
    assert (spans.ended, seen) == ([], [None])
