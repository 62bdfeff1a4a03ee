"""A leader that has led for long: a doubt costs it no more than a young one, whatever retention has removed."""

import asyncio
from collections.abc import Sequence

import pytest

from headrace.broker.ports import LedgerLog, LedgerRow
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.kafka_doors import MemoryLedger
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerRecord, encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import ledger_topic
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, loaded, standing_by, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LEDGER = ledger_topic(PREFIX)
LINES_A_FETCH = 100
A_FETCH_TAKES_S = 0.01
SLOWLY = 100


class _FarLedger(MemoryLedger):
    """Reading takes time: a hundred lines a fetch, each fetch 10 ms, or `slowness` times as long."""

    slowness = 1

    async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
        rows = await super().read(timeout_ms)
        await asyncio.sleep(self.slowness * A_FETCH_TAKES_S * len(rows) / LINES_A_FETCH)
        return rows


class _FarProcess(Process):
    def ledger(self) -> LedgerLog:
        self.far = _FarLedger(self.link, topic=LEDGER)
        return self.far


def _led_for_long(world: World, transactions: int) -> None:
    """What a leader has written in hours, put in place at once: so many transactions under its own producer.

    Each has a slot for its line and one for its marker. They stand behind its claim, as they would.
    """
    log = world.kafka.logs(LEDGER)[0]
    line = next(slot.record for slot in reversed(log.slots) if slot.record is not None)
    for _ in range(transactions):
        log.append(line, world.clock.utc_ms())
        log.append(None, world.clock.utc_ms())


async def _doubt(world: World, process: Process) -> float:
    """A commit whose answer is lost; how long until it leads again."""
    opened = world.kafka.opened[NAME]
    world.kafka.commit_faults.append(CommitFault.LOST)
    await until(lambda: world.kafka.opened[NAME] > opened, 10)
    return await led(process, 100)


@pytest.mark.slow
@pytest.mark.parametrize("dispatchers", [1, 2])
async def test_a_lost_commit_after_the_ledgers_retention_costs_a_moment_and_no_call(dispatchers: int) -> None:
    world = World(latency_s=20)
    world.kafka.retained_ms[LEDGER] = 30_000
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    others = [Process(world, "b").start() for _ in range(dispatchers - 1)]
    for other in others:
        await standing_by(other)
    for number in range(10):
        world.submit(f"r{number}")
        await asyncio.sleep(4)
    world.kafka.clean()
    assert world.kafka.logs(LEDGER)[0].start > 5, "the claim and the first lines are gone"
    for number in range(10, 20):
        world.submit(f"r{number}")
    await until(lambda: world.upstream.inflight >= 10)
    took_s = await _doubt(world, process)
    assert took_s < 5
    await until(lambda: len(world.outcomes()) == 21)
    assert set(world.upstream.calls.values()) == {1}
    assert set(world.counts().values()) == {1}
    for each in (*others, process):
        await each.end()


@pytest.mark.slow
async def test_a_doubt_costs_the_same_however_long_the_leader_has_led() -> None:
    took_s = {}
    for lines in (0, 20_000):
        world = World(latency_s=3)
        process = _FarProcess(world, "a").start()
        await led(process)
        _led_for_long(world, lines)
        await loaded(world, 5)
        took_s[lines] = await _doubt(world, process)
        await until(lambda: len(world.outcomes()) == 6)  # noqa: B023 -- called before the next turn
        assert set(world.upstream.calls.values()) == {1}
        await process.end()
    assert abs(took_s[20_000] - took_s[0]) < 0.5, took_s


async def test_an_unknown_commit_that_stands_is_read_in_the_ledger_and_is_not_published_again() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    world.submit("r1")
    await until(lambda: world.upstream.inflight == 1)
    world.kafka.offsets_lag = True
    world.kafka.commit_faults.extend([CommitFault.STORED])
    await until(lambda: process.health.role != "leader", 10)
    await led(process)
    await until(lambda: len(world.outcomes()) == 2)
    world.submit("r1")
    await asyncio.sleep(5)
    assert set(world.counts().values()) == {1}
    assert world.upstream.calls["r1"] == 1
    await process.end()


@pytest.mark.slow
async def test_a_leader_that_reads_much_of_the_ledger_hands_nothing_over() -> None:
    """A node was restored without its disk, say, and the ledger is read from the beginning of the window."""
    world = World(latency_s=60)
    process, other = _FarProcess(world, "a"), Process(world, "b")
    process.start()
    await led(process)
    other.start()
    await loaded(world, 5)
    await standing_by(other)
    _led_for_long(world, 4_000)
    process.far.slowness = SLOWLY
    process.follower.record_step(10**6, LedgerRecord(LedgerKind.STEP, 1, "a"))  # a place that the ledger does not hold
    assert 20 < await _doubt(world, process) < 60
    assert world.claims()[-1] == (1, "a")
    await until(lambda: len(world.outcomes()) == 6, 100)
    assert set(world.upstream.calls.values()) == {1}
    assert world.holder() == "a"
    await other.end()
    await process.end()


async def test_a_standby_that_was_stopped_until_its_place_was_gone_opens_anew_and_knows_every_answer() -> None:
    world = World()
    world.kafka.retained_ms[LEDGER] = 30_000
    leader, standby = Process(world, "a").start(), Process(world, "b").start()
    await led(leader)
    await standing_by(standby)
    standby.link.cut()
    for number in range(12):
        world.submit(f"r{number}")
        await asyncio.sleep(5)
    world.kafka.clean()
    standby.link.mend()
    await standing_by(standby)
    last = world.ledger()[-1]
    await until(lambda: standby.follower.last_claim == (last.term, last.owner))
    assert standby.core.identities.knows(id_hash("r11"))
    await leader.kill()
    await led(standby)
    world.submit("r11")
    await asyncio.sleep(5)
    assert world.upstream.calls["r11"] == 1
    await standby.end()


async def test_a_coordinator_that_is_away_from_all_hands_nothing_over_and_what_was_paid_is_published() -> None:
    world = World(latency_s=1)
    leader, standby = Process(world, "a").start(), Process(world, "b").start()
    await led(leader)
    await loaded(world, 10)
    await standing_by(standby)
    world.kafka.coordinates = False
    await asyncio.sleep(60)
    assert world.holder() == "a", "the standby can do no better"
    world.kafka.coordinates = True
    world.kafka.stir()
    await led(leader)
    await until(lambda: len(world.outcomes()) == 11)
    assert set(world.upstream.calls.values()) == {1}
    assert {outcome["term"] for outcome in world.outcomes()} == {1}
    await leader.end()
    await standby.end()


async def test_what_a_leader_lived_through_is_no_suspect_after_a_doubt_though_it_reads_no_line_of_its_own() -> None:
    world = World(latency_s=30)
    named = LedgerRecord(LedgerKind.STEP, 1, "dead", suspects=(f"{PREFIX}.requests.bulk/0/0",))
    for line in (claim_record(1, "dead"), named, claim_record(2, "dead too")):
        world.kafka.append(LEDGER, Record(None, encode_ledger(line)))
    world.submit("r0", "bulk", partition=0)
    process = Process(world, "a").start()
    await led(process)
    await until(lambda: world.upstream.inflight == 1)
    for _ in range(2):
        caution = process.follower.deaths.cautious_read(f"{PREFIX}.requests.bulk/0", 9)
        assert caution is None or not caution.deaths, "it was read, and lived through"
        await _doubt(world, process)
    await until(lambda: len(world.outcomes()) == 1)
    assert world.outcomes()[0]["status"] == "completed"
    await process.end()
