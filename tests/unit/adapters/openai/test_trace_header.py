"""A traced call tells the server of its trace, and no other call does."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.trace_context import TraceContext, calling

CONTEXT = TraceContext(int("a" * 32, 16), int("b" * 16, 16), sampled=True, state="vendor=internal")


@pytest.fixture
async def seen() -> AsyncIterator[tuple[OpenAICalls, list[dict[str, str]]]]:
    given: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        given.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"choices": [{"message": {"content": "Hi"}}]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        access = OpenAIAccess("sk-any", str(server.make_url("/v1")), None, None, timeout_s=5, connections_max=2)
        calls = OpenAICalls(access)
        yield calls, given
        await calls.close()


async def test_a_traced_call_carries_its_own_context_and_no_state_of_other_systems(
    seen: tuple[OpenAICalls, list[dict[str, str]]],
) -> None:
    calls, given = seen
    token = calling.set(CONTEXT)
    await calls.call("chat.completions", {"model": "m"}, "lead-1")
    calling.reset(token)
    assert given[0]["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert given[0]["x-client-request-id"] == "lead-1"
    assert "tracestate" not in given[0]


async def test_a_call_that_is_not_traced_carries_none(seen: tuple[OpenAICalls, list[dict[str, str]]]) -> None:
    calls, given = seen
    await calls.call("chat.completions", {"model": "m"}, "lead-1")
    await calls.models()
    assert not any("trace" in name for headers in given for name in headers)
