"""Standing by: what is followed, when the lease is looked at and taken, and what is noted and shown meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import RELEASED, Trust
from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import LeaseTaken, LeaseView
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.standby import BACKOFF_MAX_S, RELEASED_SOON_MS, Contender, Standby
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

KEY = "k"
TIMES = LeaseTimes()


class Followed:
    """What is kept up with: Kafka answers or not."""

    reached_ms = 0

    def __init__(self) -> None:
        self.is_there = True
        self.answers = True
        self.has_just_left = False
        self.is_empty = True
        self.caught_up = 0
        self.closed = 0
        self.probed_s: list[float] = []
        self.waited_ms: list[int] = []

    async def catch_up(self) -> None:
        self.caught_up += 1
        self._reach()

    async def follow(self, timeout_ms: int) -> int:
        self._reach()
        self.waited_ms.append(timeout_ms)
        await asyncio.sleep(timeout_ms / 1_000)
        return 0

    async def reaches_kafka(self) -> bool:
        self.probed_s.append(asyncio.get_running_loop().time())
        return self.answers

    async def close(self) -> None:
        self.closed += 1

    def _reach(self) -> None:
        if not self.is_there:
            raise LogUnavailable("away")


class Lease(MemoryLease):
    """Counts looks, and notes when this process was noted as ready."""

    def __init__(self, store: MemoryLeaseStore) -> None:
        super().__init__(store, KEY, ttl_ms=TIMES.ttl_ms, token="me")
        self.looks = 0
        self.noted_s: list[float] = []
        self.loses_to: str | None = None  # this process takes the lease first
        self.loses_for_ms = TIMES.ttl_ms  # what is left of that lease in the answer
        self.is_emptied = True  # Redis, after that

    async def take(self) -> LeaseTaken | LeaseView:
        if self.loses_to is None:
            return await super().take()
        self._store.set(KEY, self.loses_to, px=self.loses_for_ms)
        self.loses_to = None
        answer = await super().take()
        if self.is_emptied:
            self._store.empty()
        return answer

    async def look(self) -> LeaseView:
        self.looks += 1
        return await super().look()

    async def note_ready(self) -> None:
        self.noted_s.append(asyncio.get_running_loop().time())
        await super().note_ready()


class Rig:
    def __init__(self, *, dice: Callable[[], float] = lambda: 0.5) -> None:
        loop = asyncio.get_running_loop()
        self.begun_s = loop.time()
        self.clock = WallClock(loop.time, lambda: datetime(2026, 12, 1, tzinfo=UTC))
        self.store = MemoryLeaseStore(self.clock.now_ms)
        self.lease, self.followed, self.health = Lease(self.store), Followed(), Health()
        self.health.term = 7
        self.heard: list[int | None] = []
        self.leaving = asyncio.Event()
        heard, trust = self.heard.append, Trust(TIMES)
        self.standby = Standby(Contender(self.lease, self.followed, trust, heard, self.clock, self.health, TIMES, "me"))
        self.waiting = asyncio.create_task(self.standby.wait(self.leaving, dice))

    async def at(self, seconds: float) -> None:
        """Wait until so long after the beginning."""
        await asyncio.sleep(self.begun_s + seconds - asyncio.get_running_loop().time())


@asynccontextmanager
async def begun(holder: str | None = "other") -> AsyncIterator[Rig]:
    """A standby while that one holds the lease, which lives for long; it leaves in the end, and has taken nothing."""
    rig = Rig()
    if holder is not None:
        rig.store.set(KEY, holder, px=TIMES.ttl_ms)
    renewing = asyncio.create_task(_renew(rig, holder))
    yield rig
    renewing.cancel()
    rig.leaving.set()
    assert await rig.waiting is False


async def _renew(rig: Rig, holder: str | None) -> None:
    while holder is not None:
        await asyncio.sleep(0.4)
        if rig.store.available:
            rig.store.set(KEY, holder, px=TIMES.ttl_ms)


async def test_a_standby_leads_no_term_and_shows_who_holds_the_lease() -> None:
    async with begun() as rig:
        await rig.at(1)
        assert (rig.health.role, rig.health.term, rig.health.holder) == ("standby", 0, "other")
        assert (rig.health.kafka_ready, rig.health.redis_ready) == (True, True)


async def test_kafka_is_probed_each_second_and_readiness_noted_each_half() -> None:
    async with begun() as rig:
        await rig.at(10.05)
        assert [round(each - rig.begun_s, 1) for each in rig.followed.probed_s] == [float(n) for n in range(11)]
        noted = [round(each - rig.begun_s, 1) for each in rig.lease.noted_s]
        assert noted == [round(0.6 * n, 1) for n in range(17)], "with the first look at least half a second later"
        assert set(rig.followed.waited_ms) == {TIMES.poll_every_ms}


async def test_a_note_is_made_anew_after_exactly_half_a_second() -> None:
    async with begun() as rig:
        rig.followed.has_just_left = True
        await rig.at(2.01)
        noted = [round(each - rig.begun_s, 2) for each in rig.lease.noted_s]
        assert noted == [0.0, 0.5, 1.0, 1.5, 2.0]


async def test_a_lease_is_looked_at_more_often_once_its_holder_has_said_that_it_leaves() -> None:
    async with begun() as rig:
        rig.followed.has_just_left = True
        await rig.at(1.01)
        assert set(rig.followed.waited_ms) == {RELEASED_SOON_MS}
        assert rig.lease.looks == 1 + 1_000 // RELEASED_SOON_MS


async def test_a_kafka_that_does_not_answer_keeps_it_from_looking_at_the_lease() -> None:
    async with begun() as rig:
        rig.followed.answers = False
        await rig.at(1.1)
        looks = rig.lease.looks
        assert rig.health.kafka_trouble == "Kafka does not answer."
        await rig.at(5)
        assert rig.lease.looks == looks
        assert len(rig.followed.waited_ms) == 25, "it goes on following without a pause"


async def test_a_ledger_that_is_away_is_closed_and_opened_again_after_a_pause_by_chance() -> None:
    async with begun() as rig:
        await rig.at(1.05)
        rig.followed.is_there = False
        await rig.at(1.25)
        assert (rig.followed.closed, rig.followed.caught_up, rig.health.kafka_trouble) == (1, 1, "away")
        await rig.at(1.25 + BACKOFF_MAX_S * 0.5)
        assert (rig.followed.closed, rig.followed.caught_up) == (2, 2)


async def test_a_redis_that_is_silent_is_shown_and_a_look_that_fails_proves_nothing() -> None:
    async with begun() as rig:
        await rig.at(1)
        rig.store.available = False
        await rig.at(1.3)
        assert not rig.health.redis_ready
        assert "away" in (rig.health.redis_trouble or "")
        rig.store.available = True
        await rig.at(1.6)
        assert rig.health.redis_trouble is None
        assert rig.health.redis_ready


async def test_a_look_that_failed_lets_the_time_of_silence_begin_anew() -> None:
    rig = Rig()
    rig.store.set(KEY, "other", px=TIMES.ttl_ms)
    await rig.at(1.7)
    rig.store.available = False
    await rig.at(1.9)
    rig.store.available = True
    await rig.at(2.0 + TIMES.reclaim_ms / 1_000 - 0.05)
    assert not rig.waiting.done()
    await rig.at(2.0 + TIMES.reclaim_ms / 1_000 + 0.25)
    assert rig.waiting.done()


@pytest.mark.parametrize("standing", [None, RELEASED])
async def test_a_lease_that_is_free_is_taken_and_counts_from_the_question(standing: str | None) -> None:
    rig = Rig()
    if standing is not None:
        rig.store.set(KEY, standing)
    sent_ms = rig.clock.now_ms()
    assert await rig.waiting is True
    assert rig.heard == [sent_ms]
    assert rig.health.holder == "me"


async def test_a_process_whose_term_is_over_catches_up_before_it_looks_at_the_lease_again() -> None:
    """A leader in doubt may have closed the ledger, and a candidate must know every line before it takes the lease."""
    rig = Rig()
    assert await rig.waiting is True
    looks = rig.lease.looks
    rig.followed.is_there = False
    waiting = asyncio.create_task(rig.standby.wait(rig.leaving, lambda: 0.5))
    await asyncio.sleep(0.1)
    assert (rig.followed.caught_up, rig.lease.looks) == (2, looks)
    rig.followed.is_there = True
    assert await waiting is True
    assert rig.followed.caught_up == 3


@pytest.mark.parametrize("standing", [None, RELEASED])
async def test_a_lease_that_another_process_took_first_is_left_to_it_though_redis_is_emptied(
    standing: str | None,
) -> None:
    rig = Rig()
    rig.lease.loses_to = "other"
    if standing is not None:
        rig.store.set(KEY, standing)
    await rig.at((TIMES.ttl_ms + TIMES.silence_ms) / 1_000 - 0.05)
    assert not rig.waiting.done()
    await rig.at((TIMES.ttl_ms + TIMES.silence_ms) / 1_000 + 0.25)
    assert await rig.waiting is True


async def test_a_lease_that_another_process_took_first_and_never_renewed_is_taken_when_it_expires() -> None:
    """The answer came late, and counts as a look like any other: the time of silence does not begin anew after it."""
    rig = Rig()
    rig.lease.loses_to, rig.lease.is_emptied = "other", False
    rig.lease.loses_for_ms = TIMES.ttl_ms - TIMES.answer_ms
    assert rig.lease.loses_for_ms < TIMES.reclaim_ms
    await rig.at((rig.lease.loses_for_ms - TIMES.poll_every_ms) / 1_000 + 0.05)
    assert (rig.waiting.done(), rig.health.holder) == (False, "other")
    await rig.at(rig.lease.loses_for_ms / 1_000 + 0.05)
    assert rig.waiting.done()
    assert rig.waiting.result() is True
