"""The doors of clients and readers in memory, held to what the real ones do where a topic changes."""

from datetime import UTC, datetime

import pytest

from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, topics
from tests.contract.changing_topics_contract import PARTITIONS, ChangingTopics, ChangingTopicsContract


class MemoryTopics:
    def __init__(self) -> None:
        self.prefix = "generation"
        self._kafka = MemoryKafka(lambda: round(datetime.now(UTC).timestamp() * 1_000))
        self.connection = MemoryClientDoors(self._kafka, KafkaLink(self._kafka))
        shape = TopicShape(partitions=PARTITIONS)
        shapes = {"requests": shape, "results": shape, "chunks": shape}
        for spec in topics(self.prefix, ["standard"], shapes, nodes=1):
            self._kafka.create(spec.name, spec.partitions)

    async def publish(
        self, topic: str, *records: Record, partition: int | None = None, at: datetime | None = None
    ) -> None:
        at_ms = None if at is None else round(at.timestamp() * 1_000)
        for record in records:
            self._kafka.append(topic, record, partition=partition, at_ms=at_ms)

    async def add_partitions(self, topic: str, count: int) -> None:
        self._kafka.create(topic, count)

    async def make_anew(self, topic: str, partitions: int) -> None:
        self._kafka.delete(topic)
        self._kafka.create(topic, partitions)


@pytest.mark.looptime
class TestMemoryTopics(ChangingTopicsContract):
    @pytest.fixture
    async def world(self) -> ChangingTopics:
        return MemoryTopics()
