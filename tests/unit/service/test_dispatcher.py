"""The whole process but for its doors: it serves, and leaves by the ladder within its grace, whatever is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from structlog.testing import capture_logs

from headrace.broker.core.setback import Setback
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.service.health import GAUGES_EVERY_S
from headrace.broker.service.shutdown import ladder
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.broker.testing.lease import MemoryLease
from headrace.schemas import topics
from headrace.schemas.codec import decode_chunk
from headrace.schemas.ledger import LedgerKind
from headrace.schemas.record import Record
from tests.unit.service.rig import NAME, PREFIX, Process, World, settings_of, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

GRACE_S = 30


class Served:
    """A dispatcher that runs, and when it ended."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process, self.dispatcher = world, process, process.dispatcher
        self.running = asyncio.create_task(self.dispatcher.run())

    async def leading(self) -> None:
        await until(lambda: self.process.health.role == "leader")

    async def ended_after_s(self) -> float:
        took_s = await until(self.running.done, 10 * GRACE_S)
        self.running.result()
        return took_s


@asynccontextmanager
async def served(world: World, make: type[Process] = Process, **settings: int) -> AsyncIterator[Served]:
    group = {"http_host": "127.0.0.1", "http_port": 0, "grace_s": GRACE_S} | settings
    serving = Served(world, make(world, "a", settings=settings_of(dispatcher=group)))
    try:
        yield serving
    finally:
        serving.running.cancel()
        await asyncio.wait({serving.running})


async def loaded(serving: Served, latency_s: float, count: int) -> None:
    await serving.leading()
    serving.world.upstream.latency_s = 0.1
    await warmed(serving.world)
    serving.world.upstream.latency_s = latency_s
    for number in range(count):
        serving.world.submit(f"r{number}")
    await until(lambda: serving.world.upstream.inflight == count)


async def test_it_leaves_as_soon_as_all_calls_have_ended_and_are_published() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 6, 10)
        serving.dispatcher.leave()
        assert 5 < await serving.ended_after_s() < 8
    assert len(world.outcomes()) == 11
    assert world.holder() == "released"
    assert world.upstream.is_closed


def held(name: str) -> Callable[[str, Record], Setback | None]:
    """Kafka does not take the outcome of that request, and does not say why."""
    results = topics.results_topic(PREFIX)
    return lambda topic, record: Setback.UNKNOWN if topic == results and record.key == name.encode() else None


async def resting(serving: Served) -> None:
    """The outcome of `held` rests; that of the other request is published."""
    world, doubts = serving.world, serving.process.core.outbox._failing
    await serving.leading()
    world.kafka.policy = held("held")
    world.submit("held")
    world.submit("other")
    await until(lambda: doubts.resting == 1 and len(world.outcomes()) == 1, 20)


async def test_what_kafka_still_refuses_holds_up_nobody_who_leaves() -> None:
    """Before: it waited until its grace had ended, and did not say that it had left: as if it had died."""
    world = World()
    async with served(world) as serving:
        await resting(serving)
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < 5
    assert world.ledger()[-1].kind is LedgerKind.LEFT
    assert world.holder() == "released"
    world.kafka.policy = lambda _topic, _record: None
    successor = Process(world, "b").start()
    await until(lambda: len(world.outcomes()) == 2)
    assert set(world.counts().values()) == {1}
    assert world.upstream.calls["held"] == 2, "its answer was with the process that left"
    await successor.end()


async def test_what_rests_is_tried_once_more_by_one_that_leaves() -> None:
    world = World()
    async with served(world) as serving:
        await resting(serving)
        world.kafka.policy = lambda _topic, _record: None
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < 5
    assert len(world.outcomes()) == 2
    assert world.upstream.calls["held"] == 1


def levels_held(setback: Setback) -> Callable[[str, Record], Setback | None]:
    """Kafka takes no line of the ledger that states levels."""
    ledger = topics.ledger_topic(PREFIX)
    return lambda topic, record: setback if topic == ledger and b'"levels":[{' in (record.value or b"") else None


async def test_levels_that_kafka_refuses_hold_up_no_departure() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 1, 3)
        world.kafka.policy = levels_held(Setback.REFUSED)
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < 5
    assert len(world.outcomes()) == 4
    assert world.ledger()[-1].kind is LedgerKind.LEFT


