"""The double of a log that is read in ranges, held to the contract of the real one."""

import pytest

from headrace.broker.range_ports import RangeDoors, RangeLog
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.record import Record
from tests.contract import range_log_contract
from tests.contract.range_log_contract import RangeLogContract


class MemoryRangeWorld:
    topic = "t.results"

    def __init__(self) -> None:
        self._minute = 0
        self._kafka = MemoryKafka(lambda: int(range_log_contract.at(self._minute).timestamp() * 1_000))
        self._kafka.create(self.topic, range_log_contract.PARTITIONS)
        self.doors = MemoryClientDoors(self._kafka, KafkaLink(self._kafka))

    def log(self, topic: str | None = None) -> RangeLog:
        return self.doors.range_log(topic or self.topic)

    async def append(self, partition: int, minute: int, *values: bytes) -> None:
        self._minute = minute
        for value in values:
            self._kafka.append(self.topic, Record(b"k", value, (("name", b"text"),)), partition=partition)

    async def transact(self, partition: int, minute: int, *values: bytes, commit: bool) -> None:
        self._minute = minute
        keys = (f"k{number}".encode() for number in range(1_000))
        key = next(key for key in keys if self._kafka.partition_for(self.topic, Record(key, None)) == partition)
        self._kafka.begin("t", [(self.topic, Record(key, value), None) for value in values])
        if commit:
            self._kafka.commit("t", "t", {})
        else:
            self._kafka.abort("t")

    async def trim(self, partition: int, before: int) -> None:
        self._kafka.logs(self.topic)[partition].trim(before)


class TestMemoryRanges(RangeLogContract):
    @pytest.fixture
    async def world(self) -> MemoryRangeWorld:
        return MemoryRangeWorld()


def test_a_memory_brokers_doors_make_range_logs() -> None:
    assert isinstance(MemoryRangeWorld().doors, RangeDoors)
