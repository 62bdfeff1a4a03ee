import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, AuthenticationError, InternalServerError, RateLimitError

from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "12345678"}]}
CHARGE = 2 + 1 + 1


def served(**settings: Any) -> Upstream:
    return Upstream(UpstreamSettings(**({"latency_s": (0.0, 0.01)} | settings)))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"authorization": "Bearer anything"}) as session:
        yield session


async def until(true: Callable[[], bool]) -> None:
    """The books have no event to wait for; the test's own timeout bounds this."""
    while not true():
        await asyncio.sleep(0.001)


async def stats(http: aiohttp.ClientSession, upstream: Upstream, query: str = "") -> dict[str, Any]:
    async with http.get(f"{upstream.root_url}/stats{query}") as answer:
        return dict(await answer.json())


async def test_the_sdk_reads_answers_headers_and_embeddings() -> None:
    async with served() as upstream, AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(**HELLO)
        completion = raw.parse()
        assert completion.choices[0].message.content
        assert completion.usage is not None
        assert raw.headers["x-ratelimit-limit-tokens"] == "200000"
        assert int(raw.headers["x-ratelimit-remaining-tokens"]) == 200_000 - CHARGE
        assert raw.headers["openai-version"] == "2020-10-01"
        assert raw.headers["x-request-id"].startswith("req_")
        assert raw.headers["openai-processing-ms"].isdigit()
        assert raw.headers["date"].endswith("GMT")
        response = await client.responses.create(model="gpt-4.1", input="Hello")
        assert response.output_text
        embedding = await client.embeddings.create(model="text-embedding-3-small", input="Hello")
        assert len(embedding.data[0].embedding) == 1_536


async def test_the_sdk_raises_the_error_classes_it_raises_for_openai() -> None:
    async with served(requests_per_minute=1) as upstream:
        async with AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client:
            await client.chat.completions.create(**HELLO)
            with pytest.raises(RateLimitError, match=r"Limit 1, Used 1, Requested 1\. Please try again in ") as caught:
                await client.chat.completions.create(**HELLO)
            assert caught.value.code == "rate_limit_exceeded"
            assert caught.value.type == "requests"
            assert int(caught.value.response.headers["retry-after"]) == 60
        async with AsyncOpenAI(base_url=upstream.base_url, api_key="wrong", max_retries=0) as client:
            with pytest.raises(AuthenticationError):
                await client.chat.completions.create(**HELLO)


async def test_the_books_agree_with_what_was_called(http: aiohttp.ClientSession) -> None:
    async with served(requests_per_minute=2) as upstream:
        for request_id in ("a", "b", "a"):
            headers = {"X-Client-Request-Id": request_id}
            async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO, headers=headers) as answer:
                await answer.read()
        async with http.post(f"{upstream.base_url}/nowhere", json={}) as answer:
            assert answer.status == 404
            assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}
        told = await stats(http, upstream, "?ids=1")
        assert (told["calls"], told["admitted"], told["completed"]) == (4, 2, 2)
        assert (told["throttled"], told["client_errors"], told["server_errors"]) == (1, 1, 0)
        assert told["charged_tokens"] == 2 * CHARGE
        assert told["charged_by_model"] == {"gpt-4o-mini": 2 * CHARGE}
        assert told["ids"] == {
            "a": {"calls": 2, "admitted": 1, "answered": 1},
            "b": {"calls": 1, "admitted": 1, "answered": 1},
        }
        assert told["inflight"] == 0
        assert "ids" not in await stats(http, upstream)
        assert upstream.books().as_json() == await stats(http, upstream)


async def test_a_reset_opens_new_books_and_fills_the_buckets(http: aiohttp.ClientSession) -> None:
    async with served(requests_per_minute=1) as upstream:
        for _ in range(2):
            async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO) as answer:
                assert answer.status == 200
            async with http.post(f"{upstream.root_url}/reset") as answer:
                assert answer.status == 200
            assert upstream.books().calls == 0


async def test_a_client_that_hangs_up_mid_call_keeps_its_charge(http: aiohttp.ClientSession) -> None:
    async with served(latency_s=(60.0, 60.0)) as upstream:
        call = asyncio.create_task(http.post(f"{upstream.base_url}/chat/completions", json=HELLO))
        await until(lambda: upstream.books().admitted == 1)
        assert upstream.books().inflight == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: upstream.books().inflight == 0)
        told = upstream.books(ids=True)
        assert (told.calls, told.admitted, told.completed, told.disconnected) == (1, 1, 0, 1)
        assert told.charged_tokens == CHARGE
        assert told.ids is not None
        assert [count.answered for count in told.ids.values()] == [0]


async def test_calls_wait_side_by_side(http: aiohttp.ClientSession) -> None:
    async def call(upstream: Upstream) -> int:
        async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO) as answer:
            await answer.read()
            return answer.status

    async with served(latency_s=(0.2, 0.2)) as upstream:
        async with asyncio.timeout(1.5):
            assert await asyncio.gather(*(call(upstream) for _ in range(40))) == [200] * 40
        assert upstream.books().inflight_max == 40


