"""The reader of chunks on a Kafka in memory: its contract, and a Kafka that goes away."""

import asyncio

import pytest

from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.consumers import chunks
from headrace.consumers.chunks import ChunkReader
from headrace.schemas.record import Record
from tests.contract.chunk_reader_contract import ChunkReaderContract, ChunkTopic, chunk
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class MemoryChunkTopic:
    prefix = "t"

    def __init__(self) -> None:
        self.kafka = MemoryKafka(lambda: 0)
        self.kafka.create("t.chunks", 3)
        self.link = KafkaLink(self.kafka, away_after_s=0.1)
        self.connection = MemoryClientDoors(self.kafka, self.link)

    async def write(self, *records: Record) -> None:
        for record in records:
            self.kafka.append("t.chunks", record)


class TestMemoryChunks(ChunkReaderContract):
    @pytest.fixture
    async def topic(self) -> ChunkTopic:
        return MemoryChunkTopic()


def reader_of(topic: MemoryChunkTopic) -> ChunkReader:
    return ChunkReader(connection=topic.connection, topic_prefix="t")


async def test_a_reader_outlives_a_kafka_that_is_away_and_goes_on_where_it_was() -> None:
    topic = MemoryChunkTopic()
    reader = reader_of(topic)
    async with reader:
        await topic.write(chunk("lead-1", 0))
        assert (await anext(reader)).chunk.seq == 0
        await reader._log.close()  # as after an error of its connection
        topic.link.cut()
        asyncio.get_running_loop().call_later(20, topic.link.mend)
        await topic.write(chunk("lead-1", 1))
        told = await asyncio.wait_for(anext(reader), 30)
    assert (told.chunk.seq, told.missing) == (1, 0)


async def test_stopping_ends_a_reader_whose_kafka_is_away() -> None:
    topic = MemoryChunkTopic()
    async with reader_of(topic) as reader:
        await reader._log.close()
        topic.link.cut()
        asyncio.get_running_loop().call_later(20, reader.stop)
        assert await asyncio.wait_for(_all(reader), 21) == []


async def _all(reader: ChunkReader) -> list[object]:
    return [each async for each in reader]


async def test_attempts_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "REMEMBERED_MAX", 2)
    topic = MemoryChunkTopic()
    async with reader_of(topic) as reader:
        written = [("lead-1", 0), ("lead-2", 0), ("lead-1", 1), ("lead-3", 0), ("lead-2", 0)]
        begins = []
        for request_id, seq in written:
            await topic.write(chunk(request_id, seq))
            begins.append((await anext(reader)).begins)
    assert begins == [True, True, False, True, True]
    assert len(reader._next_seq) == 2


async def test_iterating_opens_the_reader() -> None:
    topic = MemoryChunkTopic()
    reader = reader_of(topic)
    asking = asyncio.create_task(anext(reader))
    await asyncio.sleep(0.01)
    await topic.write(chunk("lead-1", 0))
    assert (await asking).text == "0710 "
    await reader.close()
