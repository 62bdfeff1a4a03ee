"""Client ports of a `MemoryKafka`: `headrace.broker.client_ports` without aiokafka, with its behaviour.

Members of a group share the partitions, which are dealt out anew whenever a member comes or goes; records that a member
had read and not handled come again. A reader stays silent while its cluster is away; only a call that needs an answer
raises.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.broker.client_ports import Appended, Arrived, Start, StoredRecord
from headrace.broker.errors import InvalidRequest, LogUnavailable, Unreachable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.testing.client_answers import MemoryAnswers, reached, read
from headrace.broker.testing.kafka import GroupOffsets, KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_log import PartitionLog
from headrace.broker.testing.keyed import MemoryHomeAnswers, MemoryKeyedLog
from headrace.broker.testing.ranges import MemoryRanges
from headrace.schemas.record import Record
from headrace.schemas.topics import MESSAGE_BYTES_MAX


class MemoryClientDoors:
    """See `headrace.broker.client_ports.ClientDoors`.

    One for all clients of a cluster, since it holds the groups' members.
    """

    def __init__(self, kafka: MemoryKafka, link: KafkaLink) -> None:
        """`link` is the clients' connection to the cluster."""
        self._kafka = kafka
        self._link = link
        self._members: defaultdict[tuple[str, str], list[MemoryOutcomes]] = defaultdict(list)

    def submissions(self) -> "MemorySubmit":
        """See `ClientDoors.submissions`."""
        return MemorySubmit(self._link)

    def answers(self, topic: str, *, read_back_s: float) -> "MemoryAnswers":
        """See `ClientDoors.answers`."""
        return MemoryAnswers(self._link, topic=topic, read_back_s=read_back_s)

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> "MemoryOutcomes":
        """See `ClientDoors.outcomes`."""
        members = [] if group is None else self._members[group, topic]
        return MemoryOutcomes(self._link, topic=topic, group=group, start=start, members=members)

    def scan(self, topic: str, *, since: datetime | None) -> "MemoryScan":
        """See `ClientDoors.scan`."""
        return MemoryScan(self._link, topic=topic, since=since)

    def home_answers(self, topic: str, *, read_back_s: float) -> "MemoryHomeAnswers":
        """See `GatewayDoors.home_answers`."""
        return MemoryHomeAnswers(self._link, topic=topic, read_back_s=read_back_s)

    def keyed(self, topic: str) -> "MemoryKeyedLog":
        """See `GatewayDoors.keyed`."""
        return MemoryKeyedLog(self._link, topic=topic)

    def range_log(self, topic: str) -> "MemoryRanges":
        """See `headrace.broker.range_ports.RangeDoors.range_log`."""
        return MemoryRanges(self._link, topic=topic)


@dataclass(frozen=True, slots=True)
class Placed:
    """A record that is already written: see `headrace.broker.client_ports.Pending`."""

    appended: Appended

    async def wait(self, *, timeout_s: float) -> Appended:
        """See `headrace.broker.client_ports.Pending.wait`."""
        return self.appended


class MemorySubmit:
    """See `headrace.broker.client_ports.SubmitLog`."""

    def __init__(self, link: KafkaLink) -> None:
        self._link = link

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        """See `SubmitLog.append`."""
        return (await self.begin(topic, record, timeout_s=timeout_s)).appended

    async def begin(self, topic: str, record: Record, *, timeout_s: float, partition: int | None = None) -> Placed:
        """See `SubmitLog.begin`."""
        try:
            await self._link.reach(timeout_s)
        except TimeoutError as reason:
            raise LogUnavailable(f"Kafka did not take the request within {timeout_s:g} s. It is away.") from reason
        kafka = self._link.kafka
        kafka.logs(topic)
        if record.bytes_max > kafka.message_bytes_max.get(topic, MESSAGE_BYTES_MAX):
            raise InvalidRequest(f"The request is too large for the topic {topic}: make it smaller.")
        at_ms = kafka.utc_ms()
        partition = kafka.partition_for(topic, record) if partition is None else partition
        offset = kafka.append(topic, record, partition=partition, at_ms=at_ms)
        return Placed(Appended(topic, partition, offset, at_ms))

    async def check(self, topic: str) -> None:
        """See `SubmitLog.check`."""
        await reached(self._link)
        self._link.kafka.logs(topic)

    async def close(self) -> None:
        """See `SubmitLog.close`."""


