"""Keeping the lease: what each answer of Redis means, and when a leader without Kafka hands over."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import RELEASED, Trust
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import LeaseForeign, LeaseMine, LeaseView
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.renewal import Renewal
from headrace.broker.service.leadership.standby import Contender, Followed
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

KEY = "k"
TIMES = LeaseTimes()
LATE = "no recent proof"


class Kafka:
    """What a promotion needs: it answers or not, and each question takes so long."""

    def __init__(self) -> None:
        self.reached_ms = 0
        self.is_there = False
        self.takes_s = 0.1
        self.asked = 0
        self.left = 0

    async def reaches_kafka(self) -> bool:
        self.asked += 1
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.left += 1
            raise
        return self.is_there


class Lease(MemoryLease):
    """One whose answers take so long, or fail."""

    takes_s = 0.0
    look_takes_s = 0.0
    release_takes_s = 0.0
    is_silent_of_standbys = False
    is_silent_at_release = False
    defect: Exception | None = None

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        if self.defect is not None:
            raise self.defect
        answer = await super().renew(restore=restore)
        await asyncio.sleep(self.takes_s)
        return answer

    async def look(self) -> LeaseView:
        answer = await super().look()
        await asyncio.sleep(self.look_takes_s)
        return answer

    async def ready_standbys(self) -> list[str]:
        if self.is_silent_of_standbys:
            raise LeaseUnavailable("silent")
        return await super().ready_standbys()

    async def release(self) -> None:
        await asyncio.sleep(self.release_takes_s)
        if self.is_silent_at_release:
            raise LeaseUnavailable("silent")
        await super().release()


class Rig:
    """A leader that holds the lease, and trusts it unless told otherwise."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun_s = loop.time()
        self.clock = WallClock(loop.time, lambda: datetime(2026, 12, 1, tzinfo=UTC))
        self.store = MemoryLeaseStore(self.clock.now_ms)
        self.lease = Lease(self.store, KEY, ttl_ms=TIMES.ttl_ms, token="me")
        self.standby = MemoryLease(self.store, KEY, ttl_ms=TIMES.ttl_ms, token="other")
        self.store.set(KEY, "me", px=TIMES.ttl_ms)
        self.trust = Trust(TIMES)
        self.kafka = Kafka()
        self.health = Health()
        self.health.holder = "me"
        self.heard: list[int | None] = []
        kafka = cast("Followed", self.kafka)  # a renewal asks nothing else of it
        self.renewal = Renewal(
            Contender(self.lease, kafka, self.trust, self.renewed, self.clock, self.health, TIMES, "me")
        )

    def renewed(self, sent_ms: int | None) -> None:
        self.heard.append(sent_ms)
        self.trust.extend_by_renewal(sent_ms)

    async def at(self, seconds: float) -> None:
        """Wait until so long after the beginning."""
        await asyncio.sleep(self.begun_s + seconds - asyncio.get_running_loop().time())

    def left_ms(self) -> int:
        """How long the key still lives."""
        entry = self.store.get(KEY)
        assert entry is not None
        assert entry[1] is not None
        return entry[1]


@asynccontextmanager
async def begun() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    assert await rig.renewal.end() is None


async def ready(rig: Rig, until_s: float) -> None:
    """A standby that reaches all, until then."""
    while asyncio.get_running_loop().time() < rig.begun_s + until_s:
        await rig.standby.note_ready()
        await asyncio.sleep(0.1)


# ---------------------------------------------------------------------------------------------------- one answer


async def test_a_key_of_ours_is_prolonged_whether_or_not_anything_proves_that_we_lead() -> None:
    async with begun() as rig:
        await asyncio.sleep(0.3)
        assert await rig.renewal.ask() == LeaseMine()
        assert rig.left_ms() == TIMES.ttl_ms
        assert rig.heard == [rig.clock.now_ms()]


async def test_the_key_of_another_proves_nothing() -> None:
    async with begun() as rig:
        rig.store.set(KEY, "other", px=TIMES.ttl_ms)
        assert await rig.renewal.ask() == LeaseForeign("other")
        assert rig.heard == []


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_an_absent_key_is_set_again_only_while_something_proves_that_we_lead(*, is_trusted: bool) -> None:
    async with begun() as rig:
        rig.store.empty()
        if is_trusted:
            rig.trust.extend_by_commit(rig.clock.now_ms())
            assert await rig.renewal.ask() == LeaseMine()
            assert rig.left_ms() == TIMES.ttl_ms
        else:
            with pytest.raises(LeaseUnavailable, match=LATE):
                await rig.renewal.ask()
            assert rig.store.get(KEY) is None
            assert rig.heard == [None]


