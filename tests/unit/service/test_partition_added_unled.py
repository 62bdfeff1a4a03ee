"""A partition is added while nobody leads, and its first record is older than a day by its own timestamp.

So is what the retrier puts back (it keeps the time of the first submission), or what a producer stamps with the time of
an event.
"""

import json

import pytest

from broker.errors import ProgressUnreadable
from broker.ports import TopicPartition
from schemas.record import Record
from schemas.topics import requests_topic
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
