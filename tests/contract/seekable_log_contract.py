"""What every log that is read by position must do: run on the double in memory and on a real Kafka."""

from collections.abc import Sequence
from typing import Protocol

import pytest

from headrace.broker.batch_ports import SeekableLog
from headrace.broker.errors import InvalidRequest, MissingTopic, PositionGone
from headrace.schemas.record import Record

PARTITIONS = 3


class SeekableWorld(Protocol):
    """A topic of `PARTITIONS` partitions, empty at first."""

    topic: str

    def log(self) -> SeekableLog:
        """One more process's."""

    async def transact(self, partition: int, *values: bytes, commit: bool = True) -> None:
        """Append records in a transaction."""

    async def trim(self, partition: int, before: int) -> None:
        """What retention does."""

    async def appended_by_key(self, key: bytes) -> int:
        """The partition in which a plain producer's record of that key lies."""


async def read_on(log: SeekableLog, topic: str, partition: int, offset: int) -> tuple[list[bytes | None], int]:
    """All values from an offset on, and where reading ends."""
    values: list[bytes | None] = []
    while True:
        stretch = await log.read(topic, partition, offset)
        values += [stored.record.value for stored in stretch.records]
        if stretch.next_offset == offset:
            return values, offset
        offset = stretch.next_offset


class SeekableLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> SeekableWorld:
        raise NotImplementedError  # a subclass brings it

    async def _filled(self, world: SeekableWorld, log: SeekableLog, values: Sequence[bytes]) -> list[int]:
        places = [await log.append(world.topic, 1, Record(b"key", value), timeout_s=10) for value in values]
        assert {(place.topic, place.partition) for place in places} == {(world.topic, 1)}
        return [place.offset for place in places]

    async def test_a_record_goes_to_the_partition_that_was_named_and_is_found_at_its_offset(
        self, world: SeekableWorld
    ) -> None:
        log = world.log()
        offsets = await self._filled(world, log, [b"a", b"b", b"c"])
        assert await read_on(log, world.topic, 1, offsets[1]) == ([b"b", b"c"], offsets[2] + 1)
        stored = (await log.read(world.topic, 1, offsets[1])).records[0]
        assert (stored.topic, stored.partition, stored.offset) == (world.topic, 1, offsets[1])
        assert stored.record.key == b"key"
        assert stored.timestamp_ms > 0
        assert await read_on(log, world.topic, 0, 0) == ([], 0)
        await log.close()

    async def test_headers_come_back(self, world: SeekableWorld) -> None:
        log = world.log()
        await log.append(world.topic, 0, Record(None, b"", (("ce_type", b"x"), ("empty", b""))), timeout_s=10)
        stored = (await log.read(world.topic, 0, 0)).records[0]
        assert dict(stored.record.headers) == {"ce_type": b"x", "empty": b""}
        await log.close()

    async def test_at_the_end_a_read_returns_at_once_and_later_records_follow(self, world: SeekableWorld) -> None:
        log = world.log()
        (offset,) = await self._filled(world, log, [b"a"])
        assert (await log.read(world.topic, 1, offset + 1)).next_offset == offset + 1
        await self._filled(world, log, [b"b"])
        assert await read_on(log, world.topic, 1, offset + 1) == ([b"b"], offset + 2)
        await log.close()

    async def test_begins_and_ends_are_those_of_each_partition(self, world: SeekableWorld) -> None:
        log = world.log()
        await self._filled(world, log, [b"a", b"b", b"c"])
        assert await log.ends(world.topic) == {0: 0, 1: 3, 2: 0}
        await world.trim(1, 2)
        assert await log.begins(world.topic) == {0: 0, 1: 2, 2: 0}
        await log.close()

    async def test_a_position_that_the_partition_does_not_hold_is_said(self, world: SeekableWorld) -> None:
        log = world.log()
        await self._filled(world, log, [b"a", b"b", b"c"])
        await world.trim(1, 2)
        for offset in (0, 1, 4):
            with pytest.raises(PositionGone):
                await log.read(world.topic, 1, offset)
        assert await read_on(log, world.topic, 1, 2) == ([b"c"], 3)
        await log.close()

    async def test_a_read_passes_what_a_committed_reader_does_not_see(self, world: SeekableWorld) -> None:
        log = world.log()
        await world.transact(2, b"undone", commit=False)
        await world.transact(2, b"a", b"b")
        values, end = await read_on(log, world.topic, 2, 0)
        assert values == [b"a", b"b"]
        assert end == (await log.ends(world.topic))[2]
        await log.close()

    async def test_many_records_are_read_in_several_stretches_and_none_is_lost(self, world: SeekableWorld) -> None:
        log = world.log()
        values = [bytes([65 + number]) * 300_000 for number in range(8)]
        await self._filled(world, log, values)
        assert (await read_on(log, world.topic, 1, 0))[0] == values
        await log.close()

    async def test_readers_at_several_positions_do_not_disturb_each_other(self, world: SeekableWorld) -> None:
        log, other = world.log(), world.log()
        await self._filled(world, log, [b"a", b"b", b"c"])
        for reader in (log, other, log):
            assert [(await read_on(reader, world.topic, 1, at))[0] for at in (2, 0, 1)] == [
                [b"c"],
                [b"a", b"b", b"c"],
                [b"b", b"c"],
            ]
        await log.close()
        await other.close()

    async def test_the_partition_of_a_key_is_where_producers_append_its_records(self, world: SeekableWorld) -> None:
        log = world.log()
        for number in range(12):
            key = f"acme/batch-{number}".encode()
            assert log.partition_of(key, PARTITIONS) == await world.appended_by_key(key)
        await log.close()

    async def test_a_record_that_is_too_large_is_refused_and_the_next_one_is_taken(self, world: SeekableWorld) -> None:
        log = world.log()
        with pytest.raises(InvalidRequest):
            await log.append(world.topic, 0, Record(None, bytes(1_200_000)), timeout_s=10)
        assert (await log.append(world.topic, 0, Record(None, b"small"), timeout_s=10)).offset == 0
        await log.close()

    async def test_a_missing_topic_is_said(self, world: SeekableWorld) -> None:
        log = world.log()
        for ask in (log.ends, log.begins):
            with pytest.raises(MissingTopic):
                await ask(f"{world.topic}-missing")
        with pytest.raises(MissingTopic):
            await log.append(f"{world.topic}-missing", 0, Record(None, b""), timeout_s=10)
        await log.close()

    async def test_closing_twice_or_before_anything_was_asked_is_harmless(self, world: SeekableWorld) -> None:
        log = world.log()
        await log.close()
        await log.close()
