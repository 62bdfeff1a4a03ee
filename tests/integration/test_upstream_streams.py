import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any

import aiohttp
import pytest
from openai import APIConnectionError, APIError, AsyncOpenAI, DefaultAioHttpClient, RateLimitError
from openai.types.responses import Response, ResponseCompletedEvent, ResponseTextDeltaEvent

from headrace.broker.simulator.streams import Break, Manner
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.unit.simulator.asking import ASKED, HELLO

ID = {"X-Client-Request-Id": "lead-1"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0))) as upstream:
        yield upstream


@pytest.fixture(params=["default transport", "aiohttp"])
async def client(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[AsyncOpenAI]:
    transport: dict[str, Any] = {"http_client": DefaultAioHttpClient()} if request.param == "aiohttp" else {}
    async with AsyncOpenAI(
        base_url=upstream.base_url, api_key="any", max_retries=0, default_headers=ID, **transport
    ) as client:
        yield client


def broken(upstream: Upstream, manner: Manner, after_deltas: int) -> None:
    upstream.script(lambda *_: Scripted(broken=Break(manner, after_deltas)))


async def until(true: Callable[[], bool]) -> None:
    """The books have no event to wait for; the test's own timeout bounds this."""
    while not true():
        await asyncio.sleep(0.001)


async def told_by_chat(client: AsyncOpenAI, heard: list[str] | None = None) -> str:
    """The whole text; what came of it so far is in `heard`, whatever happens then."""
    heard = [] if heard is None else heard
    async for chunk in await client.chat.completions.create(**HELLO, stream=True):
        heard.append(chunk.choices[0].delta.content or "")
    return "".join(heard)


async def test_a_chat_stream_is_the_answer_and_the_usage_of_the_same_call_without_it(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**HELLO)
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            **HELLO, stream=True, stream_options={"include_usage": True}
        )
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


async def test_a_response_stream_is_the_answer_and_the_usage_of_the_same_call_without_it(client: AsyncOpenAI) -> None:
    whole: Response = await client.responses.create(**ASKED)
    events = [event async for event in await client.responses.create(**ASKED, stream=True)]
    assert "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)) == whole.output_text
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    assert (last.response.output_text, last.response.usage) == (whole.output_text, whole.usage)
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_the_sdks_own_readers_of_events_accept_both(client: AsyncOpenAI) -> None:
    async with client.responses.stream(**ASKED) as events:
        response = await events.get_final_response()
    assert response.output_text
    async with client.chat.completions.stream(**HELLO) as chunks:
        completion = await chunks.get_final_completion()
    assert completion.choices[0].message.content


async def test_a_stream_carries_the_headers_of_an_answer(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(**HELLO, stream=True)
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert raw.headers["x-ratelimit-remaining-requests"] == "499"
    assert raw.headers["x-request-id"].startswith("req_")
    assert [chunk async for chunk in raw.parse()]


@pytest.mark.parametrize("after_deltas", [0, 3, 10_000])
async def test_a_cut_raises_what_the_sdk_raises_for_a_lost_connection(
    client: AsyncOpenAI, upstream: Upstream, after_deltas: int
) -> None:
    whole_heard: list[str] = []
    whole = await told_by_chat(client, whole_heard)
    broken(upstream, Manner.CUT, after_deltas)
    heard: list[str] = []
    with pytest.raises(APIConnectionError):
        await told_by_chat(client, heard)
    assert whole.startswith("".join(heard))
    assert len(heard) == (0 if after_deltas == 0 else 4 if after_deltas == 3 else len(whole_heard) - 1)
    with pytest.raises(APIConnectionError):
        async for _ in await client.responses.create(**ASKED, stream=True):
            pass


async def test_an_error_in_the_middle_raises_what_the_sdk_raises_for_one(
    client: AsyncOpenAI, upstream: Upstream
) -> None:
    broken(upstream, Manner.ERROR, 2)
    with pytest.raises(APIError) as caught:
        await told_by_chat(client)
    assert (caught.type, caught.value.type) == (APIError, "server_error")
    with pytest.raises(APIError) as caught:
        async for _ in await client.responses.create(**ASKED, stream=True):
            pass
    assert caught.value.code == "server_is_overloaded"
    broken(upstream, Manner.FAILED, 2)
    events = [event async for event in await client.responses.create(**ASKED, stream=True)]
    assert events[-1].type == "response.failed"


async def test_a_refusal_before_the_stream_is_a_plain_one() -> None:
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0), requests_per_minute=1)) as upstream:
        async with AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client:
            assert await told_by_chat(client)
            with pytest.raises(RateLimitError) as caught:
                await told_by_chat(client)
        assert caught.value.response.headers["content-type"].startswith("application/json")
        assert (upstream.books().streams.started, upstream.books().throttled) == (1, 1)


