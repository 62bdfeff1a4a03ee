"""Where a retrier that was just elected goes on."""

import asyncio
from collections.abc import Mapping

import pytest

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import FIRST_RECORD_YOUNG_MS, StoredOffset, TopicPartition
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.consumers.retries.releases import Releases
from headrace.consumers.retries.restored_progress import RestoredRetries, Restorer
from headrace.schemas.record import Record
from tests.unit.consumers.rig import FAILURES, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NONE = StoredOffset(-1, "")


class Stored:
    """An `OffsetStore`."""

    def __init__(self, offsets: Mapping[int, StoredOffset]) -> None:
        self._offsets = offsets

    async def read(self, partitions: list[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
        return {place: self._offsets.get(place.partition, NONE) for place in partitions}


def by(term: int) -> StoredOffset:
    stored = Releases(0).stored(term)
    return StoredOffset(stored.offset, stored.metadata)


async def restored(world: World, **offsets: StoredOffset) -> RestoredRetries:
    stored = Stored({int(name.removeprefix("p")): each for name, each in offsets.items()})
    log = MemoryLane(KafkaLink(world.kafka), topic=FAILURES)
    return await Restorer(FAILURES, log, stored, world.clock).restore()  # type: ignore[arg-type] # as a sequence


async def test_the_next_term_is_above_every_stored_one() -> None:
    assert (await restored(World(), p0=by(3), p1=by(7))).term == 8
    assert (await restored(World(), p0=by(7), p1=by(3))).term == 8
    assert (await restored(World())).term == 1


async def test_a_partition_without_an_offset_is_new_or_its_offset_has_expired() -> None:
    world = World(partitions=1)
    world.park("a", 5)
    await asyncio.sleep(FIRST_RECORD_YOUNG_MS / 1_000 - 0.001)
    assert (await restored(world)).partitions[0].next_offset == 0
    await asyncio.sleep(0.001)
    with pytest.raises(ProgressUnreadable):
        await restored(world)


async def test_a_partition_without_an_offset_that_retention_has_shortened_was_read_before() -> None:
    world = World(partitions=1)
    for name in "ab":
        world.park(name, 5)
    world.kafka.logs(FAILURES)[0].start = 1
    with pytest.raises(ProgressUnreadable):
        await restored(world)


async def test_an_old_partition_without_an_offset_is_refused_where_no_progress_says_that_it_was_added() -> None:
    world = World(partitions=2)
    world.kafka.append(FAILURES, Record(None, b"old"), partition=1)
    await asyncio.sleep(FIRST_RECORD_YOUNG_MS / 1_000)
    with pytest.raises(ProgressUnreadable, match=f"{FAILURES}/1"):
        await restored(world)
    with pytest.raises(ProgressUnreadable, match=f"{FAILURES}/1"):
        await restored(world, p0=by(3))


async def test_the_most_partitions_that_any_progress_tells_of_were_stored() -> None:
    world = World(partitions=3)
    world.kafka.append(FAILURES, Record(None, b"old"), partition=2)
    await asyncio.sleep(FIRST_RECORD_YOUNG_MS / 1_000)
    told = Releases(0).stored(3, partitions=2)
    standing = await restored(world, p0=StoredOffset(told.offset, told.metadata), p1=by(2))
    assert standing.partitions[2].next_offset == 0