async def failed_while_trusted(rig: Rig) -> None:
    """A question that may have set the key again, had no answer; then the trust ended."""
    rig.trust.extend_by_commit(rig.clock.now_ms())
    rig.store.available = False
    with pytest.raises(LeaseUnavailable, match="away"):
        await rig.renewal.ask()
    assert rig.heard == [None]
    rig.trust.revoke(rig.clock.now_ms())


@pytest.mark.parametrize("failures_more", [0, 1])
async def test_a_key_that_a_late_question_may_have_set_is_looked_at_and_not_prolonged(failures_more: int) -> None:
    async with begun() as rig:
        await failed_while_trusted(rig)
        for _ in range(failures_more):
            with pytest.raises(LeaseUnavailable, match="away"):
                await rig.renewal.ask()
        rig.store.available = True
        asked = rig.lease.renewals
        await asyncio.sleep(0.3)
        for _ in range(2):
            with pytest.raises(LeaseUnavailable, match=LATE):
                await rig.renewal.ask()
        assert rig.lease.renewals == asked
        assert rig.left_ms() == TIMES.ttl_ms - 300
        rig.store.set(KEY, "other", px=TIMES.ttl_ms)
        assert await rig.renewal.ask() == LeaseForeign("other")


async def test_a_look_prolongs_no_trust_though_a_commit_proves_meanwhile_that_we_lead() -> None:
    async with begun() as rig:
        rig.trust.extend_by_commit(rig.clock.now_ms() - TIMES.proof_ms + 50)
        rig.store.available = False
        with pytest.raises(LeaseUnavailable, match="away"):
            await rig.renewal.ask()
        rig.store.available = True
        await asyncio.sleep(0.06)
        rig.lease.look_takes_s = 0.2
        asking = asyncio.create_task(rig.renewal.ask())
        await asyncio.sleep(0.1)
        rig.trust.extend_by_commit(rig.clock.now_ms() - TIMES.proof_ms + 500)
        proved_until = rig.trust.until()
        with pytest.raises(LeaseUnavailable, match=LATE):
            await asking
        assert rig.trust.until() == proved_until
        assert rig.left_ms() < TIMES.ttl_ms
        assert await rig.renewal.ask() == LeaseMine()
        assert rig.left_ms() == TIMES.ttl_ms


async def test_a_proof_ends_the_doubt_in_the_key() -> None:
    async with begun() as rig:
        await failed_while_trusted(rig)
        rig.store.available = True
        rig.store.empty()
        rig.trust.extend_by_renewal(rig.clock.now_ms() + 1)
        assert await rig.renewal.ask() == LeaseMine()
        assert rig.left_ms() == TIMES.ttl_ms
        rig.trust.revoke(rig.clock.now_ms())
        assert await rig.renewal.ask() == LeaseMine(), "prolonged as before"


async def test_an_answer_that_came_after_the_trust_had_ended_is_a_late_one() -> None:
    async with begun() as rig:
        rig.trust.extend_by_commit(rig.clock.now_ms())
        rig.lease.takes_s = TIMES.proof_ms / 1_000
        with pytest.raises(LeaseUnavailable, match=LATE):
            await rig.renewal.ask()
        assert rig.heard[-1] is None


@pytest.mark.parametrize("holder", ["me", "other"])
async def test_a_redis_that_was_silent_is_shown_until_it_answers_again(holder: str) -> None:
    async with begun() as rig:
        rig.store.available = False
        with pytest.raises(LeaseUnavailable, match="away"):
            await rig.renewal.ask()
        assert not rig.health.redis_ready
        assert "away" in (rig.health.redis_trouble or "")
        rig.store.available = True
        rig.store.set(KEY, holder, px=TIMES.ttl_ms)
        await rig.renewal.ask()
        assert rig.health.redis_ready
        assert rig.health.redis_trouble is None


# ---------------------------------------------------------------------------------------------------- all the while