async def test_a_stream_takes_as_long_as_the_answer_and_begins_early() -> None:
    async with (
        Upstream(UpstreamSettings(latency_s=(0.3, 0.5))) as upstream,
        AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0, default_headers=ID) as client,
    ):
        begun = monotonic()
        await client.chat.completions.create(**HELLO)
        whole_s = monotonic() - begun
        begun = monotonic()
        arrivals = [monotonic() - begun async for _ in await client.chat.completions.create(**HELLO, stream=True)]
    assert min(whole_s, arrivals[-1]) >= 0.3
    assert arrivals[-1] == pytest.approx(whole_s, abs=0.5)  # a busy machine, not the pace
    assert arrivals[0] < 0.6 * arrivals[-1]
    assert len([at_s for at_s in arrivals if arrivals[0] + 0.01 < at_s < arrivals[-1] - 0.01]) > 5


async def test_the_books_tell_how_streams_ended_and_keep_every_charge(upstream: Upstream) -> None:
    async with aiohttp.ClientSession(headers={"authorization": "Bearer any"}) as http:

        async def call(request_id: str) -> None:
            headers = {"x-client-request-id": request_id}
            body = HELLO | {"stream": True}
            async with http.post(f"{upstream.base_url}/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 200
                await answer.read()

        await call("whole")
        for request_id, manner in (("cut", Manner.CUT), ("failed", Manner.ERROR)):
            broken(upstream, manner, 2)
            try:
                await call(request_id)
            except aiohttp.ClientPayloadError:
                assert request_id == "cut"
    told = upstream.books(ids=True).as_json()
    assert told["streams"] == {"started": 3, "completed": 1, "cut": 1, "errored": 1, "abandoned": 0}
    assert (told["completed"], told["admitted"], told["server_errors"], told["disconnected"]) == (1, 3, 0, 0)
    assert told["charged_tokens"] % 3 == 0
    assert {request_id: count["answered"] for request_id, count in told["ids"].items()} == {
        "whole": 1,
        "cut": 0,
        "failed": 0,
    }
    assert told["ids"]["cut"]["streams"]["cut"] == told["ids"]["failed"]["streams"]["errored"] == 1


async def test_a_client_that_leaves_in_the_middle_is_noted() -> None:
    async with (
        Upstream(UpstreamSettings(latency_s=(60.0, 60.0))) as upstream,
        AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client,
    ):
        upstream.script(lambda *_: Scripted(delay_s=2.0))
        stream = await client.responses.create(**ASKED, stream=True)
        async with aclosing(stream):
            async for event in stream:
                assert event.type == "response.created"
                break
        await until(lambda: upstream.books().inflight == 0)
        told = upstream.books()
    assert (told.streams.started, told.streams.abandoned, told.disconnected, told.completed) == (1, 1, 1, 0)
    assert told.admitted == 1


async def test_leaving_does_not_wait_for_a_stream() -> None:
    async with Upstream(UpstreamSettings(latency_s=(60.0, 60.0))) as upstream:
        client = AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0)
        call = asyncio.create_task(told_by_chat(client))
        await until(lambda: upstream.books().admitted == 1)
    with pytest.raises(APIConnectionError):
        await call
    await client.close()
