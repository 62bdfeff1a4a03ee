"""A process that began with a wrong clock: corrected where Redis and Kafka agree, and nowhere else."""

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.service.intake.handover import STAMPED_AHEAD_MAX_MS
from headrace.broker.service.leadership.clock_check import ASKED_TIMES, TOLERANCE_MS, Timekeeper
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerKind
from headrace.schemas.record import Record
from tests.unit.service.rig import PREFIX, WALL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_MS = 3_600_000
NOW_MS = int(WALL.timestamp() * 1_000)


class Rig:
    """A clock that is off by so much, and a Redis that is off by so much."""

    def __init__(self, *, off_ms: int = 0, redis_off_ms: int = 0) -> None:
        self.clock = WallClock(lambda: 0.0, lambda: WALL + timedelta(milliseconds=off_ms))
        self.store = MemoryLeaseStore(lambda: NOW_MS + redis_off_ms)
        self.keeper = Timekeeper(self.clock, MemoryLease(self.store, "k", ttl_ms=1_000, token="t"))

    @property
    def off_ms(self) -> int:
        return self.clock.utc_ms() - NOW_MS


@pytest.mark.parametrize("off_ms", [HOUR_MS, -HOUR_MS, TOLERANCE_MS + 1])
async def test_a_clock_that_redis_and_kafka_contradict_alike_is_corrected(off_ms: int) -> None:
    rig = Rig(off_ms=off_ms)
    await rig.keeper.ask_redis()
    rig.keeper.compare_kafka(NOW_MS, rig.clock.utc_ms())
    assert rig.off_ms == 0


@pytest.mark.parametrize(
    ("given", "kafka_ms"),
    [
        ({"off_ms": HOUR_MS, "redis_off_ms": HOUR_MS}, NOW_MS),
        ({"redis_off_ms": HOUR_MS}, NOW_MS),
        ({}, NOW_MS + HOUR_MS),
        ({"off_ms": TOLERANCE_MS}, NOW_MS),
    ],
    ids=["Redis agrees with us", "Redis alone", "Kafka alone", "within what clocks may differ by"],
)
async def test_one_clock_alone_corrects_nothing(given: Mapping[str, int], kafka_ms: int) -> None:
    rig = Rig(**given)
    await rig.keeper.ask_redis()
    rig.keeper.compare_kafka(kafka_ms, rig.clock.utc_ms())
    assert rig.off_ms == given.get("off_ms", 0)


async def test_a_redis_that_is_silent_has_said_what_it_said_before() -> None:
    rig = Rig(off_ms=HOUR_MS)
    rig.store.available = False
    assert not await rig.keeper.ask_redis()
    assert rig.keeper.earliest_utc_ms() == NOW_MS + HOUR_MS
    rig.store.available = True
    assert await rig.keeper.ask_redis()
    rig.store.available = False
    assert await rig.keeper.ask_redis()
    assert rig.keeper.earliest_utc_ms() == NOW_MS
    rig.keeper.compare_kafka(NOW_MS, rig.clock.utc_ms())
    assert rig.off_ms == 0


async def test_a_record_that_was_on_its_way_for_long_says_nothing_against_a_clock() -> None:
    rig = Rig()
    await rig.keeper.ask_redis()
    rig.keeper.compare_kafka(NOW_MS - 20_000, NOW_MS - 30_000)
    assert rig.off_ms == 0


async def test_a_clock_that_is_behind_takes_redis_for_no_reason_to_read_less() -> None:
    rig = Rig(off_ms=-HOUR_MS)
    await rig.keeper.ask_redis()
    assert rig.keeper.earliest_utc_ms() == NOW_MS - HOUR_MS


class _Skewed(World):
    """One process's clock is off."""

    def process(self, owner: str, off_ms: int) -> Process:
        right = self.clock
        self.clock = WallClock(self.clock._loop_s, lambda: right.utc_now() + timedelta(milliseconds=off_ms))
        try:
            return Process(self, owner)
        finally:
            self.clock = right


async def _where_x_was_answered() -> _Skewed:
    """By a leader whose clock was right, and who has died since."""
    world = _Skewed()
    first = Process(world, "a").start()
    await led(first)
    world.submit("x")
    await until(lambda: len(world.outcomes()) == 1)
    await first.kill()
    return world