class MemoryOutcomes:
    """See `headrace.broker.client_ports.OutcomeLog`."""

    def __init__(
        self, link: KafkaLink, *, topic: str, group: str | None, start: Start, members: list["MemoryOutcomes"]
    ) -> None:
        """`members` are the open readers of the group."""
        self._link = link
        self._topic = topic
        self._group = group
        self._start = start
        self._members = members
        self._next: dict[int, int] = {}
        self._handled: dict[int, int] = {}
        self._buffer: deque[Arrived] = deque()
        self._assignment = 0
        self._is_open = False
        self._partitions = 0
        self._partitions_at_open = 0
        self._topic_id: str | None = None
        self.made_anew = 0

    async def open(self) -> None:
        """See `OutcomeLog.open`."""
        await reached(self._link)
        self._look_again()
        self._is_open = True
        if self._group is None:
            self._next = {number: self._next.get(number, self._first(number)) for number in range(self._partitions)}
            return
        self._members.append(self)
        self._deal()

    def _look_again(self) -> None:
        """Take up the topic's present state: partitions may have been added, or it may have been made anew."""
        topic_id, former = self._link.kafka.topic_id(self._topic), self._partitions
        self._partitions = len(self._logs)
        if self._topic_id not in {None, topic_id}:
            self.made_anew += 1
            self._assignment += 1
            self._buffer.clear()
            self._handled.clear()
            self._next = dict.fromkeys(self._next, 0)
            self._partitions_at_open = 0
        elif self._topic_id is None:
            self._partitions_at_open = self._partitions
        self._topic_id = topic_id
        if self._is_open and self._partitions != former:
            self._take_up_added()

    def _take_up_added(self) -> None:
        if self._group is None:
            for number in range(self._partitions):
                self._next.setdefault(number, self._first(number))
            self._next = {number: at for number, at in self._next.items() if number < self._partitions}
        else:
            self._deal()

    @property
    def _logs(self) -> list[PartitionLog]:
        return self._link.kafka.logs(self._topic)

    def _deal(self) -> None:
        """Revoke all assignments of the group, and assign each member its share of all partitions."""
        for member in self._members:
            member._revoke()  # noqa: SLF001  # its own kind
        for place, member in enumerate(self._members):
            member._assign(range(place, len(self._logs), len(self._members)))  # noqa: SLF001  # same

    def _revoke(self) -> None:
        self._store()
        self._assignment += 1
        self._next.clear()
        self._handled.clear()
        self._buffer.clear()

    def _assign(self, numbers: Sequence[int]) -> None:
        self._partitions = len(self._logs)
        stored = self._offsets.stored
        has_read = any(place.topic == self._topic for place in stored)
        for number in numbers:
            place = TopicPartition(self._topic, number)
            if place in stored and stored[place].metadata == self._topic_id:
                self._next[number] = stored[place].offset
            else:  # stored at once, as by the real adapter
                self._next[number] = self._handled[number] = (
                    self._logs[number].start if has_read else self._first(number)
                )
        self._store()

    @property
    def _offsets(self) -> GroupOffsets:
        assert self._group is not None  # noqa: S101  # programmer error: only members of a group get here
        return self._link.kafka.groups.setdefault(self._group, GroupOffsets())

    def _first(self, number: int) -> int:
        log = self._logs[number]
        if self._start == "earliest" or number >= self._partitions_at_open:
            return log.start
        if self._start == "latest":
            return log.stable_end
        return _first_since(log, self._start)

    async def next(self, *, timeout_ms: int) -> Arrived | None:
        """See `OutcomeLog.next`."""
        if not self._is_open:
            raise Unreachable("The reader is not connected: open it first.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1_000):
                while not self._buffer and not self._fetch():
                    await self._link.changed()
        return self._buffer.popleft() if self._buffer else None

    def _fetch(self) -> bool:
        if not self._link.is_up or self._topic not in self._link.kafka.topic_names():
            return False
        self._look_again()
        for number, position in self._next.items():
            got, self._next[number] = read(self._logs[number], position)
            for fetched in got:
                self._buffer.append(
                    Arrived(number, fetched.offset, fetched.timestamp_ms, fetched.record, self._assignment)
                )
        return bool(self._buffer)

    @property
    def buffered(self) -> int:
        """See `OutcomeLog.buffered`."""
        return len(self._buffer)

    def mark_handled(self, arrived: Arrived) -> None:
        """See `OutcomeLog.mark_handled`."""
        if arrived.assignment == self._assignment:
            self._handled[arrived.partition] = arrived.offset + 1

    async def commit(self) -> None:
        """See `OutcomeLog.commit`."""
        self._store()

    def _store(self) -> None:
        if self._group is None or not self._handled or not self._link.is_up:
            return
        for number, offset in self._handled.items():
            place = TopicPartition(self._topic, number)
            self._offsets.stored[place] = self._offsets.shown[place] = StoredOffset(offset, self._topic_id or "")
        self._handled.clear()

    async def ends(self) -> dict[int, int]:
        """See `OutcomeLog.ends`."""
        return {number: log.stable_end for number, log in enumerate(self._logs)}

    async def is_past(self, ends: dict[int, int]) -> bool:
        """See `OutcomeLog.is_past`."""
        return not self._buffer and all(at >= ends[number] for number, at in self._next.items() if number in ends)

    async def close(self) -> None:
        """See `OutcomeLog.close`."""
        self._is_open = False
        if self in self._members:
            self._revoke()
            self._members.remove(self)
            self._deal()


class MemoryScan:
    """See `headrace.broker.client_ports.ScanLog`."""

    def __init__(self, link: KafkaLink, *, topic: str, since: datetime | None) -> None:
        self.partitions: tuple[int, ...] = ()
        self.offsets = 0
        self._link = link
        self._topic = topic
        self._since = since
        self.firsts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self._next: dict[int, int] = {}

    @property
    def offsets_done(self) -> int:
        """See `ScanLog.offsets_done`."""
        return self.offsets - self._left

    @property
    def _left(self) -> int:
        return sum(max(0, self.ends[number] - at) for number, at in self._next.items())

    async def open(self) -> None:
        """See `ScanLog.open`."""
        await reached(self._link)
        logs = self._link.kafka.logs(self._topic)
        self.ends = {number: log.stable_end for number, log in enumerate(logs)}
        for number, log in enumerate(logs):
            self.firsts[number] = log.start if self._since is None else _first_since(log, self._since)
        self.partitions = tuple(self.ends)
        self.go_to(self.firsts)

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """See `ScanLog.go_to`."""
        self._next = dict(offsets)
        self.offsets = self._left

    async def take(self, partition: int) -> Sequence[StoredRecord]:
        """See `ScanLog.take`."""
        await reached(self._link)
        got, after = read(self._link.kafka.logs(self._topic)[partition], self._next[partition])
        self._next[partition] = min(after, self.ends[partition])
        return [
            StoredRecord(self._topic, partition, fetched.offset, fetched.timestamp_ms, fetched.record)
            for fetched in got
            if fetched.offset < self.ends[partition]
        ]

    async def at(self, partition: int, offset: int) -> StoredRecord | None:
        """See `ScanLog.at`."""
        if partition not in self.ends:
            return None
        self._next[partition] = min(offset, self.ends[partition])
        first = next(iter(await self.take(partition)), None)
        return first if first is not None and first.offset == offset else None

    async def close(self) -> None:
        """See `ScanLog.close`."""


def _first_since(log: PartitionLog, since: datetime) -> int:
    since_ms = int(since.timestamp() * 1_000)
    return next((each.offset for each in log.committed() if each.timestamp_ms >= since_ms), log.stable_end)