@pytest.mark.parametrize("setback", [Setback.UNKNOWN, Setback.DENIED])
async def test_levels_that_may_still_be_written_hold_up_a_departure_no_longer_than_its_grace(setback: Setback) -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 1, 3)
        world.kafka.policy = levels_held(setback)
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < GRACE_S
    assert world.holder() == "released"


async def test_chunks_that_were_dropped_are_counted_once_and_the_way_to_their_topic_is_closed_at_the_end() -> None:
    world = World()
    async with served(world) as serving:
        await serving.leading()
        chunks, meter = serving.process.chunks, serving.process.meter
        chunks.dropped = 3
        await asyncio.sleep(3 * GAUGES_EVERY_S)
        assert b"headrace_chunks_dropped_total 3.0" in meter.render()
        chunks.dropped = 5
        await asyncio.sleep(3 * GAUGES_EVERY_S)
        assert b"headrace_chunks_dropped_total 5.0" in meter.render()
        serving.dispatcher.leave()
        await serving.ended_after_s()
        chunks.send(Record(None, b"late"))
        assert chunks.dropped == 6


async def test_a_stream_is_told_while_its_call_is_under_way() -> None:
    world = World()
    async with served(world) as serving:
        await serving.leading()
        world.upstream.latency_s = 4
        world.submit("r1", stream=True)
        await until(lambda: world.upstream.inflight == 1)
        await asyncio.sleep(2.5)
        assert not world.outcomes()
        told = [decode_chunk(each.record.value) for each in world.kafka.committed(topics.chunks_topic(PREFIX))]
        assert [(chunk.id, chunk.term, chunk.attempt, chunk.seq) for chunk in told][:1] == [("r1", 1, 1, 0)]
        await until(lambda: len(world.outcomes()) == 1)
        told = [decode_chunk(each.record.value) for each in world.kafka.committed(topics.chunks_topic(PREFIX))]
        assert [chunk.final for chunk in told] == [False] * (len(told) - 1) + [True]


async def test_a_leader_in_doubt_tells_nothing_of_a_stream_and_then_that_something_is_missing() -> None:
    def seqs() -> list[int]:
        told = world.kafka.committed(topics.chunks_topic(PREFIX))
        return [chunk.seq for each in told if (chunk := decode_chunk(each.record.value)).id == "r1"]

    world = World()
    async with served(world) as serving:
        await serving.leading()
        world.upstream.latency_s = 40
        world.submit("r1", stream=True)
        await until(lambda: seqs() == [0])
        world.kafka.open_takes_s = 9
        world.kafka.expire(NAME)
        world.submit("r2")  # what is to be committed meets the fence
        await until(lambda: serving.process.health.role == "suspended")
        await until(lambda: serving.process.health.role == "leader")
        assert seqs() == [0]
        await until(lambda: "r1" in [outcome["id"] for outcome in world.outcomes()], 60)
    assert seqs()[0] == 0
    assert seqs() != list(range(len(seqs())))
    assert set(world.counts().values()) == {1}


async def test_an_idle_one_leaves_at_once() -> None:
    world = World()
    async with served(world) as serving:
        await serving.leading()
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < 1
    assert world.holder() == "released"


async def test_a_call_longer_than_the_drain_is_cancelled_and_left_to_the_successor() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 500, 3)
        serving.dispatcher.leave()
        took_s = await serving.ended_after_s()
    assert ladder(GRACE_S).drain_s <= took_s < GRACE_S - 5
    assert len(world.outcomes()) == 1
    *_, last, left = world.ledger()
    assert left.kind.value == "left"
    assert len(last.ended) == 3
    assert last.levels, "as they stand when the calls are cut off"


async def test_a_second_signal_skips_the_drain_and_nothing_new_begins() -> None:
    world = World()
    async with served(world, inflight_max=3) as serving:
        await loaded(serving, 500, 3)
        for number in range(9):
            world.submit(f"waiting-{number}")
        await asyncio.sleep(1)
        calls = len(world.upstream.asked)
        serving.dispatcher.leave()
        await asyncio.sleep(1)
        serving.dispatcher.leave()
        world.upstream.latency_s = 0.1  # whatever were called again would end in time
        assert await serving.ended_after_s() < 3
    assert len(world.upstream.asked) == calls
    assert world.holder() == "released"


