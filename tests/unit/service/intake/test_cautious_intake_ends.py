"""Caution covers what a dead leader can have read, blames nothing else, and ends."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from headrace.broker.core.bounds import DEATHS_BEFORE_CAUTION, DEATHS_BY_CALL
from headrace.broker.core.events import Suspected
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.broker.testing.upstream import Asked
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerKind, LedgerRecord, encode_ledger
from headrace.schemas.record import Record
from tests.unit.service.mortal import (
    BOMB,
    POISONED,
    STANDARD,
    Mortal,
    _either,
    letters,
    lived_through,
    named,
    poison,
)
from tests.unit.service.rig import PREFIX, Process, World, led, request, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_other_deaths_make_nobody_a_suspect_who_was_read_before() -> None:
    """Whoever is in flight when its leader dies is priced already, and struck off."""
    world = World(latency_s=1_000)
    for number in range(6):
        world.submit(f"r{number}", "standard", partition=0)
    for owner in "abcdefgh":
        process = Process(world, owner).start()
        await led(process)
        await asyncio.sleep(2)
        assert not process.core.batches.suspects.due
        await process.kill()
    assert world.dead_letters() == []
    assert named(world, 0) == 8 - DEATHS_BEFORE_CAUTION, "from the third term on it is read with caution"
    assert named(world, 99) == 0


async def test_one_death_slows_nothing() -> None:
    world = World()
    for number in range(10):
        world.submit(f"r{number}", "standard", partition=0)
    first = Process(world, "a").start()
    await led(first)
    await first.kill()
    second = Process(world, "b").start()
    await until(lambda: len(world.outcomes()) == 10)
    assert [line.suspects for line in world.ledger() if line.kind is LedgerKind.STEP and line.suspects] == []
    await second.end()


async def test_records_named_together_are_never_failed_for_it_however_often_a_leader_is_killed_then() -> None:
    world = World()
    for number in range(3):
        world.submit(f"r{number}", "standard", partition=0)
    named_once = tuple(f"{STANDARD}/0/{offset}" for offset in range(3))
    for term in range(1, 5):
        for line in (
            LedgerRecord(LedgerKind.CLAIM, term, f"old-{term}", suspects=named_once[:1]),
            LedgerRecord(LedgerKind.STEP, term, f"old-{term}", suspects=named_once),
        ):
            world.kafka.append(topics.ledger_topic(PREFIX), Record(None, encode_ledger(line)))
    process = Process(world, "a").start()
    await until(lambda: len(world.outcomes()) == 3)
    assert {one["status"] for one in world.outcomes()} == {"completed"}
    ours = [line.suspects for line in world.ledger() if line.owner == "a" and line.kind is LedgerKind.STEP]
    assert {len(suspects) for suspects in ours} == {0, 1}, "each of the crowd is named alone"
    await process.end()


@pytest.mark.slow
async def test_what_no_dead_leader_can_have_read_is_read_as_ever() -> None:
    world = World(latency_s=0.01)
    settings = settings_of(lanes={"standard": {"order": 2, "buffer_max": 5}})
    for number in range(40):
        world.submit(f"r{number}", "standard", partition=0)
    for owner in "ab":
        process = Process(world, owner, settings=settings).start()
        await led(process)
        await process.kill()
    answered = len(world.outcomes())
    last = Process(world, "c", settings=settings).start()
    await until(lambda: len(world.outcomes()) == 40)
    cautious = {offset for offset in range(40) if named(world, offset)}
    assert answered < 10
    assert cautious
    assert max(cautious) < answered + 2 * 5 + 5
    await last.end()


@pytest.mark.slow
async def test_caution_ends_where_the_log_ended_and_what_comes_later_is_read_as_ever() -> None:
    world = World(latency_s=0.01)
    for number in range(4):
        poison(world, "x") if number == 0 else world.submit(f"r{number}", "standard", partition=0)
    _, process = await lived_through(world, lambda: len(world.outcomes()) == 4)
    assert [named(world, offset) for offset in range(4)] == [4, 2, 2, 2], "in one batch, and in the last term"
    asked = len(world.ledger())
    world.submit("late", "standard", partition=0)
    await until(lambda: world.counts()["late", 0] == 1)
    assert named(world, 4) == 0
    assert len(world.ledger()) > asked
    await process.end()


async def test_a_record_is_named_before_it_is_taken_and_struck_off_before_it_is_called() -> None:
    world = World()
    poison(world, "x")
    world.submit("a", "standard", partition=0)
    seen: list[tuple[str, tuple[str, ...]]] = []
    position = f"{STANDARD}/0/1"

    class Watching(Mortal):
        def lane(self, topic: str) -> MemoryLane:
            class Lane(MemoryLane):
                async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
                    got = await super().take(partition, records_max)
                    if got and topic == STANDARD and not isinstance(got, UnreadableRange) and got[0].offset == 1:
                        seen.append(("taken", world.ledger()[-1].suspects))
                    return got

            return Lane(self.link, topic=topic)

    for owner in "abcde":
        process: Process = Mortal(world, owner).start()
        await until(lambda lease=process.lease: lease.is_cut)  # type: ignore[misc]  # bound at once
        await process.kill()
    process = Watching(world, "f").start()
    await until(lambda: world.upstream.inflight == 1)
    seen.append(("called", world.ledger()[-1].suspects))
    assert seen == [("taken", (position,)), ("called", ())]
    await until(lambda: len(world.outcomes()) == 2)
    await process.end()


async def test_markers_at_the_end_of_a_partition_name_nobody_for_long() -> None:
    world = World()
    poison(world, "x")
    log = world.kafka.logs(STANDARD)[0]
    for _ in range(3):
        log.append(None, 0)
    _, process = await lived_through(world, lambda: len(world.outcomes()) == 1)
    caution = process.intakes["standard"]._caution
    assert await until(lambda: not any(map(caution.covers, range(world.partitions)))) < 0.5
    assert world.ledger()[-1].suspects == ()
    world.submit("a", "standard", partition=0)
    await until(lambda: len(world.outcomes()) == 2)
    await process.end()


async def test_a_doubt_while_a_record_is_named_is_no_death() -> None:
    world = World()
    poison(world, "x")
    world.submit("a", "standard", partition=0)
    _, process = await lived_through(world, lambda: len(world.outcomes()) == 2)
    assert [letter[0] for letter in letters(world)] == [b"crashed"]
    world.kafka.expire(f"{PREFIX}.dispatcher")
    world.submit("b", "standard", partition=0)
    await until(lambda: len(world.outcomes()) == 3)
    assert process.follower.deaths.cautious_read(f"{STANDARD}/0", 9) == CautiousRead(9), (
        "of the deaths before, and no suspect"
    )
    await process.end()


@pytest.mark.slow
async def test_who_stands_beside_a_deadly_record_in_every_other_partition_is_not_taken_for_one() -> None:
    world = World(partitions=2)
    poison(world, "x")
    for lane in ("urgent", "standard", "bulk"):
        for number in range(6):
            world.submit(f"{lane}-{number}", lane, partition=1 if lane == "standard" else number % 2)
    _, process = await lived_through(world, lambda: len(world.outcomes()) == 19)
    assert [one["id"] for one in world.outcomes() if one["status"] == "failed"] == ["x"]
    steps = [line.suspects for line in world.ledger() if line.kind is LedgerKind.STEP]
    assert {len({position.rpartition("/")[0] for position in suspects}) for suspects in steps} == {0, 1}
    await process.end()


def _last_lines(world: World) -> list[LedgerRecord]:
    return list({line.term: line for line in world.ledger() if line.kind is LedgerKind.STEP}.values())


async def test_a_call_that_kills_before_it_is_sent_makes_no_record_a_suspect_and_has_an_end() -> None:
    mortal: Mortal | None = None

    def script(_asked: Asked) -> None:
        assert mortal is not None
        mortal.die()
        raise asyncio.CancelledError

    world = World(script=script)
    world.submit("a", "standard", partition=0)
    deaths = DEATHS_BEFORE_CAUTION + DEATHS_BY_CALL
    for number in range(deaths):
        mortal = Mortal(world, f"p{number}")
        mortal.start()
        await until(_either(mortal, lambda: False))
        await mortal.kill()
    assert (world.outcomes(), world.dead_letters()) == ([], [])
    assert named(world, 0) == deaths - DEATHS_BEFORE_CAUTION
    assert not any(line.suspects for line in _last_lines(world)), "it was struck off before each call"
    last = Mortal(world, "last").start()
    await until(lambda: len(world.outcomes()) == 1)
    assert world.outcomes()[0]["message"] == CALLS_KILL.sentence
    assert world.upstream.calls["a"] == deaths
    await last.end()


async def test_whoever_waits_for_records_does_not_ask_where_one_must_be_named_first() -> None:
    world = World()
    process = Mortal(world, "a")
    process.start()
    await led(process)
    world.kafka.append(STANDARD, Record(None, BOMB), partition=0)
    intake = process.intakes["standard"]
    await intake.halt()
    intake._caution.begin({0: CautiousRead(1)})
    await intake._idle([0, 1])
    assert not process.is_dead
    intake._caution.begin({})
    with pytest.raises(asyncio.CancelledError):
        await intake._idle([0, 1])
    assert process.is_dead
    await process.kill()


async def test_who_is_named_dies_of_nothing_that_is_read_elsewhere() -> None:
    """Caution in one partition, and a deadly record in another one that no leader has suspected yet."""
    world = World()
    world.submit("a", "standard", partition=0)
    stands, position = (f"{STANDARD}/0/0",), f"{STANDARD}/0/0"
    first = LedgerRecord(LedgerKind.CLAIM, 1, "old", suspects=stands)
    step = LedgerRecord(LedgerKind.STEP, 1, "old", suspects=(position,))
    for line in (first, step):
        world.kafka.append(topics.ledger_topic(PREFIX), Record(None, encode_ledger(line)))
    for lane in ("urgent", "bulk"):
        value = json.dumps(request(f"x-{lane}", body=POISONED)).encode()
        headers = (("ce_subject", f"x-{lane}".encode()),)
        world.kafka.append(topics.requests_topic(PREFIX, lane), Record(None, value, headers), partition=1)
    world.kafka.commit_takes_s = 0.1

    class Slow(Mortal):
        """Reads the other lanes while the first record of `standard` is named."""

        def lane(self, topic: str) -> MemoryLane:
            lane = super().lane(topic)
            take = lane.take

            async def slowly(partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
                await asyncio.sleep(0 if topic == STANDARD else 0.25)
                return await take(partition, records_max)

            lane.take = slowly  # type: ignore[method-assign]  # one lane's
            return lane

    _, process = await lived_through(world, lambda: len(world.outcomes()) == 3, Slow)
    assert {one["id"]: one.get("reason") for one in world.outcomes()} == {
        "a": None,
        "x-urgent": "crashed",
        "x-bulk": "crashed",
    }
    await process.end()


async def test_a_lane_at_its_end_strikes_nothing_off_and_one_that_has_a_record_does() -> None:
    world, place = World(), LanePartition("standard", 0)
    process = Process(world, "a").start()
    await led(process)
    process.driver.cautious.add(place)
    process.driver.post(Suspected((Source(place, 0),)))
    await asyncio.sleep(5)
    lines = len(world.ledger())
    assert world.ledger()[-1].suspects == (f"{STANDARD}/0/0",)
    await asyncio.sleep(5)
    assert len(world.ledger()) == lines, "each look of an idle lane would cost a transaction or two"
    world.submit("x", "urgent")
    await until(lambda: world.upstream.inflight == 1)
    assert world.ledger()[-1].suspects == ()
    await process.kill()


@pytest.mark.slow
async def test_a_line_names_the_next_records_and_strikes_off_those_before_in_one() -> None:
    world = World(latency_s=1_000)
    for number in range(230):
        world.submit(f"r{number}", "standard", partition=0)
    world.kafka.commit_takes_s = 0.01
    for owner in "ab":
        process = Process(world, owner).start()
        await led(process)
        await process.kill()
    process = Process(world, "c").start()
    await until(lambda: world.upstream.inflight == 230)
    lines = [line for line in world.ledger() if line.owner == "c" and line.kind is LedgerKind.STEP]
    named = [len(line.suspects) for line in lines]
    first = named.index(50)
    assert named[first : first + 6] == [50, 50, 50, 50, 30, 0]
    assert not any(named[first + 6 :])
    await process.kill()
