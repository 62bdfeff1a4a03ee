"""The doubles of the batches' doors, held to the contracts of the real ones."""

from collections import defaultdict

import pytest

from headrace.broker.testing.batch_doors import MemoryBatchDoors, MemorySeekable, MemoryShare
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.record import Record
from tests.contract import group_share_contract, seekable_log_contract
from tests.contract.group_share_contract import GroupShareContract
from tests.contract.seekable_log_contract import SeekableLogContract
from tests.unit.testing.worlds import loop_utc_ms


class MemorySeekableWorld:
    topic = "t.batches"

    def __init__(self) -> None:
        self.kafka = MemoryKafka(loop_utc_ms)
        self.kafka.create(self.topic, seekable_log_contract.PARTITIONS)

    def log(self) -> MemorySeekable:
        return MemoryBatchDoors(self.kafka, KafkaLink(self.kafka)).seekable()

    async def transact(self, partition: int, *values: bytes, commit: bool = True) -> None:
        keys = (f"k{number}".encode() for number in range(1_000))
        key = next(key for key in keys if self.kafka.partition_for(self.topic, Record(key, None)) == partition)
        self.kafka.begin("t", [(self.topic, Record(key, value), None) for value in values])
        if commit:
            self.kafka.commit("t", "t", {})
        else:
            self.kafka.abort("t")

    async def trim(self, partition: int, before: int) -> None:
        self.kafka.logs(self.topic)[partition].trim(before)

    async def appended_by_key(self, key: bytes) -> int:
        placed = (
            await MemoryBatchDoors(self.kafka, KafkaLink(self.kafka))
            .submissions()
            .append(self.topic, Record(key, b""), timeout_s=1)
        )
        return placed.partition


class TestMemorySeekable(SeekableLogContract):
    @pytest.fixture
    async def world(self) -> MemorySeekableWorld:
        return MemorySeekableWorld()


class MemoryShareWorld:
    def __init__(self) -> None:
        self.kafka = MemoryKafka(loop_utc_ms)
        self.kafka.create("t.batches", group_share_contract.PARTITIONS)
        self.groups: defaultdict[tuple[str, str], list[MemoryShare]] = defaultdict(list)

    def member(self) -> MemoryShare:
        return MemoryBatchDoors(self.kafka, KafkaLink(self.kafka), self.groups).share("t.batches", group="t.gateway")

    def of_missing_topic(self) -> MemoryShare:
        return MemoryBatchDoors(self.kafka, KafkaLink(self.kafka), self.groups).share("t.none", group="t.gateway")


class TestMemoryShare(GroupShareContract):
    @pytest.fixture
    async def world(self) -> MemoryShareWorld:
        return MemoryShareWorld()

    async def test_what_a_member_has_that_is_cut_off_the_others_take(self) -> None:
        world = MemoryShareWorld()
        links = [KafkaLink(world.kafka) for _ in range(2)]
        one, two = [
            MemoryBatchDoors(world.kafka, link, world.groups).share("t.batches", group="t.gateway") for link in links
        ]
        await one.open()
        await two.open()
        links[0].cut()
        assert (one.assigned, two.assigned) == (frozenset(), frozenset(range(group_share_contract.PARTITIONS)))
