"""The doors of the gateway's batches on a real Kafka, held to the contracts that their doubles pass too."""

from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from headrace.broker.adapters.kafka.batch_doors import KafkaBatchDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.batch_ports import GroupShare, SeekableLog
from headrace.broker.local.services import LocalServices
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicSpec
from tests.contract import group_share_contract, seekable_log_contract
from tests.contract.group_share_contract import GroupShareContract
from tests.contract.seekable_log_contract import SeekableLogContract
from tests.integration.dispatching import markers_written
from tests.integration.kafka_world import producing, remove


class RealSeekableWorld:
    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self.topic = topic
        self._connection = connection

    def log(self) -> SeekableLog:
        return KafkaBatchDoors(self._connection).seekable()

    async def transact(self, partition: int, *values: bytes, commit: bool = True) -> None:
        async with producing(self._connection, transactional_id=f"{self.topic}-t") as producer:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(self.topic, value, partition=partition)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        await markers_written(self._connection, [TopicPartition(self.topic, partition)])

    async def trim(self, partition: int, before: int) -> None:
        await remove(self._connection, TopicPartition(self.topic, partition), before)

    async def appended_by_key(self, key: bytes) -> int:
        submissions = KafkaBatchDoors(self._connection).submissions()
        try:
            return (await submissions.append(self.topic, Record(key, b""), timeout_s=10)).partition
        finally:
            await submissions.close()


class TestKafkaSeekable(SeekableLogContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> RealSeekableWorld:
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        topic = f"seekable-{uuid4().hex[:8]}"
        await create_missing(connection, [TopicSpec(topic, seekable_log_contract.PARTITIONS, 1, {})])
        return RealSeekableWorld(connection, topic)


class RealShareWorld:
    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._doors = KafkaBatchDoors(connection)
        self._topic = topic

    def member(self) -> GroupShare:
        return self._doors.share(self._topic, group=f"{self._topic}.gateway")

    def of_missing_topic(self) -> GroupShare:
        return self._doors.share(f"{self._topic}-missing", group=f"{self._topic}.gateway")


class TestKafkaShare(GroupShareContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> RealShareWorld:
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        topic = f"share-{uuid4().hex[:8]}"
        await create_missing(connection, [TopicSpec(topic, group_share_contract.PARTITIONS, 1, {})])
        return RealShareWorld(connection, topic)
