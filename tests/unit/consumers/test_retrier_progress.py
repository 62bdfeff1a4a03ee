"""Where a retrier goes on: by the progress that Kafka stored, or not at all."""

import asyncio
from dataclasses import replace

import pytest

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.consumers.retries.releases import Releases
from tests.unit.consumers.rig import FAILURES, NAME, Process, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_S = 3_600


async def refused(process: Process) -> str:
    assert process.task is not None
    with pytest.raises(ProgressUnreadable) as caught:
        await asyncio.wait_for(process.task, 20)
    return str(caught.value)


async def test_old_failures_without_progress_are_an_operators_decision() -> None:
    world = World(partitions=1)
    world.park("lead-1", 0, at_ms=world.clock.utc_ms() - 90_000_000)
    assert "--from-start" in await refused(Process(world, "a").start())
    assert world.back() == []
    process = await leading(world, "b", from_start=True)
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


async def test_a_progress_that_another_wrote_is_refused() -> None:
    world = World(partitions=1)
    world.kafka.commit(NAME, NAME, {TopicPartition(FAILURES, 0): StoredOffset(0, "hr1:AAAA")})
    assert "not Headrace's or is damaged" in await refused(Process(world, "a").start())


async def test_a_failure_of_a_release_that_this_one_cannot_read_is_refused_and_not_lost() -> None:
    world = World()
    world.park("lead-1", 0)
    log = world.kafka.logs(FAILURES)[0 if world.kafka.logs(FAILURES)[0].end else 1]
    (slot,) = log.slots
    assert slot.record is not None
    later = tuple((name, value.replace(b".v1", b".v2")) for name, value in slot.record.headers)
    log.slots[0] = replace(slot, record=replace(slot.record, headers=later))
    process = Process(world, "a").start()
    assert process.task is not None
    with pytest.raises(ProgressUnreadable, match="run the release that wrote it"):
        await asyncio.wait_for(process.task, 10)
    assert world.dead_letters() == []
    log.slots[0] = slot  # to a release that can read it, it says this
    again = await leading(world, "b")
    await until(lambda: world.back() == ["lead-1"])
    await again.end()


async def test_a_topic_that_was_made_anew_is_refused() -> None:
    world = World(partitions=1)
    releases = Releases(0)
    releases.see(7, "bulk", 0)
    releases.release("bulk")
    stored = releases.stored(1)
    world.kafka.commit(NAME, NAME, {TopicPartition(FAILURES, 0): StoredOffset(stored.offset, stored.metadata)})
    assert "the topic was recreated" in await refused(Process(world, "a").start())


@pytest.mark.parametrize("count", [1, 9])
async def test_a_topic_that_is_made_anew_under_a_living_retrier_is_read_from_its_beginning(count: int) -> None:
    world = World(partitions=1)
    process = await leading(world)
    for number in range(4):
        world.park(f"former-{number}", 0)
    await until(lambda: len(world.back()) == 4)
    world.kafka.delete(FAILURES)
    world.kafka.create(FAILURES, 1)
    for number in range(count):
        world.park(f"new-{number}", 0)
    new = {f"new-{number}" for number in range(count)}
    await until(lambda: new <= set(world.back()), 20)
    await process.end()


async def test_a_retrier_that_comes_back_believes_the_progress_that_another_has_stored_meanwhile() -> None:
    world = World(partitions=1)
    first = await leading(world)
    world.park("former", 0)
    await until(lambda: world.back() == ["former"])
    first.link.cut()
    world.kafka.delete(FAILURES)
    world.kafka.create(FAILURES, 1)
    world.kafka.groups[NAME].stored.clear()
    world.kafka.groups[NAME].shown.clear()
    second = await leading(world, "b")
    world.park("new", 0)
    await until(lambda: world.back() == ["former", "new"])
    await second.end()
    first.link.mend()
    await asyncio.sleep(30)
    assert world.back() == ["former", "new"]
    await first.end()


async def test_offsets_are_stored_again_now_and_then_since_they_expire() -> None:
    world = World()
    process = await leading(world, recommit_every_ms=20_000)
    await asyncio.sleep(45)
    assert process.counted.transactions["committed"] == 3
    await process.end()


@pytest.mark.parametrize("removed", [0, 2])
async def test_a_partition_that_was_added_while_no_retrier_ran_is_read_from_its_first_offset(removed: int) -> None:
    """However old its records are; and what retention has removed of them meanwhile is told by a dead letter."""
    world = World(partitions=1)
    first = await leading(world)
    world.park("before", 0)
    await until(lambda: world.back() == ["before"])
    await first.end()
    world.kafka.create(FAILURES, 2)
    added = world.kafka.logs(FAILURES)[1]
    count = 0
    while added.end < 3:
        world.park(f"parked-{count}", 0)
        count += 1
    await asyncio.sleep(30 * HOUR_S)
    added.trim(removed)
    second = await leading(world, "b")
    await until(lambda: len(world.back()) == 1 + count - removed)
    await second.end()
    assert world.all_back().most_common(1)[0][1] == 1
    assert second.counted.letters == ({"lost_by_retention": 1} if removed else {})


async def test_a_partition_whose_offset_has_expired_is_not_taken_for_one_that_was_added() -> None:
    """All had been stored when the partition was found; then the offset of the idle one expires first."""
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.create(FAILURES, 2)
    while not world.kafka.logs(FAILURES)[1].end:
        world.park("old", 0)
    await until(lambda: TopicPartition(FAILURES, 1) in world.kafka.groups[NAME].stored)
    await asyncio.sleep(1)
    await process.end()
    del world.kafka.groups[NAME].stored[TopicPartition(FAILURES, 1)]
    world.kafka.groups[NAME].shown.clear()
    await asyncio.sleep(30 * HOUR_S)
    assert "--from-start" in await refused(Process(world, "b").start())
