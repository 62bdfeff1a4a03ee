"""A leader in doubt: its producer dead, its commit unknown, Kafka or Redis out of reach, a foreign claim."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import LeaseForeign, LeaseMine, Outgoing
from headrace.broker.service.leadership.leadership import TwoLeadersError
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.broker.testing.kafka import CommitFault, KafkaLink
from headrace.broker.testing.kafka_doors import MemoryCoordinators, MemoryLane, MemoryTransactions
from headrace.broker.testing.lease import MemoryLease
from headrace.schemas import topics
from headrace.schemas.ledger import encode_ledger
from headrace.schemas.record import Record
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, loaded, standing_by, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


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
        opened = world.kafka.opened[NAME]
        world.kafka.commit_faults.append(CommitFault.LOST)
        await until(lambda: world.kafka.opened[NAME] > opened, 10)  # noqa: B023 -- called before the next turn
        await led(process)
    readers = sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("intake"))
    assert readers == ["intake bulk", "intake control", "intake standard", "intake urgent"]
    await process.end()


class _ShyLane(MemoryLane):
    """Cannot be started for a while, as when Kafka goes away again in the midst of a promotion."""

    failures = 0

    async def start(self, positions: Mapping[int, int], *, on_demand: Collection[int] = ()) -> None:
        if self.failures:
            self.failures -= 1
            await asyncio.sleep(1)
            raise LogUnavailable("Lane topic cannot be reached.")
        await super().start(positions, on_demand=on_demand)


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


@pytest.mark.parametrize("fault", list(CommitFault))
async def test_redis_silent_and_our_claim_of_unknown_outcome_only_a_claim_that_was_committed_is_ours(
    fault: CommitFault,
) -> None:
    """The promotion dies with its claim: this process has led no term, and Redis does not say who may."""
    world = World()
    world.kafka.commit_takes_s = 1.0
    world.kafka.commit_faults.append(fault)
    process = Process(world, "a").start()
    await until(lambda: world.kafka.opened[NAME] == 1)
    await asyncio.sleep(0.5)  # the lease is confirmed after the fence, the claim is under way
    world.leases.available = False
    world.submit("any")
    if fault is CommitFault.STORED:
        await led(process)
        await until(lambda: len(world.outcomes()) == 1)
        assert world.claims() == [(1, "a"), (2, "a")]
    else:
        await until(lambda: process.health.role == "standby", 10)
        await asyncio.sleep(10)
        assert (world.kafka.opened[NAME], world.claims()) == (1, [])
    world.leases.available = True
    await process.end()


async def test_replaced_while_neither_redis_nor_kafka_answered_it_reads_the_ledger_anew_and_stands_by() -> None:
    world = World(latency_s=3)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 1)
    process.lease.is_cut = True
    process.link.cut()
    await asyncio.sleep(20)  # in doubt: the ledger is asked in vain, and closed each time
    world.leases.set(world.lease_key(), "somebody", px=60_000)
    process.lease.is_cut = False
    await until(lambda: process.health.role == "standby", 20)
    process.link.mend()
    await standing_by(process)
    assert process.health.holder == "somebody"
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


async def test_redis_silent_and_a_foreign_claim_that_only_our_fence_makes_readable_we_claim_nothing() -> None:
    """A commit that has returned can be read only when its markers stand; a fence sees to that."""
    world = World(latency_s=3)
    first = Process(world, "a").start()
    await led(first)
    await loaded(world, 5)
    world.kafka.markers_later = lambda _complete: None
    rival = MemoryTransactions(KafkaLink(world.kafka), transactional_id=NAME)
    await rival.open()
    claim = Record(None, encode_ledger(claim_record(2, "b")))
    await rival.transact([Outgoing(topics.ledger_topic(PREFIX), claim)], {})
    world.kafka.markers_later = None  # those of the claim are still to come
    first.lease.is_cut = True
    await until(lambda: first.health.role == "standby", 20)
    assert world.claims() == [(1, "a"), (2, "b")]
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
            await until(lambda: world.claims()[-1][1] == "a", 10)
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


class _OddCoordinators(MemoryCoordinators):
    """Raises what nothing expects, while it is `odd`."""

    odd = False

    async def check(self) -> None:
        if self.odd:
            raise RuntimeError
        await super().check()


async def test_a_probe_that_raises_ends_no_term_and_is_no_answer() -> None:
    world = World(latency_s=1)
    first, second = Process(world, "a"), Process(world, "b")
    odd = first.follower._coordinators = _OddCoordinators(first.link)
    first.start()
    await led(first)
    await loaded(world, 5)
    second.start()
    await standing_by(second)
    odd.odd = True
    await until(lambda: not first.health.kafka_ready, 5)
    first.link.cut()
    await led(second, 60)
    await until(lambda: first.health.role == "standby")
    odd.odd = False
    first.link.mend()
    await standing_by(first)
    assert not first.leading.done()
    await first.end()
    await second.end()


async def test_a_key_that_was_set_again_after_our_trust_had_ended_proves_nothing() -> None:
    """The process stood still between a question and its way to Redis: another one may have led (seed 520228)."""
    world = World()
    process = Process(world, "a").start()
    await led(process)

    async def renew(*, restore: bool) -> LeaseMine | LeaseForeign:
        del process.lease.renew
        assert restore
        await asyncio.sleep(5)
        return await MemoryLease.renew(process.lease, restore=restore)

    process.lease.renew = renew  # type: ignore[method-assign]
    await asyncio.sleep(1)
    world.kafka.stop()
    await until(lambda: world.holder() is None)
    await until(lambda: world.holder() == "a")
    trusted_ms = process.core.trust.until()
    await until(lambda: world.holder() is None, 3)
    assert process.core.trust.until() == trusted_ms, "and nothing prolongs it"
    world.kafka.start_again()
    await until(lambda: world.holder() == "a", 10)
    assert process.core.trust.until() > trusted_ms, "a commit has proved that it leads"
    await process.end()