async def test_a_script_answers_with_a_page_an_error_or_a_cut_line(http: aiohttp.ClientSession) -> None:
    async with served() as upstream, AsyncOpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client:
        upstream.script(lambda *_: Scripted(502, "<html>502 Bad Gateway</html>"))
        with pytest.raises(InternalServerError) as caught:
            await client.chat.completions.create(**HELLO)
        assert caught.value.body == "<html>502 Bad Gateway</html>"
        upstream.script(lambda *_: Scripted(dropped=True))
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"{upstream.base_url}/chat/completions", json=HELLO)
        told = upstream.books()
        assert (told.server_errors, told.disconnected, told.admitted) == (1, 1, 1)
        upstream.script(None)
        assert (await client.chat.completions.create(**HELLO)).choices


@pytest.mark.parametrize("answer", [{}, {"dropped": True}, {"status": 503, "body": "<html>"}])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_that_is_held_ends_when_it_is_released_and_others_before(
    http: aiohttp.ClientSession, answer: dict[str, Any], *, streamed: bool
) -> None:
    async def call() -> int:
        try:
            async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO | {"stream": streamed}) as reply:
                await reply.read()
                return reply.status
        except aiohttp.ServerDisconnectedError:
            return 0

    held = asyncio.Event()
    async with served() as upstream:
        upstream.script(lambda number, _: Scripted(held=held, delay_s=0.0, **answer) if number == 1 else None)
        first = asyncio.create_task(call())
        await until(lambda: upstream.books().calls == 1)
        assert [await call() for _ in range(3)] == [200] * 3
        assert (upstream.books().inflight, first.done()) == (1, False)
        held.set()
        assert await first == (0 if answer.get("dropped") else answer.get("status", 200))


async def test_a_held_call_whose_client_leaves_is_in_flight_no_more(http: aiohttp.ClientSession) -> None:
    async with served() as upstream:
        upstream.script(lambda *_: Scripted(held=asyncio.Event()))
        call = asyncio.create_task(http.post(f"{upstream.base_url}/chat/completions", json=HELLO))
        await until(lambda: upstream.books().calls == 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: upstream.books().inflight == 0)
        assert (upstream.books().disconnected, upstream.books().completed) == (1, 0)


async def test_a_taken_port_is_said_at_once() -> None:
    async with served() as upstream:
        port = int(upstream.root_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with served(port=port):
                pass


async def test_leaving_does_not_wait_for_calls_in_flight(http: aiohttp.ClientSession) -> None:
    async with served(latency_s=(60.0, 60.0)) as upstream:
        call = asyncio.create_task(http.post(f"{upstream.base_url}/chat/completions", json=HELLO))
        await until(lambda: upstream.books().admitted == 1)
    with pytest.raises(aiohttp.ClientError):
        await call


async def test_behaviours_are_played_over_http(http: aiohttp.ClientSession) -> None:
    played = (behaviour("law-usage"), behaviour("project-limits"), behaviour("quantised-1s"))
    async with served(tokens_per_minute=6_000, behaviours=played) as upstream:  # 100 tokens refill in a second
        asked_s = asyncio.get_running_loop().time()
        async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO) as answer:
            took_s = asyncio.get_running_loop().time() - asked_s
            usage = (await answer.json())["usage"]
            remaining = int(answer.headers["x-ratelimit-remaining-tokens"])
            assert answer.headers["x-ratelimit-limit-project-tokens"] == "3000"
        assert remaining <= 6_000 - usage["completion_tokens"] + 100 * took_s + 1  # settled when the headers were sent
        told = (await stats(http, upstream))["accounts"]["gpt-4o-mini"]
    assert told["tokens"]["charged"] == usage["total_tokens"]
    touched = told["tokens"]["offered"] / 100  # windows of a second
    assert touched in range(1, int(took_s) + 3)
    assert told["requests"] == {"offered": 8, "charged": 1, "foreign": 0, "refused": 0, "wasted": 0, "share": 0.125}


async def test_a_dropped_connection_is_one_over_http_and_a_page_is_a_page(http: aiohttp.ClientSession) -> None:
    async with served(behaviours=(behaviour("dropped", rate=1.0),)) as upstream:
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"{upstream.base_url}/chat/completions", json=HELLO)
        assert (upstream.books().admitted, upstream.books().disconnected) == (1, 1)
    async with served(requests_per_minute=1, behaviours=(behaviour("gateway-html"),)) as upstream:
        for status in (200, 429):
            async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO) as answer:
                assert answer.status == status
                assert not [name for name in answer.headers if "ratelimit" in name.lower()]
        assert answer.content_type == "text/html"


async def test_a_behaviour_counts_its_seconds_from_the_last_reset(http: aiohttp.ClientSession) -> None:
    async with served(behaviours=(behaviour("quota-gone", from_s=0, to_s=3_600),)) as upstream:
        for _ in range(2):
            async with http.post(f"{upstream.base_url}/chat/completions", json=HELLO) as answer:
                assert (await answer.json())["error"]["code"] == "insufficient_quota"
            upstream.reset()