@pytest.mark.parametrize("off_ms", [2 * HOUR_MS, -2 * HOUR_MS])
async def test_a_successor_whose_clock_is_hours_off_knows_who_was_answered_and_keeps_deadlines(off_ms: int) -> None:
    world = await _where_x_was_answered()
    second = world.process("b", off_ms).start()
    await led(second)
    assert abs(second.clock.utc_ms() - world.clock.utc_ms()) < 1_000
    world.submit("x")
    world.submit("y")
    await until(lambda: len(world.outcomes()) == 2)
    assert world.upstream.calls == {"x": 1, "y": 1}
    assert [outcome["status"] for outcome in world.outcomes()] == ["completed"] * 2
    await second.end()


class _Untold(MemoryLease):
    """Redis grants the lease, and for a while does not answer what time it is."""

    asked = 0
    silent_times = 2 * ASKED_TIMES

    async def server_time_ms(self) -> int:
        _Untold.asked += 1
        if _Untold.asked <= _Untold.silent_times:
            raise LeaseUnavailable
        return await super().server_time_ms()


async def test_whose_clock_is_ahead_leads_only_once_redis_has_said_so_and_answers_nobody_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await _where_x_was_answered()
    monkeypatch.setattr(Process, "lease_type", _Untold)
    monkeypatch.setattr(_Untold, "asked", 0)
    second = world.process("b", 2 * HOUR_MS).start()
    await until(lambda: "(TIME)" in (second.health.trouble or ""))
    await led(second)
    assert second.health.trouble is None
    assert _Untold.asked == _Untold.silent_times + 1
    world.submit("x")
    world.submit("y")
    await until(lambda: len(world.outcomes()) == 2)
    assert [(outcome["id"], outcome["status"]) for outcome in world.outcomes()] == [
        ("x", "completed"),
        ("y", "completed"),
    ]
    assert [line.term for line in world.ledger() if line.kind is LedgerKind.CLAIM] == [1, 2], "none by too short a look"
    await second.end()


async def test_one_lost_reply_of_redis_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Untold, "asked", 0)
    monkeypatch.setattr(_Untold, "silent_times", ASKED_TIMES - 1)
    rig = Rig(off_ms=HOUR_MS)
    keeper = Timekeeper(rig.clock, _Untold(rig.store, "k", ttl_ms=1_000, token="t"))
    assert await keeper.ask_redis()
    assert keeper.earliest_utc_ms() == NOW_MS


class _AsWrong(MemoryLease):
    """Redis' clock is off by as much."""

    off_ms = 0

    async def server_time_ms(self) -> int:
        return await super().server_time_ms() + self.off_ms


@pytest.mark.parametrize("off_ms", [HOUR_MS, -HOUR_MS])
async def test_a_cancel_holds_by_kafkas_own_times_while_nobody_can_set_the_leaders_clock_right(
    off_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = _Skewed()
    monkeypatch.setattr(Process, "lease_type", _AsWrong)
    monkeypatch.setattr(_AsWrong, "off_ms", off_ms)
    first = world.process("a", off_ms).start()
    await led(first)
    assert abs(first.clock.utc_ms() - world.clock.utc_ms()) > HOUR_MS // 2
    for name in ("x", "y"):
        world.cancel(name)
    await until(lambda: sum(len(line.cancels) for line in world.ledger()) == 2)
    world.submit("x")
    await until(lambda: len(world.outcomes()) == 1)
    await first.kill()
    monkeypatch.undo()
    second = Process(world, "b").start()
    await led(second)
    world.submit("y")
    await until(lambda: len(world.outcomes()) == 2)
    assert [(outcome["id"], outcome["reason"]) for outcome in world.outcomes()] == [
        ("x", "cancelled"),
        ("y", "cancelled"),
    ]
    assert world.upstream.calls == {}
    await second.end()


async def test_a_cancel_that_says_it_is_of_next_year_does_not_wait_until_then() -> None:
    world = World()
    process = Process(world, "a").start()
    await led(process)
    value = json.dumps({"type": "cancel", "id": "x"}).encode()
    topic = topics.control_topic(PREFIX)
    world.kafka.append(topic, Record(b"x", value), at_ms=world.clock.utc_ms() + 365 * 24 * HOUR_MS)
    await until(lambda: any(line.cancels for line in world.ledger()))
    (waiting,) = [cancel for line in world.ledger() for cancel in line.cancels]
    assert waiting.timestamp_ms - world.clock.utc_ms() <= STAMPED_AHEAD_MAX_MS
    await process.end()
