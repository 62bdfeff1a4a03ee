"""The door to OpenAI, held to the contract before the simulated OpenAI, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.core.answers.verdict import Meaning, judge
from headrace.broker.simulator.streams import Break, Manner
from headrace.broker.simulator.upstream import Scripted, UpstreamSettings
from headrace.broker.simulator.upstream import Upstream as Simulated
from headrace.schemas.delta import Delta
from tests.contract.upstream_contract import HELLO, TIMEOUT_S, Served, Stops, UpstreamContract

_LONG_S = 30.0


class _Simulated:
    def __init__(self, simulated: Simulated) -> None:
        self.simulated = simulated
        self.bodies: list[Mapping[str, Any]] = []

    def upstream(self, served: Served) -> OpenAICalls:
        def script(_: int, body: Mapping[str, Any]) -> Scripted:
            self.bodies.append(body)
            if served.line == "silent":
                return Scripted(200, {}, delay_s=_LONG_S)
            return Scripted(served.status, served.body, served.headers, dropped=served.line == "cut")

        self.simulated.script(script)
        return self.door(served)

    def telling(self, stops: Stops = "at its end", *, after: int = 0) -> OpenAICalls:
        broken = {"cut": Break(Manner.CUT, after), "error": Break(Manner.ERROR, after)}.get(stops)

        def script(_: int, body: Mapping[str, Any]) -> Scripted:
            self.bodies.append(body)
            return Scripted(delay_s=0.0, broken=broken)

        self.simulated.script(script)
        return self.door()

    def door(self, served: Served | None = None) -> OpenAICalls:
        base_url = (
            f"http://127.0.0.1:{closed_port()}/v1"
            if served is not None and served.line == "refused"
            else self.simulated.base_url
        )
        return OpenAICalls(OpenAIAccess("sk-any", base_url, None, None, timeout_s=TIMEOUT_S, connections_max=4))

    @property
    def ids(self) -> dict[str, int]:
        return {request_id: count.calls for request_id, count in (self.simulated.books(ids=True).ids or {}).items()}


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class TestOpenAICalls(UpstreamContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[_Simulated]:
        async with Simulated(UpstreamSettings()) as simulated:
            yield _Simulated(simulated)

    @pytest.mark.parametrize("manner", [Manner.ERROR, Manner.FAILED])
    async def test_a_response_that_fails_in_its_stream_says_why(self, world: _Simulated, manner: Manner) -> None:
        world.simulated.script(lambda *_: Scripted(delay_s=0.0, broken=Break(manner, 2)))
        door = world.door()
        reply = await door.call("responses", {"model": "gpt-4.1", "input": "x"}, "lead-1", lambda _: None)
        if manner is Manner.ERROR:
            assert (reply.answer.status, reply.answer.error_code) == (200, "server_is_overloaded")
            assert judge(reply.answer).meaning is Meaning.OVERLOADED
        else:
            assert json.loads(reply.body or "")["error"]["code"] == "server_error"
        await door.close()

    async def test_a_gateway_that_does_not_stream_is_read_whole(self, world: _Simulated) -> None:
        told: list[Delta] = []
        door = world.upstream(Served(200, {"id": "chatcmpl-1", "choices": []}))
        reply = await door.call("chat.completions", HELLO, "lead-1", told.append)
        assert (reply.answer.status, json.loads(reply.body or ""), told) == (
            200,
            {"id": "chatcmpl-1", "choices": []},
            [],
        )
        await door.close()

    async def test_a_stream_carries_the_headers_of_the_answer(self, world: _Simulated) -> None:
        door = world.telling()
        reply = await door.call("chat.completions", HELLO, "lead-1", lambda _: None)
        assert reply.answer.headers["x-ratelimit-remaining-requests"] == "499"
        await door.close()

    async def test_a_stream_that_drips_on_is_ended_by_the_time_out(self, world: _Simulated) -> None:
        told: list[Delta] = []
        world.simulated.script(lambda *_: Scripted(delay_s=2 * TIMEOUT_S))  # no silence in it is as long as that
        door, begun_s = world.door(), asyncio.get_running_loop().time()
        reply = await door.call("chat.completions", HELLO, "lead-1", told.append)
        assert (reply.answer.error_code, bool(told)) == ("timeout", True)
        assert asyncio.get_running_loop().time() - begun_s == pytest.approx(TIMEOUT_S, abs=TIMEOUT_S / 2)
        await door.close()

    async def test_a_cancelled_stream_leaves_its_connection(self, world: _Simulated) -> None:
        first = asyncio.Event()
        world.simulated.script(lambda *_: Scripted(delay_s=_LONG_S / 100))
        door = world.door()
        call = asyncio.create_task(door.call("chat.completions", HELLO, "lead-1", lambda _: first.set()))
        await first.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            while not world.simulated.books().streams.abandoned:
                await asyncio.sleep(0.001)
        await door.close()

    @pytest.mark.parametrize(
        ("text", "status", "code"),
        [
            ("data: {\n\n", 502, None),
            ("data: " + "[" * 100_000 + "\n\n", 502, None),
            ("data: {}\n\ndata: [DONE]\n\n", None, "connection"),
            ("", None, "connection"),
            ('data: {"object":"error","message":"Sorry.","code":400}\n\ndata: [DONE]\n\n', 200, "400"),
        ],
    )
    async def test_a_stream_of_something_else_is_no_answer(
        self, text: str, status: int | None, code: str | None
    ) -> None:
        async def say(_: web.Request) -> web.Response:
            return web.Response(body=text.encode(), headers={"content-type": "text/event-stream"})

        app = web.Application()
        app.router.add_post("/v1/chat/completions", say)
        async with TestServer(app) as server:
            access = OpenAIAccess("sk-any", str(server.make_url("/v1")), None, None, TIMEOUT_S, 4)
            door = OpenAICalls(access)
            reply = await door.call("chat.completions", HELLO, "lead-1", lambda _: None)
            assert (reply.answer.status, reply.answer.error_code, reply.body) == (status, code, None)
            assert judge(reply.answer).meaning is not Meaning.OK
            await door.close()

    async def test_a_gateway_that_does_not_stream_and_breaks_off_is_a_connection_that_failed(self) -> None:
        async def say(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
            await response.prepare(request)
            await response.write(b'{"id": ')
            assert request.transport is not None
            request.transport.abort()
            return response

        app = web.Application()
        app.router.add_post("/v1/chat/completions", say)
        async with TestServer(app) as server:
            door = OpenAICalls(OpenAIAccess("sk-any", str(server.make_url("/v1")), None, None, TIMEOUT_S, 4))
            reply = await door.call("chat.completions", HELLO, "lead-1", lambda _: None)
            assert (reply.answer.status, reply.answer.error_code, reply.body) == (None, "connection", None)
            await door.close()

    async def test_the_list_of_models_is_asked_for_with_the_key_and_without_a_call(self, world: _Simulated) -> None:
        door = world.door()
        reply = await door.models()
        assert reply.answer.status == 200
        assert json.loads(reply.body or "")["object"] == "list"
        assert world.simulated.books().calls == 0
        await door.close()

    async def test_where_nothing_answers_the_list_is_none_and_nothing_is_raised(self, world: _Simulated) -> None:
        door = world.door(Served(line="refused"))
        assert (await door.models()).answer.error_code == "connection"
        await door.close()


@pytest.mark.parametrize(
    ("status", "body"), [(404, "404 page not found"), (401, '{"error": {"message": "No."}}'), (200, "<html>")]
)
async def test_whatever_another_server_lists_is_an_answer(status: int, body: str) -> None:
    heard: list[tuple[str, str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        named = request.headers
        heard.append((request.path_qs, named.get("Authorization"), named.get("OpenAI-Organization")))
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        access = OpenAIAccess("sk-any", f"http://127.0.0.1:{server.port}/v1?v=1", "org-1", None, 5, connections_max=1)
        door = OpenAICalls(access)
        reply = await door.models()
        await door.close()
    assert (reply.answer.status, reply.body or reply.answer.message) in {(status, body), (status, "No.")}
    assert heard == [("/v1/models?v=1", "Bearer sk-any", "org-1")]
