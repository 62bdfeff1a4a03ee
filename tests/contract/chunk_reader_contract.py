"""What a reader of chunks hears: run on a Kafka in memory, and on a real one."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors
from headrace.consumers.chunks import ChunkReader, Told
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk
from headrace.schemas.record import Record

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


class ChunkTopic(Protocol):
    """A prefix with an empty chunks topic."""

    @property
    def connection(self) -> KafkaConnection | ClientDoors: ...

    @property
    def prefix(self) -> str: ...

    async def write(self, *records: Record) -> None:
        """Append them, in order; they stand when it returns."""


def chunk(request_id: str, seq: int, *, term: int = 7, attempt: int = 1, run: int = 0, final: bool = False) -> Record:
    """One whose text names its place."""
    delta = [{"index": 0, "delta": {"content": f"{run}{term}{attempt}{seq} "}}]
    shape = Chunk(id=request_id, term=term, attempt=attempt, seq=seq, delta=delta, final=final, run=run)
    return encode_chunk(shape, time=NOW)


class ChunkReaderContract:
    """Subclasses bring the fixture `topic`."""

    @pytest.fixture
    async def topic(self) -> ChunkTopic:
        raise NotImplementedError

    def reader(self, topic: ChunkTopic, **options: Any) -> ChunkReader:
        return ChunkReader(connection=topic.connection, topic_prefix=topic.prefix, **options)

    async def heard(self, reader: ChunkReader, count: int) -> list[Told]:
        async with asyncio.timeout(30):
            return [await anext(reader) for _ in range(count)]

    async def test_chunks_come_in_order_from_the_opening_on(self, topic: ChunkTopic) -> None:
        await topic.write(chunk("lead-1", 0))
        async with self.reader(topic) as reader:
            await topic.write(chunk("lead-1", 1), chunk("lead-2", 0), chunk("lead-1", 2, final=True))
            told = await self.heard(reader, 3)
        ours = [each for each in told if each.chunk.id == "lead-1"]
        assert [(each.text, each.begins, each.missing, each.chunk.final) for each in ours] == [
            ("0711 ", True, 1, False),
            ("0712 ", False, 0, True),
        ]
        [other] = [each for each in told if each.chunk.id == "lead-2"]
        assert (other.text, other.begins, other.missing) == ("0710 ", True, 0)

    async def test_what_stands_already_is_read_by_who_asks_for_it(self, topic: ChunkTopic) -> None:
        await topic.write(chunk("lead-1", 0), chunk("lead-1", 1))
        async with self.reader(topic, start="earliest") as reader:
            assert [each.chunk.seq for each in await self.heard(reader, 2)] == [0, 1]

    async def test_only_the_ids_that_were_asked_for_come(self, topic: ChunkTopic) -> None:
        ids = {"lead-2"}
        async with self.reader(topic, ids=ids) as reader:
            await topic.write(chunk("lead-1", 0), chunk("lead-2", 0))
            [told] = await self.heard(reader, 1)
            assert told.chunk.id == "lead-2"
            ids.add("lead-1")
            await topic.write(chunk("lead-1", 1))
            [told] = await self.heard(reader, 1)
            assert told.chunk.id == "lead-1"

    async def test_repeats_are_dropped_and_gaps_are_told(self, topic: ChunkTopic) -> None:
        async with self.reader(topic) as reader:
            await topic.write(*(chunk("lead-1", seq) for seq in (0, 1, 0, 1, 2, 5, 4, 6)))
            told = await self.heard(reader, 5)
        assert [(each.chunk.seq, each.missing) for each in told] == [(0, 0), (1, 0), (2, 0), (5, 2), (6, 0)]
        assert reader.duplicates == 3

    async def test_attempts_terms_and_runs_are_told_apart(self, topic: ChunkTopic) -> None:
        async with self.reader(topic) as reader:
            await topic.write(
                chunk("lead-1", 0),
                chunk("lead-1", 0, attempt=2),
                chunk("lead-1", 0, term=8),
                chunk("lead-1", 0, run=1),
                chunk("lead-1", 1, attempt=2),
            )
            told = await self.heard(reader, 5)
        assert [each.begins for each in told] == [True, True, True, True, False]
        assert reader.duplicates == 0

    async def test_what_is_no_chunk_is_skipped(self, topic: ChunkTopic) -> None:
        async with self.reader(topic) as reader:
            await topic.write(Record(b"lead-1", b"{"), Record(b"lead-1", None), Record(None, b"{}"), chunk("lead-1", 0))
            [told] = await self.heard(reader, 1)
            while reader.undecodable < 3:  # they may stand in another partition
                reader.stopping.clear()
                asyncio.get_running_loop().call_later(0.3, reader.stop)
                assert [each async for each in reader] == []
        assert told.chunk.seq == 0

    async def test_one_request_is_followed_to_its_end_through_its_attempts(self, topic: ChunkTopic) -> None:
        async with self.reader(topic) as reader:
            await topic.write(
                chunk("lead-1", 0),
                chunk("lead-1", 1),
                chunk("lead-1", 0, attempt=2),
                chunk("lead-1", 2),  # of a leader that does not know yet
                chunk("lead-1", 0, term=8),
                chunk("lead-1", 1, attempt=2),
                chunk("lead-1", 1, term=8, final=True),
                chunk("lead-1", 2, term=8),
            )
            async with asyncio.timeout(30):
                told = [each async for each in reader.follow("lead-1")]
        assert [(each.text, each.begins) for each in told] == [
            ("0710 ", True),
            ("0711 ", False),
            ("0720 ", True),
            ("0810 ", True),
            ("0811 ", False),
        ]
        assert [each.chunk.final for each in told] == [False] * 4 + [True]

    async def test_stopping_ends_the_iteration(self, topic: ChunkTopic) -> None:
        async with self.reader(topic) as reader:
            asyncio.get_running_loop().call_later(0.1, reader.stop)
            async with asyncio.timeout(30):
                assert [each async for each in reader] == []
