"""What a log that is read in ranges must do: run on the double in memory and on a real Kafka."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from headrace.broker.errors import MissingTopic
from headrace.broker.range_ports import LOOK_UPS_MAX, OffsetRange, RangeLog, TopicRanges

PARTITIONS = 2
BEGIN = datetime(2026, 11, 28, 12, tzinfo=UTC)


class RangeWorld(Protocol):
    """A topic of `PARTITIONS` partitions, empty at first; its records have the timestamps that they are given."""

    def log(self, topic: str | None = None) -> RangeLog:
        """A reader of the topic, or of another one."""

    async def append(self, partition: int, minute: int, *values: bytes) -> None:
        """Append records of a minute after `BEGIN`, one batch."""

    async def transact(self, partition: int, minute: int, *values: bytes, commit: bool) -> None:
        """Append records in a transaction, which ends with a marker."""

    async def trim(self, partition: int, before: int) -> None:
        """What retention does."""


def at(minute: int) -> datetime:
    return BEGIN + timedelta(minutes=minute)


async def read(log: RangeLog, part: OffsetRange) -> list[bytes | None]:
    values: list[bytes | None] = []
    position = part.first
    async for piece in log.read(part):
        assert piece.position >= position
        position = piece.position
        values += [record.value for record in piece.records]
    assert position == part.end
    return values


class RangeLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> RangeWorld:
        raise NotImplementedError  # a subclass brings it

    async def test_the_records_of_a_time_are_read_with_their_timestamps_and_headers(self, world: RangeWorld) -> None:
        for minute in range(5):
            await world.append(0, minute, b"%d" % minute)
        await world.append(1, 2, b"other")
        log = world.log()
        await log.open()
        found = await log.ranges(at(1), at(4))
        assert found.ranges == (OffsetRange(0, 1, 4), OffsetRange(1, 0, 1))
        assert found.reach_back_to is None
        assert await read(log, found.ranges[0]) == [b"1", b"2", b"3"]
        [piece] = [piece async for piece in log.read(found.ranges[1])]
        [record] = piece.records
        assert (record.timestamp_ms, record.value) == (int(at(2).timestamp() * 1_000), b"other")
        assert [*record.headers] == [("name", b"text")]
        await log.close()

    async def test_without_an_end_a_range_reaches_to_where_its_partition_ends_now(self, world: RangeWorld) -> None:
        await world.append(0, 0, b"a")
        log = world.log()
        await log.open()
        found = await log.ranges(at(0), None)
        await world.append(0, 1, b"b")
        assert found.ranges == (OffsetRange(0, 0, 1),)
        assert await read(log, found.ranges[0]) == [b"a"]
        await log.close()

    async def test_a_time_without_records_has_no_range(self, world: RangeWorld) -> None:
        await world.append(0, 0, b"a")
        log = world.log()
        await log.open()
        assert (await log.ranges(at(1), None)).ranges == ()
        assert (await log.ranges(at(-5), at(0))).ranges == ()
        await log.close()

    async def test_a_part_of_a_range_can_be_read_alone(self, world: RangeWorld) -> None:
        await world.append(0, 0, *(b"%d" % number for number in range(10)))
        log = world.log()
        await log.open()
        assert await read(log, OffsetRange(0, 3, 6)) == [b"3", b"4", b"5"]
        assert await read(log, OffsetRange(0, 9, 10)) == [b"9"]
        await log.close()

    async def test_only_committed_records_are_read_wherever_a_range_begins(self, world: RangeWorld) -> None:
        await world.append(0, 0, b"before")
        await world.transact(0, 1, b"x", b"y", commit=False)
        await world.transact(0, 2, b"c", b"d", commit=True)
        await world.append(0, 3, b"behind")
        log = world.log()
        await log.open()
        [whole] = (await log.ranges(at(0), None)).ranges
        assert await read(log, whole) == [b"before", b"c", b"d", b"behind"]
        for first in range(whole.first, whole.end):
            expected = [b"before"] * (first < 1) + [b"c"] * (first < 5) + [b"d"] * (first < 6) + [b"behind"]
            assert await read(log, OffsetRange(0, first, whole.end)) == expected
        await log.close()

    async def test_what_retention_has_removed_of_the_time_is_told(self, world: RangeWorld) -> None:
        for minute in range(5):
            await world.append(0, minute, b"%d" % minute)
        await world.trim(0, 2)
        log = world.log()
        await log.open()
        assert (await log.ranges(at(0), None)).reach_back_to == at(2)
        assert (await log.ranges(at(3), None)).reach_back_to is None
        await log.close()

    async def test_a_record_with_a_date_in_the_future_hides_none_behind_it(self, world: RangeWorld) -> None:
        await world.append(0, 0, b"a")
        await world.append(0, 600, b"of a clock that is wrong")
        await world.append(0, 1, b"b")
        await world.append(0, 700, b"of another")
        await world.append(0, 2, b"c")
        log = world.log()
        await log.open()
        assert (await log.ranges(at(0), at(10))).ranges == (OffsetRange(0, 0, 5),)
        await log.close()

    async def test_a_time_of_few_records_ends_after_a_few_look_ups(self, world: RangeWorld) -> None:
        for number in range(LOOK_UPS_MAX + 3):
            await world.append(0, number * 90, b"%d" % number)
        await world.append(1, 0, b"a")
        await world.append(1, 100, b"b")
        await world.append(1, 101, b"c")
        log = world.log()
        await log.open()
        assert (await log.ranges(at(0), at(1))).ranges == (OffsetRange(0, 0, LOOK_UPS_MAX + 3), OffsetRange(1, 0, 2))
        await log.close()

    async def test_an_empty_topic_lacks_nothing(self, world: RangeWorld) -> None:
        log = world.log()
        await log.open()
        assert await log.ranges(at(0), None) == TopicRanges(())
        await log.close()

    async def test_a_topic_that_begins_within_the_time_says_where(self, world: RangeWorld) -> None:
        await world.append(0, 1, b"a")
        await world.append(1, 3, b"b")
        await world.append(1, 4, b"c")
        log = world.log()
        await log.open()
        assert (await log.ranges(at(0), None)).begins_at == at(1)
        assert (await log.ranges(at(2), None)).begins_at is None
        assert (await log.ranges(at(4), None)).begins_at is None
        await log.close()

    async def test_a_partition_of_which_retention_has_left_nothing_is_told(self, world: RangeWorld) -> None:
        await world.append(0, 0, b"a", b"b")
        await world.append(1, 1, b"c")
        log = world.log()
        await log.open()
        assert not (await log.ranges(at(0), None)).is_emptied
        await world.trim(0, 2)
        found = await log.ranges(at(0), None)
        assert (found.ranges, found.reach_back_to, found.is_emptied) == ((OffsetRange(1, 0, 1),), None, True)
        await log.close()

    async def test_retention_during_a_reading_costs_only_what_it_removed(self, world: RangeWorld) -> None:
        for minute in range(5):
            await world.append(0, minute, b"%d" % minute)
        log = world.log()
        await log.open()
        [part] = (await log.ranges(at(0), None)).ranges
        await world.trim(0, 3)
        assert await read(log, part) == [b"3", b"4"]
        await log.close()

    async def test_a_missing_topic_is_said(self, world: RangeWorld) -> None:
        log = world.log("no-such-topic")
        with pytest.raises(MissingTopic):
            await log.open()
        await log.close()
