"""The doubles' side of the contract suites."""

import asyncio

from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import (
    MemoryCoordinators,
    MemoryLane,
    MemoryLedger,
    MemoryOffsets,
    MemoryTransactions,
)
from headrace.broker.testing.totals_door import MemoryTotals
from headrace.schemas.record import Record
from tests.contract.kafka_world import PARTITIONS

WALL_MS = 1_790_000_000_000


def loop_utc_ms() -> int:
    """A wall clock on the loop's time."""
    return WALL_MS + int(asyncio.get_running_loop().time() * 1_000)


class MemoryStranger:
    def __init__(self, kafka: MemoryKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic

    async def write(self, partition: int, *values: bytes) -> None:
        keyed = [Record(self._key(partition), value) for value in values]
        self._kafka.begin("stranger", [(self._topic, record, None) for record in keyed])

    async def commit(self) -> None:
        self._kafka.commit("stranger", "stranger", {})

    async def abort(self) -> None:
        self._kafka.abort("stranger")

    def _key(self, partition: int) -> bytes:
        """A key that lands there."""
        return next(
            key
            for key in (f"k{number}".encode() for number in range(1_000))
            if self._kafka.partition_for(self._topic, Record(key, None)) == partition
        )


class MemoryWorld:
    """`tests.contract.kafka_world.KafkaWorld` on a `MemoryKafka`."""

    def __init__(self) -> None:
        self.kafka = MemoryKafka(loop_utc_ms)
        self.link = KafkaLink(self.kafka)
        self.lane_topic, self.ledger_topic, self.results_topic = "t.requests.standard", "t.ledger", "t.results"
        self.kafka.create(self.lane_topic, PARTITIONS)
        self.kafka.create(self.ledger_topic)
        self.kafka.create(self.results_topic)
        self.totals_topic = "t.totals"
        self.kafka.create(self.totals_topic)

    def producer(self) -> MemoryTransactions:
        return MemoryTransactions(self.link, transactional_id="t.dispatcher")

    def offsets(self) -> MemoryOffsets:
        return MemoryOffsets(self.link, group="t.dispatcher")

    def lane(self) -> MemoryLane:
        return MemoryLane(self.link, topic=self.lane_topic)

    def missing_lane(self) -> MemoryLane:
        return MemoryLane(self.link, topic="t.requests.nowhere")

    def ledger(self) -> MemoryLedger:
        return MemoryLedger(self.link, topic=self.ledger_topic)

    def totals(self) -> MemoryTotals:
        return MemoryTotals(self.link, topic=self.totals_topic)

    def missing_totals(self) -> MemoryTotals:
        return MemoryTotals(self.link, topic="t.nowhere")

    def coordinators(self) -> MemoryCoordinators:
        return MemoryCoordinators(self.link)

    def stranger(self) -> MemoryStranger:
        return MemoryStranger(self.kafka, self.lane_topic)

    async def append(self, partition: int, *records: Record) -> None:
        for record in records:
            self.kafka.append(self.lane_topic, record, partition=partition)

    async def trim(self, partition: int, before: int) -> None:
        self.kafka.logs(self.lane_topic)[partition].trim(before)

    async def trim_ledger(self, before: int) -> None:
        self.kafka.logs(self.ledger_topic)[0].trim(before)

    async def add_partition(self) -> None:
        self.kafka.create(self.lane_topic, PARTITIONS + 1)

    async def results(self) -> list[Record]:
        return [fetched.record for fetched in self.kafka.committed(self.results_topic)]
