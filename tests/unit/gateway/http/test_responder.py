"""What a client is sent while its call is under way, and what follows behind the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from headrace.broker.client_ports import StoredRecord
from headrace.broker.errors import WaitTimedOut
from headrace.broker.gateway.calls import Calls, ClientCall
from headrace.broker.gateway.chunk_feed import ChunkFeed, ChunkQueue
from headrace.broker.gateway.http.responder import Responder
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.observing import NoMeter
from headrace.broker.gateway.shapes.chat_stream import ChatStream
from headrace.broker.submission import submission
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Outcome

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
KEY = ClientKey(name="ingest", tenant="acme", lane="urgent")


def chunk(seq: int, text: str) -> Chunk:
    delta = [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]
    return Chunk(id="acme/lead-17", term=1, attempt=1, seq=seq, delta=delta, head={"id": "c-1", "model": "m"})


def completed(text: str) -> Completed:
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    response = {"id": "c-1", "object": "chat.completion", "model": "m", "choices": [message]}
    return Completed(id="acme/lead-17", lane="urgent", attempts=2, response=response, upstream_request_id="req_9")


@dataclass
class Doubles:
    """`Calls` and `ChunkFeed` of one call, moved by the test."""

    given: "asyncio.Future[Outcome]"
    chunks: ChunkQueue
    is_followed: asyncio.Event = field(default_factory=asyncio.Event)

    async def outcome(self, _: ClientCall) -> Outcome:
        return await asyncio.shield(self.given)

    @asynccontextmanager
    async def of(self, _: Expectation) -> AsyncIterator[ChunkQueue]:
        self.is_followed.set()
        yield self.chunks

    def say(self, *chunks: Chunk) -> None:
        for each in chunks:
            record = encode_chunk(each, time=datetime.now(UTC))
            self.chunks.deliver(StoredRecord("generation.chunks", 0, each.seq, 0, record))


@dataclass
class World:
    doubles: Doubles
    cut: asyncio.Event
    url: str
    session: aiohttp.ClientSession

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[aiohttp.ClientResponse]:
        asking = asyncio.create_task(self.session.post(self.url))
        await asyncio.wait_for(self.doubles.is_followed.wait(), 5)
        self.doubles.say(chunk(0, "Dear "))
        async with await asyncio.wait_for(asking, 5) as answer:
            yield answer


@pytest.fixture
async def world() -> AsyncIterator[World]:
    doubles = Doubles(asyncio.get_running_loop().create_future(), ChunkQueue(Expectation("acme/lead-17")))
    calls: Any = doubles
    cut = asyncio.Event()
    responder = Responder(cast("Calls", calls), cast("ChunkFeed", calls), 2.0, NoMeter(), cut, alive_every_s=0.05)
    fields = {"id": "acme/lead-17", "endpoint": "chat.completions", "tenant": "acme", "body": BODY, "stream": True}
    call = ClientCall(KEY, submission(fields, lane="urgent", source="test"), "lead-17")

    async def handle(request: web.Request) -> web.StreamResponse:
        return await responder.respond(request, call, ChatStream("lead-17", include_usage=False), cancels=False)

    app = web.Application()
    app.add_routes([web.post("/", handle)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield World(doubles, cut, f"http://127.0.0.1:{runner.addresses[0][1]}/", session)
    await runner.cleanup()
    await responder.close()


async def test_a_silent_stream_says_that_it_lives(world: World) -> None:
    async with world.stream() as answer, asyncio.timeout(5):
        while await answer.content.readline() != b": waiting\n":
            pass
        world.doubles.given.set_result(completed("Dear Ada"))
        assert (await answer.content.read()).endswith(b"data: [DONE]\n\n")


async def test_a_wait_that_ends_behind_a_part_of_the_answer_ends_the_stream_with_an_error(world: World) -> None:
    async with world.stream() as answer:
        world.doubles.given.set_exception(WaitTimedOut("No outcome."))
        assert b"outcome_pending" in await asyncio.wait_for(answer.content.read(), 5)


async def test_a_gateway_that_leaves_ends_a_stream_that_has_begun_with_an_error(world: World) -> None:
    async with world.stream() as answer:
        world.cut.set()
        assert b"outcome_pending" in await asyncio.wait_for(answer.content.read(), 5)


async def test_a_stream_made_of_the_outcome_alone_has_its_headers(world: World) -> None:
    world.doubles.given.set_result(completed("Dear Ada"))
    async with world.session.post(world.url) as answer:
        body = await answer.content.read()
    assert b"Dear Ada" in body
    assert answer.headers["x-request-id"] == "req_9"
    assert answer.headers["x-headrace-attempts"] == "2"
