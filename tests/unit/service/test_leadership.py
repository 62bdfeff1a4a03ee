"""Who leads, and how a process finds out that it no longer does: each doubt with the answer PROTOCOL 3 gives it."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from broker.errors import LogUnavailable
from broker.ports import Fetched, LeaseForeign, LeaseMine, Unreadable
from broker.service.leadership import TwoLeadersError
from broker.testing.kafka import CommitFault
from broker.testing.kafka_doors import MemoryLane, MemoryTransactions
from broker.testing.lease import MemoryLease
from tests.unit.service.rig import NAME, Process, World, led, until, warmed

pytestmark = pytest.mark.looptime(start=1_000)


async def standing_by(process: Process) -> None:
    await until(lambda: process.health.role == "standby" and process.health.kafka_ready)


async def loaded(world: World, count: int, lane: str = "standard") -> None:
    """So many calls in flight."""
    await warmed(world)
    for number in range(count):
        world.submit(f"r{number}", lane)
    await until(lambda: world.upstream.inflight == count)


# ---------------------------------------------------------------------------------------------------- election


async def test_the_first_of_all_leads_at_once_since_the_ledger_is_empty() -> None:
    world = World()
    process = Process(world, "a").start()
    assert await led(process) < 0.5
    assert world.claims() == [(1, "a")]
    await process.end()


async def test_a_process_that_never_saw_the_key_grants_a_living_leader_time_to_set_it_again() -> None:
    world = World()
    first = Process(world, "a").start()
    await led(first)
    await first.kill()
    world.leases.empty()
    second = Process(world, "b").start()
    assert 2.5 <= await led(second) < 3.2
    await second.end()


async def test_a_released_key_is_taken_at_the_next_look() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b")
    await led(first)
    second.start()
    await standing_by(second)
    await first.end()
    assert await led(second) < 0.5
    await second.end()


async def test_a_key_that_runs_out_before_our_eyes_is_taken_then() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    await asyncio.sleep(3)
    await first.kill()
    assert 1.0 < await led(second) < 2.5
    assert world.claims()[-1] == (2, "b")
    await second.end()


async def test_a_standby_that_does_not_reach_kafka_takes_nothing_and_says_so() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    second.link.cut()
    await until(lambda: not second.health.kafka_ready, 10)
    assert second.health.trouble == "Kafka does not answer."
    await first.end()
    await asyncio.sleep(20)
    assert second.health.role == "standby"
    assert world.kafka.opened[NAME] == 1
    second.link.mend()
    await led(second)
    assert second.health.trouble is None
    await second.end()


async def test_a_standby_waits_for_redis() -> None:
    world = World()
    world.leases.available = False
    process = Process(world, "a").start()
    await asyncio.sleep(10)
    assert (process.health.role, process.health.redis_ready) == ("standby", False)
    assert world.kafka.opened[NAME] == 0
    world.leases.available = True
    assert await led(process) < 4
    assert process.health.redis_ready
    await process.end()


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


async def test_a_foreign_holder_ends_the_term_of_a_leader_that_is_never_idle() -> None:
    world = World(latency_s=0.2)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    busy = asyncio.create_task(_feed(world))
    await asyncio.sleep(2)
    world.leases.set(world.lease_key(), "somebody", px=600_000)
    assert await until(lambda: process.health.role == "standby", 30) < 6
    busy.cancel()
    await asyncio.wait({busy})
    await process.end()


async def _feed(world: World) -> None:
    """A bad record every few milliseconds: each is settled in a transaction, without a call."""
    while True:
        world.submit(f"x{world.clock.now_ms()}", stream=True)
        await asyncio.sleep(0.02)


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


# ---------------------------------------------------------------------------------------------------- doubt


@pytest.mark.parametrize("fault", list(CommitFault))
async def test_a_dead_producer_under_our_own_lease_is_replaced_and_nothing_is_called_twice(fault: CommitFault) -> None:
    world = World(latency_s=3)
    world.kafka.offsets_lag = True
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 20)
    world.kafka.commit_faults.append(fault)
    await until(lambda: process.health.role != "leader", 10)
    await led(process)
    await until(lambda: len(world.outcomes()) == 21)
    await asyncio.sleep(5)
    assert set(world.counts().values()) == {1}
    assert set(world.upstream.calls.values()) == {1}
    assert world.claims() == [(1, "a"), (1, "a")], "a process that claims again keeps its term"
    assert {outcome["term"] for outcome in world.outcomes()} == {1}
    assert not process.hold.cargo
    await process.end()


async def test_a_producer_that_is_replaced_leaves_one_reader_a_lane() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    for _ in range(3):
        world.submit("any", stream=True)
        world.kafka.commit_faults.append(CommitFault.LOST)
        await until(lambda: process.health.role != "leader", 10)
        await led(process)
    readers = sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("intake"))
    assert readers == ["intake bulk", "intake control", "intake standard", "intake urgent"]
    await process.end()


class _ShyLane(MemoryLane):
    """Cannot be started for a while, as when Kafka goes away again in the midst of a promotion."""

    failures = 0

    async def start(self, positions: Mapping[int, int]) -> None:
        if self.failures:
            self.failures -= 1
            await asyncio.sleep(1)
            raise LogUnavailable("Lane topic cannot be reached.")
        await super().start(positions)


class _ShyProcess(Process):
    lane_type = _ShyLane


async def test_a_promotion_that_fails_at_its_end_leaves_no_batch_for_the_next_producer() -> None:
    world = World(latency_s=1)
    process = _ShyProcess(world, "a").start()
    await led(process)
    await loaded(world, 5)
    shy = process.intakes["urgent"].log
    assert isinstance(shy, _ShyLane)
    shy.failures = 2
    world.kafka.commit_faults.append(CommitFault.LOST)
    await until(lambda: process.health.role != "leader", 10)
    await led(process)
    await until(lambda: len(world.outcomes()) == 6)
    await asyncio.sleep(5)
    assert set(world.counts().values()) == {1}
    assert set(world.upstream.calls.values()) == {1}
    await process.end()


async def test_redis_back_with_a_foreign_holder_while_we_ask_the_ledger_ends_the_doubt() -> None:
    world = World(latency_s=3)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    world.leases.available = False
    world.kafka.commit_faults.append(CommitFault.LOST)
    await until(lambda: process.health.role == "suspended", 10)
    await asyncio.sleep(0.2)
    world.leases.available = True
    world.leases.set(world.lease_key(), "somebody", px=60_000)
    opened = world.kafka.opened[NAME]
    await until(lambda: process.health.role == "standby", 10)
    assert world.kafka.opened[NAME] == opened, "without the lease nobody starts a producer"
    await process.end()


async def test_a_dead_producer_under_a_foreign_lease_is_not_replaced() -> None:
    world = World(latency_s=3)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    world.leases.set(world.lease_key(), "somebody", px=60_000)
    world.kafka.commit_faults.append(CommitFault.LOST)
    await until(lambda: process.health.role == "standby", 10)
    await asyncio.sleep(10)
    assert world.kafka.opened[NAME] == 1
    assert world.upstream.inflight == 0
    await process.end()


async def test_redis_silent_and_the_last_claim_ours_we_claim_again() -> None:
    world = World(latency_s=3)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    world.leases.available = False
    world.kafka.commit_faults.append(CommitFault.LOST)
    await until(lambda: process.health.role != "leader", 10)
    assert 1 <= await led(process) < 4
    await until(lambda: len(world.outcomes()) == 6)
    assert world.claims() == [(1, "a"), (1, "a")]
    assert set(world.upstream.calls.values()) == {1}
    world.leases.available = True
    await process.end()


async def test_redis_silent_and_the_last_claim_foreign_we_stand_by_and_start_no_producer() -> None:
    world = World(latency_s=3)
    first = Process(world, "a").start()
    await led(first)
    await loaded(world, 5)
    await _other_redis(world, "b", 1)
    first.lease.is_cut = True
    opened = world.kafka.opened[NAME]
    await until(lambda: first.health.role == "standby", 20)
    assert world.kafka.opened[NAME] == opened
    assert world.upstream.inflight == 0
    first.lease.is_cut = False
    await first.end()


async def _other_redis(world: World, owner: str, times: int) -> None:
    """Somebody who got a lease from another Redis claims."""
    for _ in range(times):
        other = World()
        other.kafka = world.kafka
        process = Process(other, owner).start()
        await led(process)
        await process.kill()


async def test_a_third_foreign_claim_under_our_valid_lease_means_two_redis() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    for number in range(3):
        await _other_redis(world, f"b{number}", 1)
        world.submit(f"r{number}")
        if number < 2:
            await until(lambda: process.health.role != "leader", 10)
            await led(process)
    await until(process.leading.done, 20)
    with pytest.raises(TwoLeadersError, match="two Redis serve one Kafka"):
        process.leading.result()
    assert world.holder() == "released"
    process.tasks[0].cancel()


async def test_peaceful_hand_overs_are_no_foreign_claims_however_many() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    leader, other = first, second
    for _ in range(8):
        world.leases.set(world.lease_key(), "released")
        await until(lambda: world.holder() == other.owner, 10)  # noqa: B023 -- called before the next turn
        await led(other, 10)
        leader, other = other, leader
        await standing_by(other)
    assert not first.leading.done()
    assert not second.leading.done()
    await first.end()
    await second.end()


async def test_a_lease_lost_while_waiting_to_start_a_producer_fences_nobody() -> None:
    """The lease goes while we back off: the new leader must not be fenced by one that has none."""
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 3)
    process.link.away_after_s = 0.0  # as a refused connection: no is said at once, and the back-off grows
    process.link.cut()
    await until(lambda: process.health.role == "suspended", 60)
    await asyncio.sleep(8)
    before = process.lease.renewals
    await until(lambda: process.lease.renewals > before, 1)
    world.leases.set(world.lease_key(), "somebody", px=600_000)
    opened = world.kafka.opened[NAME]
    process.link.mend()
    await until(lambda: process.health.role == "standby", 20)
    assert world.kafka.opened[NAME] == opened
    await process.end()


async def test_a_leader_cut_off_from_kafka_hands_over_to_a_standby_that_is_not() -> None:
    world = World(latency_s=1)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await loaded(world, 5)
    await standing_by(second)
    first.link.cut()
    assert 14 <= await led(second, 60) < 16
    await until(lambda: len(world.outcomes()) == 6)
    assert set(world.counts().values()) == {1}
    await until(lambda: first.health.role == "standby")
    first.link.mend()
    await first.end()
    await second.end()


async def test_a_leader_cut_off_from_kafka_keeps_its_lease_while_no_standby_reaches_kafka() -> None:
    world = World(latency_s=1)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await loaded(world, 5)
    await standing_by(second)
    world.kafka.stop()
    await asyncio.sleep(60)
    assert world.holder() == "a"
    world.kafka.start_again()
    await led(first)
    await until(lambda: len(world.outcomes()) == 6)
    assert set(world.upstream.calls.values()) == {1}
    assert world.claims()[-1] == (1, "a")
    await first.end()
    await second.end()


async def test_a_standby_that_reaches_kafka_only_now_and_then_gets_nothing() -> None:
    world = World(latency_s=1)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await loaded(world, 5)
    await standing_by(second)
    first.link.cut()
    for _ in range(6):
        second.link.cut()
        await asyncio.sleep(5)
        second.link.mend()
        await asyncio.sleep(5)
    assert world.holder() == "a"
    first.link.mend()
    await led(first)
    await first.end()
    await second.end()


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

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | Unreadable:
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


async def test_a_lane_that_breaks_is_noticed_though_the_others_are_busy() -> None:
    world = World(latency_s=0.2)
    process = _TornProcess(world, "a").start()
    await led(process)
    feeding = asyncio.create_task(_feed(world))
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


# ---------------------------------------------------------------------------------------------------- leaving


async def test_a_leader_that_leaves_publishes_says_so_and_releases() -> None:
    world = World(latency_s=2)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    process.leadership.leave()
    await until(process.leading.done, 5)
    process.leading.result()
    assert len(world.outcomes()) == 6
    assert [line.kind.value for line in world.ledger()].count("left") == 1
    assert world.holder() == "released"
    await process.end()


async def test_a_leader_that_leaves_takes_nothing_more() -> None:
    world = World(latency_s=5)
    process = Process(world, "a").start()
    await led(process)
    world.upstream.latency_s = 1
    await warmed(world)
    world.upstream.latency_s = 5
    world.submit("last")
    await until(lambda: world.upstream.inflight == 1)
    process.leadership.leave()
    feeding = asyncio.create_task(_feed(world))  # records settled without a call would hold up the end for ever
    assert await until(process.leading.done, 30) < 7
    feeding.cancel()
    await asyncio.wait({feeding})
    await process.end()


async def test_a_standby_that_leaves_touches_no_foreign_lease() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    await second.end()
    assert world.holder() == "a"
    await first.end()


async def test_leaving_while_kafka_is_away_goes_on_trying_and_not_all_the_time() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 3)
    world.kafka.stop()
    process.link.away_after_s = 0.0  # as a refused connection: no is said at once
    await until(lambda: process.health.role == "suspended", 60)
    process.leadership.leave()
    tries = process.lease.renewals
    await asyncio.sleep(10)
    assert process.lease.renewals - tries < 60, "a loop without a pause"
    world.kafka.start_again()
    process.link.away_after_s = 4.0
    await until(process.leading.done, 20)
    assert len(world.outcomes()) == 4
    await process.end()


async def test_a_cancelled_leader_closes_and_releases() -> None:
    world = World(latency_s=50)
    process = Process(world, "a").start()
    await led(process)
    world.submit("never")
    await until(lambda: world.upstream.inflight == 1)
    process.leading.cancel()
    await until(process.leading.done, 5)
    assert process.leading.cancelled()
    assert world.holder() == "released"
    process.tasks[0].cancel()


async def test_a_leader_cancelled_while_its_producer_opens_leaves_nothing_behind() -> None:
    world = World()
    world.kafka.open_takes_s = 5
    process = Process(world, "a").start()
    await until(lambda: process.health.role == "promoting", 5)
    await asyncio.sleep(1)
    process.leading.cancel()
    await until(process.leading.done, 5)
    assert process.leading.cancelled()
    assert world.holder() == "released"
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
