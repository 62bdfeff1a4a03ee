"""A partition is added while nobody leads, and its first record is older than a day by its own timestamp.

So is what the retrier puts back (it keeps the time of the first submission), or what a producer stamps with the time of
an event.
"""

import asyncio
import json

import pytest

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import TopicPartition
from headrace.schemas.record import Record
from headrace.schemas.topics import requests_topic
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, request, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

TOPIC = requests_topic(PREFIX, "bulk")
TWO_DAYS_MS = 2 * 86_400_000


async def left_by_a_leader(world: World) -> None:
    former = Process(world, "a").start()
    await led(former)
    await warmed(world)
    world.submit("before", "bulk", 0)
    await until(lambda: len(world.outcomes()) == 2)
    await former.kill()


def add(world: World) -> None:
    world.kafka.create(TOPIC, world.partitions + 1)
    value = json.dumps(request("old")).encode()
    at_ms = world.clock.utc_ms() - TWO_DAYS_MS
    world.kafka.append(TOPIC, Record(None, value), partition=world.partitions, at_ms=at_ms)


async def test_it_is_read_from_its_first_record() -> None:
    world = World()
    await left_by_a_leader(world)
    add(world)
    process = Process(world, "b").start()
    await led(process)
    await until(lambda: "old" in {outcome["id"] for outcome in world.outcomes()})
    assert set(world.counts().values()) == {1}
    await process.end()


async def test_where_no_partition_of_the_lane_has_an_offset_they_may_have_expired() -> None:
    world = World()
    await left_by_a_leader(world)
    add(world)
    for number in range(world.partitions):
        group = world.kafka.groups[NAME]
        for kept in (group.stored, group.shown):
            kept.pop(TopicPartition(TOPIC, number), None)
    process = Process(world, "b").start()
    await until(process.leading.done)
    with pytest.raises(ProgressUnreadable, match=TOPIC):
        process.leading.result()
    await process.kill()


async def started_after(world: World, unled_s: float) -> Process:
    await asyncio.sleep(unled_s)
    return Process(world, "b").start()


async def test_it_is_read_though_nobody_led_for_longer_than_the_dedupe_window() -> None:
    world = World()
    await left_by_a_leader(world)
    add(world)
    process = await started_after(world, 20 * 3_600)
    await led(process)
    await until(lambda: "old" in {outcome["id"] for outcome in world.outcomes()})
    await process.end()


async def test_a_partition_whose_offset_expired_before_those_of_others_is_not_read_again() -> None:
    """Kafka forgets offsets one by one, a week after each was stored: an idle partition's goes before a busy one's.

    A second start sees the claim of the first, which is no sign that anything was stored.
    """
    world = World()
    await left_by_a_leader(world)
    idle = TopicPartition(TOPIC, 0)
    world.kafka.append(TOPIC, Record(None, json.dumps(request("answered")).encode()), partition=0)
    group = world.kafka.groups[NAME]
    for kept in (group.stored, group.shown):
        kept.pop(idle, None)
    process = await started_after(world, 7 * 86_400)
    for name in "bc":
        await until(process.leading.done)
        with pytest.raises(ProgressUnreadable, match=f"{TOPIC}/0"):
            process.leading.result()
        await process.kill()
        if name == "b":
            process = Process(world, "c").start()
