"""Stands in for the dispatcher where a test needs its outcomes, not its decisions: it publishes transactions."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Outcome
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, topics

LANES = ("urgent", "standard", "bulk")


async def create_topics(connection: KafkaConnection, prefix: str) -> None:
    unread = dict.fromkeys(("failures", "dead_letters"), TopicShape(partitions=1))
    shapes = {"requests": TopicShape(partitions=2), "results": TopicShape(partitions=3), **unread}
    await create_missing(connection, topics(prefix, LANES, shapes, nodes=1))


def completed(request_id: str, *, run: int = 0, text: str = "Hello") -> Completed:
    return Completed(id=request_id, run=run, lane="urgent", response={"choices": [{"message": {"content": text}}]})


async def markers_written(connection: KafkaConnection, places: Collection[TopicPartition]) -> None:
    """Wait for a transaction's markers: Kafka says that it has ended before it has written them.

    Until then its records are not visible, and a reader that begins at the end, or at a later instant, begins before
    them.
    """
    async with asyncio.timeout(30):
        ends: list[dict[TopicPartition, int]] = []
        while len(ends) < 2 or ends[0] != ends[1]:
            ends = []
            for isolation_level in ("read_committed", "read_uncommitted"):
                consumer = AIOKafkaConsumer(**connection.client_kwargs(), isolation_level=isolation_level)
                await consumer.start()
                try:
                    ends.append(await consumer.end_offsets(list(places)))
                finally:
                    await consumer.stop()


class Publisher:
    def __init__(self, producer: AIOKafkaProducer, connection: KafkaConnection) -> None:
        self._producer = producer
        self._connection = connection

    async def publish(self, topic: str, outcomes: Sequence[Outcome | Record], *, commit: bool = True) -> None:
        places = set()
        await self._producer.begin_transaction()
        for outcome in outcomes:
            record = outcome if isinstance(outcome, Record) else encode_outcome(outcome, time=datetime.now(UTC))
            sent = await self._producer.send_and_wait(topic, record.value, key=record.key, headers=list(record.headers))
            places.add(TopicPartition(sent.topic, sent.partition))
        await (self._producer.commit_transaction() if commit else self._producer.abort_transaction())
        await markers_written(self._connection, places)


@asynccontextmanager
async def publishing(connection: KafkaConnection, prefix: str) -> AsyncIterator[Publisher]:
    producer = AIOKafkaProducer(
        **connection.client_kwargs(), transactional_id=f"{prefix}.dispatcher", retry_backoff_ms=10
    )
    await producer.start()
    try:
        yield Publisher(producer, connection)
    finally:
        await producer.stop()
