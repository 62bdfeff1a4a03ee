"""An exception of our own code at some step of one request fails that request alone, and nothing leaks."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.ports import UpstreamApi, UpstreamReply
from headrace.broker.testing.kafka_doors import MemoryChunks
from headrace.broker.testing.upstream import ScriptedUpstream
from headrace.schemas import topics
from headrace.schemas.delta import Delta, Head
from headrace.schemas.ledger import LedgerState
from headrace.schemas.record import Record
from tests.unit.service.rig import PREFIX, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

BAD = "bad"
GOOD = [f"good-{number}" for number in range(20)]


class Unreadable(Mapping[str, str]):
    """Headers that no code can read."""

    def __getitem__(self, name: str) -> str:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


class NoText(str):
    """A body that cannot be parsed, for no reason that anything expects."""

    __slots__ = ()

    def startswith(self, *_: Any) -> bool:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


class RottenUpstream(ScriptedUpstream):
    """Answers as ever, but for the one request, whose answer goes through `spoil`."""

    def __init__(self, spoil: Callable[[UpstreamReply], UpstreamReply], latency_s: float = 1.0) -> None:
        super().__init__(latency_s=latency_s)
        self.spoil = spoil

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        reply = await super().call(endpoint, body, client_request_id, on_delta, on_head=on_head)
        return self.spoil(reply) if client_request_id == BAD else reply


def raising(error: type[BaseException]) -> Callable[[UpstreamReply], UpstreamReply]:
    def spoil(_: UpstreamReply) -> UpstreamReply:
        raise error

    return spoil


@dataclass(frozen=True)
class Seam:
    """Where it raises, and at which step that is counted."""

    name: str
    spoil: Callable[[UpstreamReply], UpstreamReply]
    step: str = "call"


SEAMS = [
    Seam("the upstream door raises", raising(ValueError)),
    Seam("it recurses without end", raising(RecursionError)),
    Seam("memory runs out in it", raising(MemoryError)),
    Seam("it says that it was cancelled, and nobody has", raising(asyncio.CancelledError)),
    Seam("it returns nothing", lambda _: None),  # type: ignore[arg-type, return-value]  # a defect
    Seam("headers cannot be judged", lambda reply: replace(reply, answer=replace(reply.answer, headers=Unreadable()))),
    Seam("the answer cannot be weighed", lambda reply: replace(reply, body=NoText(reply.body))),
]


class Rotten(Process):
    """A dispatcher with that upstream."""

    def __init__(self, world: World, spoil: Callable[[UpstreamReply], UpstreamReply]) -> None:
        self.rotten = RottenUpstream(spoil)
        super().__init__(world, "me")

    def upstream(self) -> UpstreamApi:
        return self.rotten


class RottenDice(random.Random):
    """Raises in the core, which throws dice before it repeats a call."""

    def random(self) -> float:
        raise RuntimeError


class RottenCore(Rotten):
    """A dispatcher whose core raises over each answer that asks for another call."""

    dice_type = RottenDice


def outcomes_of(world: World, request_id: str) -> list[dict[str, Any]]:
    return [outcome for outcome in world.outcomes() if outcome["id"] == request_id]


def letters_of_bad(world: World) -> list[tuple[bytes, bytes, bytes | None]]:
    return [
        (given["headrace-reason"], given["headrace-origin"], letter.value)
        for letter in world.dead_letters()
        if (given := dict(letter.headers))
    ]


def levels(process: Process) -> list[int]:
    now_ms = process.clock.now_ms()
    return [level.low for desk in process.core.limits.limit_queues().values() for level in desk.budget.levels(now_ms)]


async def all_answered(world: World, *, stream: bool = False, among: int = 10) -> None:
    """Twenty good requests, and the bad one in their midst."""
    for number, request_id in enumerate(GOOD):
        if number == among:
            world.submit(BAD, "standard", stream=stream)
        world.submit(request_id, "standard", stream=stream)
    await until(lambda: len(world.outcomes()) == len(GOOD) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.name)
async def test_a_defect_in_the_call_of_one_request_fails_it_alone(seam: Seam, *, stream: bool) -> None:
    world = World()
    process = Rotten(world, seam.spoil)
    process.start()
    await led(process)
    with capture_logs() as lines:
        await all_answered(world, stream=stream)
    assert set(world.counts().values()) == {1}
    assert {outcome["status"] for outcome in world.outcomes() if outcome["id"] != BAD} == {"completed"}
    (outcome,) = outcomes_of(world, BAD)
    assert (outcome["status"], outcome["reason"], outcome["attempts"]) == ("failed", "crashed", 1)
    ((reason, origin, value),) = letters_of_bad(world)
    assert (reason, origin.split(b"/")[0]) == (b"crashed", topics.requests_topic(PREFIX, "standard").encode())
    assert value is not None
    assert b"Write to bad" in value
    contained = [line for line in lines if line["event"] == "contained"]
    assert [(line["step"], line["request_id"], line["log_level"]) for line in contained] == [(seam.step, BAD, "error")]
    assert "Write to" not in str(lines)
    assert process.metric("headrace_contained_total", {"step": seam.step}) == 1
    assert process.metric("headrace_dead_letters_total", {"reason": "crashed"}) == 1
    assert process.rotten.calls[BAD] == 1
    await until(lambda: process.core.idle and not process.core.registry.tickets())
    assert not any(desk.budget.inflight for desk in process.core.limits.limit_queues().values())
    assert process.core.flights.held_bytes == 0
    assert [entry.state for line in world.ledger() for entry in line.settled].count(LedgerState.FAILED) == 1
    await process.end()


async def test_a_defect_in_the_core_fails_its_request_alone_beside_others_in_the_buffer() -> None:
    world = World()
    process = RottenCore(world, lambda reply: replace(reply, answer=replace(reply.answer, status=500), body=None))
    process.start()
    await led(process)
    with capture_logs() as lines:
        await all_answered(world)
    assert [(line["step"], line["request_id"]) for line in lines if line["event"] == "contained"] == [("answer", BAD)]
    assert not [line for line in lines if line["event"] == "core_failed"]
    assert {outcome["status"] for outcome in world.outcomes() if outcome["id"] != BAD} == {"completed"}
    ((outcome,), ((reason, _, _),)) = outcomes_of(world, BAD), letters_of_bad(world)
    assert (outcome["reason"], reason) == ("crashed", b"crashed")
    await process.end()


def unspoiled(reply: UpstreamReply) -> UpstreamReply:
    return reply


async def answered(world: World, count: int) -> None:
    await until(lambda: len(world.outcomes()) == count)


async def test_its_charge_is_kept_since_it_may_have_been_paid() -> None:
    taken = []
    for spoil in (raising(ValueError), unspoiled):
        world = World()
        process = Rotten(world, spoil)
        process.start()
        await led(process)
        world.submit("warm", "standard")
        await answered(world, 1)
        before = sum(levels(process))
        world.submit(BAD, "standard")
        await answered(world, 2)
        taken.append(before - sum(levels(process)))
        await process.end()
    assert taken[0] == taken[1]


async def test_the_deltas_of_a_stream_that_crashed_end_without_a_last_one() -> None:
    world = World()
    process = Rotten(world, raising(ValueError))
    process.start()
    await led(process)
    await all_answered(world, stream=True)
    chunks = [fetched.record for fetched in world.kafka.committed(topics.chunks_topic(PREFIX))]
    finals = {(record.key, b'"final":true' in (record.value or b"")) for record in chunks}
    assert (BAD.encode(), False) in finals
    assert (BAD.encode(), True) not in finals
    assert (GOOD[0].encode(), True) in finals
    await process.end()


class RottenChunks(MemoryChunks):
    def send(self, record: Record) -> None:
        if record.key == BAD.encode():
            raise RuntimeError
        super().send(record)


class WithRottenChunks(Process):
    chunks_type = RottenChunks


async def test_a_defect_in_the_chunks_of_a_stream_costs_neither_the_answer_nor_other_streams() -> None:
    world = World()
    process = WithRottenChunks(world, "me")
    process.start()
    await led(process)
    await all_answered(world, stream=True)
    assert {outcome["status"] for outcome in world.outcomes()} == {"completed"}
    assert process.metric("headrace_contained_total", {"step": "stream"}) == 1
    await process.end()


async def test_a_request_that_crashed_in_its_call_can_be_replayed_and_is_no_suspect() -> None:
    world = World()
    process = Rotten(world, raising(ValueError))
    process.start()
    await led(process)
    world.submit(BAD, "standard")
    await until(lambda: len(world.outcomes()) == 1)
    process.rotten.spoil = lambda reply: reply
    world.submit(BAD, "standard")  # the same run: it is answered
    value = (
        b'{"id": "bad", "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write to bad"}]}}'
    )
    topic = topics.requests_topic(PREFIX, "standard")
    world.kafka.append(topic, Record(None, value, (("headrace-run", b"1"),)))
    await until(lambda: len(world.outcomes()) == 2)
    assert world.counts() == {(BAD, 0): 1, (BAD, 1): 1}
    assert world.outcomes()[1]["status"] == "completed"
    await process.end()


async def test_a_call_that_is_cut_off_at_its_deadline_is_no_defect() -> None:
    world = World(latency_s=60)
    process = Process(world, "me", settings=settings_of())
    process.start()
    await led(process)
    with capture_logs() as lines:
        world.submit("late", "standard", deadline=world.clock.to_utc(world.clock.now_ms() + 5_000).isoformat())
        await until(lambda: len(world.outcomes()) == 1)
    assert world.outcomes()[0]["reason"] == "deadline_exceeded"
    assert not [line for line in lines if line["event"] == "contained"]
    await process.end()
