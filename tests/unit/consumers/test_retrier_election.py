"""A retrier is elected, replaced and fenced, and no look at Kafka ends it."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest

from headrace.broker.ports import Coordinators, LaneLog
from headrace.broker.service.leadership.lease_only import KafkaWatch
from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.kafka_doors import MemoryLane
from tests.unit.consumers.rig import FAILURES, NAME, Process, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_S = 3_600


async def test_a_standby_takes_over_within_the_life_of_the_lease() -> None:
    world = World()
    first = await leading(world, "a")
    second = Process(world, "b").start()
    await asyncio.sleep(3)
    world.park("lead-1", 0.5)
    await first.kill()
    assert await until(lambda: world.back() == ["lead-1"]) < 4
    assert second.health.term == 2
    await second.end()


async def test_one_that_leaves_hands_over_at_once() -> None:
    world = World()
    first, second = await leading(world, "a"), Process(world, "b").start()
    await asyncio.sleep(3)
    await first.end()
    assert await until(lambda: second.health.role == "leader") < 0.6
    await second.end()


async def test_a_producer_that_died_is_replaced_while_the_lease_is_ours() -> None:
    world = World()
    process = await leading(world)
    world.kafka.commit_faults.append(CommitFault.STORED)
    world.park("lead-1", 0)
    await until(lambda: process.health.term == 2)
    await asyncio.sleep(3)
    assert world.all_back() == {"lead-1": 1}
    assert process.counted.transactions["unknown"] == 1
    await process.end()


async def test_while_redis_is_silent_nothing_is_put_back_and_nobody_begins() -> None:
    world = World()
    process = await leading(world)
    world.leases.available = False
    await asyncio.sleep(2)
    world.park("lead-1", 0)
    await asyncio.sleep(30)
    assert world.back() == []
    assert process.health.trouble is not None
    assert world.kafka.opened[NAME] == 1
    world.leases.available = True
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


@pytest.mark.parametrize("emptied", [False, True])
async def test_one_that_works_keeps_its_lease_and_what_it_has_read_when_redis_is_back(*, emptied: bool) -> None:
    world = World()
    first, second = await leading(world, "a"), Process(world, "b").start()
    await asyncio.sleep(3)
    world.leases.available = False
    await asyncio.sleep(8)
    if emptied:
        world.leases.empty()
    world.leases.available = True
    await asyncio.sleep(4)
    world.park("lead-1", 0)
    await until(lambda: world.back() == ["lead-1"])
    assert (first.health.role, second.health.role, world.kafka.opened[NAME]) == ("leader", "standby", 1)
    await first.end()
    await second.end()


async def test_a_foreign_holder_ends_the_stretch() -> None:
    world = World()
    process = await leading(world)
    world.leases.set(f"headrace:cluster:{NAME}", "somebody", px=60_000)
    await until(lambda: process.health.role == "standby")
    world.park("lead-1", 0)
    await asyncio.sleep(10)
    assert (world.back(), world.kafka.opened[NAME]) == ([], 1)
    await process.end()


async def test_a_lease_lost_while_the_producer_started_claims_nothing() -> None:
    world = World()
    world.kafka.open_takes_s = 0.2
    key = f"headrace:cluster:{NAME}"
    process = Process(world, "a").start()
    await until(lambda: (world.leases.get(key) or ("",))[0] == "a")
    world.leases.set(key, "somebody", px=60_000)
    await asyncio.sleep(10)
    assert world.kafka.opened[NAME] == 1
    assert not process.counted.transactions
    assert process.health.role == "standby"
    await process.end()


async def test_kafka_away_is_said_and_waited_for() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 20)
    world.kafka.stop()
    await until(lambda: not process.health.kafka_ready)
    await asyncio.sleep(60)
    world.kafka.start_again()
    await until(lambda: world.back() == ["lead-1"])
    await asyncio.sleep(2)
    assert process.health.trouble is None
    await process.end()


class OddLane(MemoryLane):
    """The lane that a watch asks: the question raises what stands in `odd`, each once."""

    odd: ClassVar[list[Exception]] = []

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        if self.odd:
            raise self.odd.pop()
        return await super().bounds(partitions)


class OddWatch(KafkaWatch):
    def __init__(self, log: LaneLog, coordinators: Coordinators) -> None:
        assert isinstance(log, MemoryLane)
        super().__init__(OddLane(log._link, topic=log._topic), coordinators)


async def test_a_watch_that_raises_looks_again_and_the_retrier_keeps_its_lease() -> None:
    """Before, its task ended in silence: Kafka counted as away, and the standby took over after 15 s."""
    world = World()
    process = Process(world, "a", watch_type=OddWatch).start()
    await until(lambda: process.health.role == "leader")
    other = Process(world, "b").start()
    OddLane.odd.extend([RuntimeError()] * 3)
    await until(lambda: not process.health.kafka_ready, 5)
    await asyncio.sleep(60)
    assert process.health.role == "leader"
    assert process.health.kafka_ready
    await process.end()
    await other.end()


async def test_a_standby_survives_a_look_that_raises_and_a_topic_that_is_deleted_meanwhile() -> None:
    world = World()
    first = Process(world, "a").start()
    await until(lambda: first.health.role == "leader")
    standby = Process(world, "b", watch_type=OddWatch).start()
    await until(lambda: standby.health.role == "standby" and standby.health.kafka_ready)
    OddLane.odd.append(RuntimeError())
    await until(lambda: not standby.health.kafka_ready, 5)
    world.kafka.delete(FAILURES)
    await until(lambda: "does not exist" in (standby.health.trouble or ""), 10)
    world.kafka.create(FAILURES, partitions=2)
    await until(lambda: standby.health.kafka_ready, 10)
    await first.kill()
    await until(lambda: standby.health.role == "leader", 30)
    await standby.end()
