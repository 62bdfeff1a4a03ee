"""Chunks on their way to one client: in order, its own alone, and never more than a bounded number."""

import asyncio
from datetime import UTC, datetime

import pytest

from headrace.broker.client_ports import StoredRecord
from headrace.broker.clock import WallClock
from headrace.broker.errors import Disconnected
from headrace.broker.gateway.chunk_feed import QUEUED_MAX, ChunkFeed, ChunkQueue
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk
from headrace.schemas.expectation import Expectation
from headrace.schemas.record import Record

TOPIC = "generation.chunks"
EXPECTED = Expectation("acme/lead-17", "acme", "chat.completions", "d1")


def chunk(seq: int, *, request_id: str = "acme/lead-17", digest: str = "d1") -> Record:
    told = Chunk(id=request_id, term=1, attempt=1, seq=seq, tenant="acme", request_digest=digest)
    return encode_chunk(told, time=datetime.now(UTC))


def deliver(queue: ChunkQueue, record: Record) -> None:
    queue.deliver(StoredRecord(TOPIC, 0, 0, 0, record))


def numbers(queue: ChunkQueue) -> list[int]:
    return [each.seq for each in queue.taken()]


async def is_waiting(queue: ChunkQueue) -> bool:
    try:
        async with asyncio.timeout(0.01):
            await queue.wait()
    except TimeoutError:
        return True
    return False


async def test_chunks_are_taken_once_and_in_order() -> None:
    queue = ChunkQueue(EXPECTED)
    assert await is_waiting(queue)
    for seq in range(3):
        deliver(queue, chunk(seq))
    assert not await is_waiting(queue)
    assert numbers(queue) == [0, 1, 2]
    assert numbers(queue) == []
    assert await is_waiting(queue), "what was taken wakes no wait again"


async def test_what_is_no_chunk_of_this_request_is_left_out() -> None:
    queue = ChunkQueue(EXPECTED)
    deliver(queue, chunk(0, digest="d2"))
    deliver(queue, Record(b"acme/lead-17", b"{", ()))
    queue.fail(Disconnected("Kafka is away."))
    assert await is_waiting(queue)
    assert numbers(queue) == []


def test_a_client_that_reads_slowly_loses_what_comes_last() -> None:
    queue = ChunkQueue(EXPECTED)
    for seq in range(QUEUED_MAX + 5):
        deliver(queue, chunk(seq))
    assert numbers(queue) == list(range(QUEUED_MAX))
    deliver(queue, chunk(QUEUED_MAX + 5))
    assert numbers(queue) == [QUEUED_MAX + 5]


async def test_chunks_published_while_a_client_waits_reach_it() -> None:
    clock = WallClock(asyncio.get_running_loop().time)
    kafka = MemoryKafka(clock.utc_ms)
    kafka.create(TOPIC)
    chunks = ChunkFeed(MemoryClientDoors(kafka, KafkaLink(kafka)).keyed(TOPIC))
    async with chunks.of(EXPECTED) as queue:
        for record in (chunk(0), chunk(1, request_id="acme/other")):
            kafka.append(TOPIC, record, partition=0, at_ms=clock.utc_ms())
        async with asyncio.timeout(2):
            await queue.wait()
        assert numbers(queue) == [0]
    await chunks.close()


async def test_without_the_topic_a_stream_has_no_chunks_and_goes_on() -> None:
    clock = WallClock(asyncio.get_running_loop().time)
    kafka = MemoryKafka(clock.utc_ms)
    chunks = ChunkFeed(MemoryClientDoors(kafka, KafkaLink(kafka)).keyed(TOPIC))
    async with chunks.of(EXPECTED) as queue:
        assert await is_waiting(queue)
    with pytest.raises(ZeroDivisionError):
        async with chunks.of(EXPECTED):
            raise ZeroDivisionError
    await chunks.close()