async def test_it_leaves_within_its_grace_though_kafka_is_away_and_still_frees_the_lease() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 2, 3)
        world.kafka.stop()
        serving.dispatcher.leave()
        assert await serving.ended_after_s() <= GRACE_S
    assert world.holder() == "released"


async def test_it_leaves_within_its_grace_though_everything_is_away() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 2, 3)
        world.kafka.stop()
        world.leases.available = False
        serving.dispatcher.leave()
        assert await serving.ended_after_s() <= GRACE_S


class _SlowLane(MemoryLane):
    """Takes its time to close, as a consumer does whose cluster is away."""

    async def close(self) -> None:
        await asyncio.sleep(6)


class _SlowProcess(Process):
    lane_type = _SlowLane


async def test_doors_that_close_slowly_do_so_at_the_same_time() -> None:
    world = World()
    async with served(world, _SlowProcess) as serving:
        await serving.leading()
        serving.dispatcher.leave()
        assert await serving.ended_after_s() < 7


class _TornLane(MemoryLane):
    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        raise ValueError("torn")


class _TornProcess(Process):
    lane_type = _TornLane


async def test_a_defect_ends_it_with_everything_closed_and_the_lease_freed() -> None:
    world = World()
    async with served(world, _TornProcess) as serving:
        await until(serving.running.done, 10)
        with pytest.raises(ExceptionGroup) as caught:
            serving.running.result()
    assert caught.group_contains(ValueError, match="torn")
    assert world.upstream.is_closed
    assert world.holder() == "released"


async def test_the_leaders_status_is_there_for_others_while_it_leads() -> None:
    world = World()
    async with served(world) as serving:
        await serving.leading()
        await asyncio.sleep(2)
        told = await serving.process.lease.read_status()
        assert told is not None
        assert '"role": "leader"' in told
        serving.dispatcher.leave()
        await serving.ended_after_s()


async def test_a_leader_that_lost_kafka_goes_on_telling_its_status() -> None:
    world = World()
    async with served(world) as serving:
        await loaded(serving, 6, 3)
        told = serving.process.status.snapshot(world.clock.now_ms())
        serving.process.link.cut()
        await until(lambda: serving.process.health.role == "suspended")
        await asyncio.sleep(5)
        live = json.loads(await serving.process.lease.read_status() or "{}")
        assert live["role"] in {"suspended", "promoting"}
        assert live["trouble"]
        assert live["leading_since"] == told["leading_since"], "the term goes on"


@pytest.mark.parametrize("grace_s", [10, 12, 29, 30, 60, 600])
def test_the_rungs_fit_the_grace(grace_s: float) -> None:
    made = ladder(grace_s)
    assert made.sum_s < grace_s
    assert made.drain_s >= 0
    if grace_s == 30:
        assert (made.drain_s, made.cancel_s, made.commit_s, made.close_s, made.release_s) == (20, 2, 3, 2, 1)


def test_a_grace_without_room_for_a_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 s"):
        ladder(9)


async def test_it_says_where_it_is_asked_and_answers_there_of_one_request() -> None:
    world = World()
    async with served(world) as serving:
        await serving.leading()
        await warmed(world)
        await until(lambda: serving.process.status.url is not None)
        assert serving.process.status.url is not None
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session:
            async with session.get(f"{serving.process.status.url}/status?id=warm") as answer:
                told = await answer.json()
            async with session.get(f"{serving.process.status.url}/status") as answer:
                whole = await answer.json()
        serving.dispatcher.leave()
        await serving.ended_after_s()
    assert (told["id"], told["state"], told["outcome"]["status"]) == ("warm", "answered", "completed")
    assert whole["url"] == serving.process.status.url


class RottenLease(MemoryLease):
    """Whose status nobody can leave."""

    async def publish_status(self, text: str) -> None:
        raise RuntimeError(text)


class Shy(Process):
    lease_type = RottenLease


async def test_a_look_that_raises_each_second_ends_no_dispatcher() -> None:
    """Before, whatever the gauges' task raised ended the process, and its successor in the same way."""
    world = World()
    async with served(world, Shy) as serving:
        await serving.leading()
        with capture_logs() as lines:
            await asyncio.sleep(30 * GAUGES_EVERY_S)
        assert not serving.running.done()
        assert serving.process.metric("headrace_contained_total", {"step": "status"}) >= 29
        assert [line["step"] for line in lines if line["event"] == "observation_failed"] == ["status"]
        serving.dispatcher.leave()
        await serving.ended_after_s()