async def test_it_is_asked_every_four_tenths_of_a_second() -> None:
    async with begun() as rig:
        await rig.at(400.1)
        assert rig.lease.renewals == 1_000
        assert not rig.renewal.is_over
        assert rig.renewal.over_for_ms() == 0


async def test_the_key_of_another_ends_it() -> None:
    async with begun() as rig:
        rig.lease.is_silent_of_standbys = True
        rig.renewal.reached_ms = -100_000
        await rig.at(1.0)
        rig.store.set(KEY, "other", px=100_000)
        await rig.at(1.3)
        asked = rig.lease.renewals
        assert rig.renewal.is_over, "who stands by is not asked any more"
        assert rig.renewal.over_for_ms() == 100
        assert rig.trust.until() == 0
        assert rig.health.holder == "other"
        await rig.at(5)
        assert rig.lease.renewals == asked
        assert rig.renewal.over_for_ms() == 3_800


async def test_a_defect_ends_it_and_is_told_at_the_end() -> None:
    rig = Rig()
    rig.lease.defect = RuntimeError("a defect")
    await rig.at(1)
    assert rig.renewal.is_over
    assert await rig.renewal.end() is rig.lease.defect


# ---------------------------------------------------------------------------------------------------- cut off


@asynccontextmanager
async def cut_off(*, until_s: float = 100.0) -> AsyncIterator[Rig]:
    """Kafka was reached last after 0.2 s; a standby reaches it until then."""
    async with begun() as rig:
        rig.renewal.reached_ms = rig.clock.now_ms() + 200
        standing_by = asyncio.create_task(ready(rig, until_s))
        yield rig
        standing_by.cancel()


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_leader_that_is_cut_off_hands_over_to_a_standby_that_is_not(*, is_silent: bool) -> None:
    async with cut_off() as rig:
        rig.lease.is_silent_at_release = is_silent
        rig.lease.release_takes_s = 1
        await rig.at(15.19)
        assert not rig.renewal.is_over
        await rig.at(15.21)
        assert rig.renewal.is_over, "before the key is released"
        assert (rig.trust.until(), rig.health.holder) == (0, None)
        asked = rig.lease.renewals
        await rig.at(18)
        assert (rig.store.get(KEY) == (RELEASED, None)) is not is_silent
        assert rig.lease.renewals == asked


@pytest.mark.parametrize("who", ["the follower", "the producer"])
async def test_a_leader_that_reaches_kafka_one_way_is_not_cut_off(who: str) -> None:
    async with cut_off() as rig:
        for second in range(60):
            if who == "the follower":
                rig.kafka.reached_ms = rig.clock.now_ms()
            else:
                rig.renewal.reached_ms = rig.clock.now_ms()
            await rig.at(second + 1)
        assert not rig.renewal.is_over
        assert rig.kafka.asked == 0


async def test_a_probe_that_is_answered_counts_for_five_seconds_and_its_answer_for_no_later_one() -> None:
    async with cut_off() as rig:
        rig.kafka.is_there = True
        await rig.at(6.5)
        asked: Sequence[int] = [rig.kafka.asked]
        rig.kafka.is_there = False
        await rig.at(10.7)
        asked = [*asked, rig.kafka.asked]
        assert asked == [2, 2]
        await rig.at(20.79)
        assert not rig.renewal.is_over
        await rig.at(20.81)
        assert rig.renewal.is_over


async def test_a_standby_that_was_ready_for_less_than_ten_seconds_takes_nothing_over() -> None:
    async with cut_off(until_s=12.0) as rig:
        await rig.at(30)
        assert not rig.renewal.is_over


async def test_a_standby_that_was_not_ready_for_a_while_must_be_ready_for_ten_seconds_anew() -> None:
    async with cut_off(until_s=12.0) as rig:
        await rig.at(14.5)
        standing_by = asyncio.create_task(ready(rig, 100.0))
        await rig.at(24.3)
        assert not rig.renewal.is_over
        await rig.at(25.3)
        assert rig.renewal.is_over
        standing_by.cancel()


async def test_a_probe_under_way_ends_with_it() -> None:
    async with begun() as rig:
        rig.kafka.takes_s = 100
        rig.renewal.reached_ms = rig.clock.now_ms() + 200
        await ready(rig, 5.25)
        await rig.at(8)
        assert rig.kafka.asked == 1
        await rig.renewal.end()
        assert rig.kafka.left == 1
