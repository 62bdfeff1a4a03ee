"""Ports of the gateway's batches on a `MemoryKafka`: `headrace.broker.batch_ports` without aiokafka."""

from collections import defaultdict
from collections.abc import Mapping

from headrace.broker.batch_ports import RecordStretch
from headrace.broker.client_ports import Appended, StoredRecord
from headrace.broker.errors import PositionGone
from headrace.broker.testing.client_answers import reached, read
from headrace.broker.testing.client_doors import MemorySubmit
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka, keys_partition
from headrace.schemas.record import Record


class MemorySeekable:
    """See `headrace.broker.batch_ports.SeekableLog`."""

    def __init__(self, link: KafkaLink) -> None:
        self._link = link
        self._submit = MemorySubmit(link)

    async def ends(self, topic: str) -> dict[int, int]:
        """See `SeekableLog.ends`."""
        await reached(self._link)
        return {number: log.stable_end for number, log in enumerate(self._link.kafka.logs(topic))}

    async def begins(self, topic: str) -> dict[int, int]:
        """See `SeekableLog.begins`."""
        await reached(self._link)
        return {number: log.start for number, log in enumerate(self._link.kafka.logs(topic))}

    async def read(self, topic: str, partition: int, offset: int) -> RecordStretch:
        """See `SeekableLog.read`."""
        await reached(self._link)
        log = self._link.kafka.logs(topic)[partition]
        if log.is_out_of_range(offset):
            raise PositionGone(f"{topic}/{partition} does not hold offset {offset}.")
        got, after = read(log, offset)
        records = [StoredRecord(topic, partition, one.offset, one.timestamp_ms, one.record) for one in got]
        return RecordStretch(records, after)

    async def append(self, topic: str, partition: int, record: Record, *, timeout_s: float) -> Appended:
        """See `SeekableLog.append`."""
        pending = await self._submit.begin(topic, record, timeout_s=timeout_s, partition=partition)
        return await pending.wait(timeout_s=timeout_s)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """See `SeekableLog.partition_of`."""
        return keys_partition(key, partitions)

    async def close(self) -> None:
        """See `SeekableLog.close`."""


class MemoryShare:
    """See `headrace.broker.batch_ports.GroupShare`."""

    def __init__(self, link: KafkaLink, *, topic: str, members: "list[MemoryShare]") -> None:
        """`members` are the open members of the group."""
        self._link = link
        self._topic = topic
        self._members = members

    async def open(self) -> None:
        """See `GroupShare.open`."""
        await reached(self._link)
        self._link.kafka.logs(self._topic)
        self._members.append(self)

    @property
    def assigned(self) -> frozenset[int]:
        """See `GroupShare.assigned`; a member that is cut off from the cluster has no share."""
        alive = [member for member in self._members if member._link.is_up]  # noqa: SLF001  # its own kind
        if self not in alive:
            return frozenset()
        return frozenset(range(alive.index(self), len(self._link.kafka.logs(self._topic)), len(alive)))

    async def close(self) -> None:
        """See `GroupShare.close`."""
        if self in self._members:
            self._members.remove(self)


class MemoryBatchDoors:
    """See `headrace.broker.batch_ports.BatchDoors`. One for each process; all of a cluster share `groups`."""

    def __init__(
        self, kafka: MemoryKafka, link: KafkaLink, groups: Mapping[tuple[str, str], list[MemoryShare]] | None = None
    ) -> None:
        """`link` is this process's connection to the cluster; `groups` makes a list where it has none."""
        self._kafka = kafka
        self._link = link
        self._groups = defaultdict[tuple[str, str], list[MemoryShare]](list) if groups is None else groups

    def submissions(self) -> MemorySubmit:
        """See `BatchDoors.submissions`."""
        return MemorySubmit(self._link)

    def seekable(self) -> MemorySeekable:
        """See `BatchDoors.seekable`."""
        return MemorySeekable(self._link)

    def share(self, topic: str, *, group: str) -> MemoryShare:
        """See `BatchDoors.share`."""
        return MemoryShare(self._link, topic=topic, members=self._groups[group, topic])
