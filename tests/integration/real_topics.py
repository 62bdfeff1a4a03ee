"""Topics of a real Kafka that tests change under open clients, readers and dispatchers."""

import asyncio
import uuid
from datetime import datetime

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from headrace.broker.adapters.kafka.admin import admin_client
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, topics
from tests.integration.kafka_world import producing


class RealTopics:
    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self.connection = connection
        self.prefix = prefix

    async def publish(
        self, topic: str, *records: Record, partition: int | None = None, at: datetime | None = None
    ) -> None:
        at_ms = None if at is None else round(at.timestamp() * 1_000)
        async with producing(self.connection) as producer:
            for record in records:
                headers = list(record.headers)
                await producer.send_and_wait(
                    topic, record.value, key=record.key, partition=partition, timestamp_ms=at_ms, headers=headers
                )

    async def add_partitions(self, topic: str, count: int) -> None:
        async with admin_client(self.connection, client_id="test", request_ms=5_000) as admin:
            await admin.create_partitions({topic: NewPartitions(count)})
            await _until_seen(admin, topic, count)

    async def make_anew(self, topic: str, partitions: int) -> None:
        async with admin_client(self.connection, client_id="test", request_ms=5_000) as admin:
            await _delete(admin, topic)
            await admin.create_topics([NewTopic(topic, partitions, 1)])
            await _until_seen(admin, topic, partitions)


async def delete_topic(connection: KafkaConnection, topic: str) -> None:
    """Returns once the node tells of it no more, which is some milliseconds after it has said so to the deletion."""
    async with admin_client(connection, client_id="test", request_ms=5_000) as admin:
        await _delete(admin, topic)


async def _delete(admin: AIOKafkaAdminClient, topic: str) -> None:
    await admin.delete_topics([topic])
    await _until_seen(admin, topic, 0)


async def _until_seen(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    async with asyncio.timeout(10):
        while True:
            there = [told for told in await admin.describe_topics() if told["topic"] == topic]
            if sum(len(told["partitions"]) for told in there) == partitions:
                return
            await asyncio.sleep(0.02)


async def topics_of(services: LocalServices, partitions: int) -> RealTopics:
    connection = KafkaConnection(services.endpoints.bootstrap_servers)
    prefix, shape = f"changing-{uuid.uuid4().hex[:8]}", TopicShape(partitions=partitions)
    shapes = {"requests": shape, "results": shape, "chunks": shape}
    await create_missing(connection, topics(prefix, ["standard"], shapes, nodes=1))
    return RealTopics(connection, prefix)
