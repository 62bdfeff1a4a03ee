"""The real side of the Kafka contract suites: one fresh prefix on the run's Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.protocol.produce import ProduceRequest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.coordinators import KafkaCoordinators
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.adapters.kafka.ledger import KafkaLedger
from headrace.broker.adapters.kafka.offsets import KafkaOffsets
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.adapters.kafka.totals import KafkaTotals
from headrace.broker.adapters.kafka.transactions import KafkaTransactions
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, ledger_topic, requests_topic, results_topic, topics, totals_topic
from tests.contract.kafka_world import PARTITIONS
from tests.integration.dispatching import markers_written


class RealStranger:
    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection = connection
        self._places: set[TopicPartition] = set()
        self._producer = AIOKafkaProducer(
            **connection.client_kwargs(), transactional_id=f"{topic}.stranger", retry_backoff_ms=10
        )
        self._topic = topic

    async def write(self, partition: int, *values: bytes) -> None:
        await self._producer.start()
        await self._producer.begin_transaction()
        self._places.add(TopicPartition(self._topic, partition))
        for value in values:
            await self._producer.send_and_wait(self._topic, value, partition=partition)

    async def commit(self) -> None:
        await self._producer.commit_transaction()
        await self._ended()

    async def abort(self) -> None:
        await self._producer.abort_transaction()
        await self._ended()

    async def _ended(self) -> None:
        await self._producer.stop()
        await markers_written(self._connection, self._places)


class RealWorld:
    """`tests.contract.kafka_world.KafkaWorld` on a real Kafka."""

    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self.connection = connection
        self.prefix = prefix
        self.lane_topic = requests_topic(prefix, "standard")
        self.ledger_topic, self.results_topic = ledger_topic(prefix), results_topic(prefix)
        self.totals_topic = totals_topic(prefix)

    def producer(self) -> KafkaTransactions:
        return KafkaTransactions(self.connection, transactional_id=f"{self.prefix}.dispatcher")

    def offsets(self) -> KafkaOffsets:
        return KafkaOffsets(self.connection, group=f"{self.prefix}.dispatcher")

    def lane(self) -> KafkaLane:
        return KafkaLane(self.connection, topic=self.lane_topic)

    def missing_lane(self) -> KafkaLane:
        return KafkaLane(self.connection, topic=f"{self.prefix}.requests.nowhere")

    def ledger(self) -> KafkaLedger:
        return KafkaLedger(self.connection, topic=self.ledger_topic)

    def totals(self) -> KafkaTotals:
        return KafkaTotals(self.connection, topic=self.totals_topic)

    def missing_totals(self) -> KafkaTotals:
        return KafkaTotals(self.connection, topic=f"{self.prefix}.nowhere")

    def coordinators(self) -> KafkaCoordinators:
        return KafkaCoordinators(self.connection, transactional_id=f"{self.prefix}.dispatcher")

    def stranger(self) -> RealStranger:
        return RealStranger(self.connection, self.lane_topic)

    async def append(self, partition: int, *records: Record) -> None:
        """One batch: unlike `send`, it takes a record with neither key nor value."""
        async with producing(self.connection) as producer:
            batch = producer.create_batch()
            for record in records:
                headers = list(record.headers)
                assert batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
            await (await producer.send_batch(batch, self.lane_topic, partition=partition))

    async def trim(self, partition: int, before: int) -> None:
        await remove(self.connection, TopicPartition(self.lane_topic, partition), before)

    async def trim_ledger(self, before: int) -> None:
        await remove(self.connection, TopicPartition(self.ledger_topic, 0), before)

    async def add_partition(self) -> None:
        admin = AIOKafkaAdminClient(**self.connection.client_kwargs())
        await admin.start()
        try:
            await admin.create_partitions({self.lane_topic: NewPartitions(PARTITIONS + 1)})
        finally:
            await admin.close()

    async def results(self) -> list[Record]:
        """A commit is readable a moment after it returned: read to the end that everybody sees, markers included."""
        place = TopicPartition(self.results_topic, 0)
        async with consuming(self.connection, isolation_level="read_uncommitted") as everybody:
            end = (await everybody.end_offsets([place]))[place]
        if end == 0:
            return []  # a consumer stopped before it has awaited anything ends in a CancelledError
        async with consuming(self.connection, isolation_level="read_committed") as consumer:
            consumer.assign([place])
            consumer.seek(place, 0)
            records: list[Record] = []
            async with asyncio.timeout(30):
                while await consumer.position(place) < end:
                    got = (await consumer.getmany(place, timeout_ms=200)).get(place, ())
                    records.extend(Record(record.key, record.value, tuple(record.headers)) for record in got)
            return records


async def remove(connection: KafkaConnection, place: TopicPartition, before: int) -> None:
    """Move the start of a log, as retention does when a segment's time is over."""
    admin = AIOKafkaAdminClient(**connection.client_kwargs())
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


@asynccontextmanager
async def consuming(connection: KafkaConnection, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**connection.client_kwargs(), enable_auto_commit=False, **options)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def producing(connection: KafkaConnection, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**connection.client_kwargs(), **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def real_world(connection: KafkaConnection, name: str) -> RealWorld:
    """A world of its own, topics created; those that no door here reads have one partition, as each takes 10 ms."""
    prefix = f"{name}-{uuid4().hex[:8]}"
    unread = dict.fromkeys(("failures", "chunks", "dead_letters"), TopicShape(partitions=1))
    shapes = {"requests": TopicShape(partitions=PARTITIONS), "results": TopicShape(partitions=1), **unread}
    await create_missing(connection, topics(prefix, ["standard"], shapes, nodes=1))
    return RealWorld(connection, prefix)


async def append_batch(connection: KafkaConnection, topic: str, partition: int, data: bytes) -> None:
    """Append a batch as it is, past every client's own checks."""
    async with producing(connection) as producer:
        await producer.client.force_metadata_update()
        await producer.partitions_for(topic)
        node = producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        response = await producer.client.send(node, ProduceRequest(None, -1, 10_000, [(topic, [(partition, data)])]))
        ((_, ((_, error, *_),)),) = response.topics
        assert error == 0, f"Kafka takes no such batch: error {error}"
