"""Who leads, and how a process finds out that it no longer does: each doubt with the answer PROTOCOL 3 gives it."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from headrace.broker.core.config import REDIS_ANSWERS_WITHIN_MS
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import Fetched, LeaseForeign, LeaseMine, LeaseView, UnreadableRange
from headrace.broker.testing.kafka_doors import MemoryLane, MemoryTransactions
from headrace.broker.testing.lease import MemoryLease
from tests.unit.service.rig import NAME, Process, World, feed, led, loaded, settings_of, standing_by, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
_T = TypeVar("_T")


# ---------------------------------------------------------------------------------------------------- leading


async def test_a_leader_renews_and_its_key_never_runs_out() -> None:
    world = World()
    process = Process(world, "a").start()
    await led(process)
    for _ in range(100):
        await asyncio.sleep(0.1)
        assert world.holder() == "a"
    await process.end()


async def test_a_leader_sets_its_key_again_when_redis_was_emptied() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    world.leases.empty()
    await until(lambda: world.holder() == "a", 1)
    await asyncio.sleep(5)
    assert first.health.role == "leader"
    assert world.claims() == [(1, "a")]
    await first.end()
    await second.end()


class SlowToFail(MemoryLease):
    """A Redis that is away is found out only when the time for an answer is over."""

    fails_after_s = REDIS_ANSWERS_WITHIN_MS / 1_000

    async def look(self) -> LeaseView:
        return await self._patiently(super().look())

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        return await self._patiently(super().renew(restore=restore))

    async def _patiently(self, asked: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await asked
        except LeaseUnavailable:
            await asyncio.sleep(self.fails_after_s)
            raise


class Patient(Process):
    lease_type = SlowToFail


async def away(world: World, seconds: float, *, emptied: bool) -> None:
    world.leases.available = False
    await asyncio.sleep(seconds)
    if emptied:
        world.leases.empty()
    world.leases.available = True


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("emptied", [False, True])
async def test_a_living_leader_keeps_its_lease_when_redis_comes_back_at_whatever_moment(
    *, busy: bool, emptied: bool
) -> None:
    """Its last question may have been asked just before, and fails only after a second: a standby waits for longer."""
    world = World(latency_s=0.1)
    first, second = Patient(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    world.upstream.latency_s = 100 if busy else 0.1
    world.submit("long")
    for number in range(20):
        await away(world, 1.3 + 0.13 * number, emptied=emptied)
        await asyncio.sleep(4)
        assert world.holder() == "a", f"away for {1.3 + 0.13 * number} s"
    assert world.claims() == [(1, "a")]
    await second.end()
    world.upstream.latency_s = 0.1
    await first.kill()


async def test_where_kafka_was_away_too_the_leader_proves_itself_first_and_pays_nothing_twice() -> None:
    world = World(latency_s=30)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    world.submit("long")
    await until(lambda: world.upstream.inflight == 1)
    world.kafka.stop()
    await away(world, 20, emptied=True)
    await asyncio.sleep(3)
    assert world.holder() is None, "nothing proves yet that it still leads"
    world.kafka.start_again()
    await until(lambda: world.holder() == "a", 10)
    await until(lambda: len(world.outcomes()) == 1, 40)
    assert [owner for _, owner in world.claims()] == ["a"] * len(world.claims())
    assert len(world.upstream.asked) == 1
    await first.end()
    await second.end()


async def test_a_leader_that_was_replaced_meanwhile_sets_no_absent_key_again() -> None:
    """It finds out by the proof that it needs first: another one has claimed."""
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    first.lease.is_cut = True
    first.link.cut()
    await led(second)
    first.lease.is_cut = False
    second.lease.is_cut = True
    world.leases.empty()
    await asyncio.sleep(1)
    assert world.holder() is None
    first.link.mend()
    await until(lambda: first.health.role == "standby", 30)
    assert world.holder() != "a"
    second.lease.is_cut = False
    await first.end()
    await second.end()


@pytest.mark.slow
async def test_a_leader_that_has_nothing_to_do_is_seen_in_the_ledger_however_short_its_window() -> None:
    world = World()
    settings = settings_of(dedupe={"window_s": 60})
    process = Process(world, "a", settings=settings).start()
    await led(process)
    for _ in range(12):
        await asyncio.sleep(29)
        late = Process(world, "b", settings=settings)
        await late.follower.catch_up()
        assert (late.follower.is_empty, late.follower.last_claim) == (False, (1, "a"))
        await late.follower.close()
    await process.end()


async def test_a_foreign_holder_ends_the_term_and_its_calls() -> None:
    world = World(latency_s=100)
    process = Process(world, "a").start()
    await led(process)
    world.upstream.latency_s = 1
    await warmed(world)
    world.upstream.latency_s = 100
    for number in range(10):
        world.submit(f"r{number}")
    await until(lambda: world.upstream.inflight == 10)
    world.leases.set(world.lease_key(), "somebody", px=60_000)
    assert await until(lambda: process.health.role == "standby", 10) < 4
    assert world.upstream.inflight == 0
    assert world.holder() == "somebody"
    assert world.kafka.opened[NAME] == 1
    assert not process.hold.cargo
    await process.end()


async def test_no_call_begins_once_a_foreign_holder_was_seen() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    world.leases.set(world.lease_key(), "somebody", px=60_000)
    await until(lambda: process.health.holder == "somebody", 1)
    calls = len(world.upstream.asked)
    world.submit("too late")
    await until(lambda: process.health.role == "standby", 10)
    assert len(world.upstream.asked) == calls
    await process.end()


async def test_an_idle_leader_is_trusted_by_its_renewals_alone() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    for _ in range(100):
        await asyncio.sleep(0.1)
        assert process.core.trust.holds(world.clock.now_ms())
    await process.end()


async def test_an_idle_leader_is_not_cut_off_from_kafka() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    await asyncio.sleep(60)
    assert (first.health.role, world.holder()) == ("leader", "a")
    await first.end()
    await second.end()


@pytest.mark.slow
async def test_a_leader_busy_with_commits_is_not_cut_off_from_kafka() -> None:
    """Its commits tell that Kafka is there: it never finds the time to ask."""
    world = World(latency_s=1)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    for number in range(150):
        world.submit(f"x{number}", stream=True)
        await asyncio.sleep(0.2)
    assert (first.health.role, world.holder()) == ("leader", "a")
    await first.end()
    await second.end()


@pytest.mark.slow
async def test_a_foreign_holder_ends_the_term_of_a_leader_that_is_never_idle() -> None:
    world = World(latency_s=0.2)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    busy = asyncio.create_task(feed(world))
    await asyncio.sleep(2)
    world.leases.set(world.lease_key(), "somebody", px=600_000)
    assert await until(lambda: process.health.role == "standby", 30) < 6
    busy.cancel()
    await asyncio.wait({busy})
    await process.end()


async def test_a_silent_redis_stops_no_leader_that_proves_itself() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    world.leases.available = False
    await asyncio.sleep(10)
    world.submit("while redis is away")
    await until(lambda: len(world.outcomes()) == 7, 5)
    assert (process.health.role, process.health.redis_ready) == ("leader", False)
    world.leases.available = True
    await until(lambda: process.health.redis_ready, 2)
    assert world.claims() == [(1, "a")]
    await process.end()


async def test_an_idle_leader_knows_within_a_second_or_two_that_kafka_is_away() -> None:
    world = World()
    process = Process(world, "a").start()
    await led(process)
    await asyncio.sleep(10)
    world.kafka.stop()
    assert await until(lambda: not process.health.kafka_ready, 10) < 4
    world.kafka.start_again()
    await until(lambda: process.health.kafka_ready and process.health.role == "leader", 10)
    assert process.health.trouble is None
    await process.end()


# ---------------------------------------------------------------------------------------------------- defects


class _TornLease(MemoryLease):
    """Raises what no lease may."""

    is_torn = False

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        if self.is_torn:
            raise ValueError("torn")
        return await super().renew(restore=restore)


class _TornLane(MemoryLane):
    """Raises what no lane may."""

    is_torn = False

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        if self.is_torn:
            raise ValueError("torn")
        return await super().take(partition, records_max)


class _TornProcess(Process):
    lease_type = _TornLease
    lane_type = _TornLane


async def test_a_renewal_that_breaks_is_noticed_and_all_is_given_back() -> None:
    world = World()
    process = _TornProcess(world, "a").start()
    await led(process)
    assert isinstance(process.lease, _TornLease)
    process.lease.is_torn = True
    assert await until(process.leading.done, 20) < 3
    with pytest.raises(ValueError, match="torn"):
        process.leading.result()
    assert world.holder() == "released"
    process.tasks[0].cancel()


@pytest.mark.slow
async def test_a_lane_that_breaks_is_noticed_though_the_others_are_busy() -> None:
    world = World(latency_s=0.2)
    process = _TornProcess(world, "a").start()
    await led(process)
    feeding = asyncio.create_task(feed(world))
    await asyncio.sleep(1)
    torn = process.intakes["bulk"].log
    assert isinstance(torn, _TornLane)
    torn.is_torn = True
    assert await until(process.leading.done, 20) < 3
    with pytest.raises(ValueError, match="torn"):
        process.leading.result()
    assert world.holder() == "released", "a defect in one place must not keep the others from being given back"
    assert not process.hold.cargo
    feeding.cancel()
    await asyncio.wait({feeding})
    process.tasks[0].cancel()


async def test_another_client_with_our_transactional_id_is_survived() -> None:
    """A stranger's producer fences us once; our lease is valid, so we claim again."""
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 3)
    await MemoryTransactions(process.link, transactional_id=NAME).open()
    await until(lambda: process.health.role != "leader", 10)
    await led(process)
    await until(lambda: len(world.outcomes()) == 4)
    assert set(world.upstream.calls.values()) == {1}
    await process.end()
