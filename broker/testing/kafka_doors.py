"""Dispatcher ports of a `MemoryKafka`: `headrace.broker.ports` without aiokafka, with its behaviour.

A reader stays silent while its cluster is away; only a call that needs an answer raises. A producer is dead after any
error, and its open transaction stays open until its successor starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from headrace.broker import ports
from headrace.broker.core.progress.offset_map import METADATA_CHARS_MAX
from headrace.broker.core.setback import Setback
from headrace.broker.errors import LogUnavailable, MissingTopic, PositionGone, ProducerDead
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.testing.kafka import CommitFault, KafkaLink
from headrace.broker.testing.kafka_log import PartitionLog
from headrace.schemas.record import Record
from headrace.schemas.topics import MESSAGE_BYTES_MAX

_OPEN_WITHIN_S = 10.0
_LOOK_WITHIN_S = 1.0
_COORDINATED_WITHIN_S = 1.2
_ROWS_A_READ = 2_000


class MemoryTransactions:
    """A `TransactionLog`. The offsets group is named as the transactional id, unless it has a name of its own."""

    def __init__(
        self, link: KafkaLink, *, transactional_id: str, group: str | None = None, commit_within_s: float = 10.0
    ) -> None:
        """Nothing happens before `open`."""
        self._link = link
        self._id = transactional_id
        self._group = group or transactional_id
        self._commit_within_s = commit_within_s
        self._epoch: int | None = None

    async def open(self) -> None:
        """See `headrace.broker.ports.TransactionLog.open`."""
        kafka = self._link.kafka
        try:
            async with asyncio.timeout(_OPEN_WITHIN_S):
                await asyncio.sleep(kafka.open_takes_s)
                await self._link.coordinate()
        except TimeoutError as error:
            raise ProducerDead("Kafka did not accept the transactional producer: it is away.") from error
        self._epoch = kafka.fence(self._id)

    async def transact(
        self, records: Sequence[ports.Outgoing], offsets: Mapping[ports.TopicPartition, ports.StoredOffset]
    ) -> Sequence[int]:
        """See `headrace.broker.ports.TransactionLog.transact`."""
        written: Sequence[int] = ()
        epoch, self._epoch = self._epoch, None  # dead, unless the commit returns
        if epoch is None:
            raise ProducerDead("A transaction's outcome is unknown: the producer was dead already.")
        if records or offsets:  # an empty transaction never reaches Kafka, and proves nothing
            try:
                async with asyncio.timeout(self._commit_within_s):
                    written = await self._transact(epoch, records, offsets)
            except TimeoutError as error:
                raise ProducerDead("A transaction's outcome is unknown: Kafka is away.") from error
        self._epoch = epoch
        return written

    async def _transact(
        self, epoch: int, records: Sequence[ports.Outgoing], offsets: Mapping[ports.TopicPartition, ports.StoredOffset]
    ) -> Sequence[int]:
        kafka = self._link.kafka
        await self._answered(epoch)
        for outgoing in records:
            if outgoing.topic not in kafka.topic_names():
                said = f"Nothing can be committed: {MissingTopic(outgoing.topic)}"
                raise ProducerDead(said, setback=Setback.DENIED, topic=outgoing.topic)
            if (setback := kafka.setback(outgoing.topic, outgoing.record)) is not None:
                said = f"A transaction was not committed: {outgoing.topic} did not take a record."
                raise ProducerDead(said, setback=setback, topic=outgoing.topic)
        written = kafka.begin(self._id, [(each.topic, _sendable(each.record), each.timestamp_ms) for each in records])
        if any(len(stored.metadata) > METADATA_CHARS_MAX for stored in offsets.values()):
            raise ProducerDead("A transaction's outcome is unknown: the metadata of an offset is too long.")
        await asyncio.sleep(kafka.commit_takes_s)
        await self._answered(epoch)
        fault = self._fault()
        if fault is not CommitFault.LOST:
            kafka.commit(self._id, self._group, dict(offsets))
        if fault is not None:
            raise ProducerDead("A transaction's outcome is unknown: its answer was lost.")
        return written

    async def _answered(self, epoch: int) -> None:
        await self._link.coordinate(self._commit_within_s)
        if self._link.kafka.is_fenced(self._id, epoch):
            raise ProducerDead("A transaction's outcome is unknown: the producer is fenced.")

    def _fault(self) -> CommitFault | None:
        """Return the fate of the present commit."""
        faults = self._link.kafka.commit_faults
        return faults.popleft() if faults else None

    async def close(self) -> None:
        """See `headrace.broker.ports.TransactionLog.close`: an open transaction stays so until a successor starts."""
        self._epoch = None


class MemoryOffsets:
    """An `OffsetStore`."""

    def __init__(self, link: KafkaLink, *, group: str) -> None:
        self._link = link
        self._group = group

    async def read(self, partitions: Sequence[ports.TopicPartition]) -> dict[ports.TopicPartition, ports.StoredOffset]:
        """See `headrace.broker.ports.OffsetStore.read`."""
        await _reached(self._link.coordinate(), f"The stored offsets of group {self._group}")
        group = self._link.kafka.groups.get(self._group)
        none = ports.StoredOffset(ports.NO_OFFSET, "")
        return {place: none if group is None else group.shown.get(place, none) for place in partitions}


class MemoryLane:
    """An `OnDemandLog`. `taken` counts the calls of `take`."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._next: dict[int, int] = {}
        self._announced: dict[int, Sequence[int]] = {}  # of the partitions read on demand
        self.taken = 0
        self.topic_id: str | None = None

    async def partitions(self) -> list[int]:
        """See `headrace.broker.ports.LaneLog.partitions`."""
        await self._reached()
        self.topic_id = self._link.kafka.topic_id(self._topic)
        return list(range(len(self._link.kafka.logs(self._topic))))

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """See `headrace.broker.ports.LaneLog.bounds`."""
        await self._reached()
        logs = self._link.kafka.logs(self._topic)
        return {number: (logs[number].start, logs[number].stable_end) for number in partitions}

    async def first_timestamp_ms(self, partition: int) -> int | None:
        """See `headrace.broker.ports.LaneLog.first_timestamp_ms`."""
        await self._reached()
        first = next(iter(self._link.kafka.logs(self._topic)[partition].committed()), None)
        return None if first is None else first.timestamp_ms

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """See `headrace.broker.ports.LaneLog.timestamps_ms`."""
        await self._reached()
        found = {}
        for number, offset in offsets.items():
            log = self._link.kafka.logs(self._topic)[number]
            there = next((each for each in log.committed() if each.offset == offset), None)
            if there is not None:
                found[number] = there.timestamp_ms
        return found

    async def start(self, positions: Mapping[int, int], *, on_demand: Collection[int] = ()) -> None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.start`."""
        await self._reached()
        self._next, self._announced = dict(positions), dict.fromkeys(on_demand, ())

    async def upcoming(self, partition: int, records_max: int) -> Upcoming | ports.UnreadableRange | None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.upcoming`."""
        if partition not in self._announced:
            raise KeyError(partition)  # as the door to a real Kafka does: it is read ahead
        await self._reached()
        log = self._link.kafka.logs(self._topic)[partition]
        if (first := self._next[partition]) < log.start:
            self._next[partition] = log.start
            return ports.UnreadableRange(first, log.start - 1, removed=True)
        offsets = log.upcoming(first, records_max)
        self._announced[partition] = offsets
        self._next[partition] = offsets[0] if offsets else max(first, log.stable_end)
        return Upcoming(offsets, self._next[partition] + bool(offsets))

    def read_ahead(self, partition: int) -> None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.read_ahead`."""
        del self._announced[partition]

    async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
        """See `headrace.broker.ports.LaneLog.wait`."""
        await _until(self._link, lambda: any(self._has_more(number) for number in partitions), timeout_ms)

    async def take(self, partition: int, records_max: int) -> Sequence[ports.Fetched] | ports.UnreadableRange:
        """See `headrace.broker.ports.LaneLog.take`."""
        self.taken += 1
        if (announced := self._announced.get(partition)) is not None:
            records_max = min(records_max, sum(offset >= self._next[partition] for offset in announced))
        elif not self._link.is_up:
            return []
        if not records_max:
            return []
        got, self._next[partition] = self._read(partition, records_max)
        return got

    def rewind(self, partition: int, offset: int) -> None:
        """See `headrace.broker.ports.LaneLog.rewind`."""
        self._next[partition] = offset
        if partition in self._announced:
            self._announced[partition] = ()

    def position(self, partition: int) -> int:
        """See `headrace.broker.ports.LaneLog.position`."""
        return self._next[partition]

    def is_at_end(self, partition: int) -> bool:
        """See `headrace.broker.ports.LaneLog.is_at_end`."""
        return not self._has_more(partition)

    async def close(self) -> None:
        """See `headrace.broker.ports.LaneLog.close`."""

    def _has_more(self, partition: int) -> bool:
        return self._link.kafka.logs(self._topic)[partition].has_more(self._next[partition])

    def _read(self, partition: int, records_max: int) -> tuple[list[ports.Fetched] | ports.UnreadableRange, int]:
        return self._link.kafka.logs(self._topic)[partition].read(self._next[partition], records_max)

    async def _reached(self) -> None:
        await _reached(self._link.reach(), f"Lane topic {self._topic}")


class MemoryLedger:
    """A `LedgerLog`."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._next: int | None = None
        self.topic_id: str | None = None

    async def open(self, from_wall_ms: int, *, before_last_ms: int | None = None) -> ports.LedgerStart:
        """See `headrace.broker.ports.LedgerLog.open`."""
        await self._reached()
        log = self._link.kafka.logs(self._topic)[0]
        last_ms = None if before_last_ms is None else log.last_ms()
        if before_last_ms is not None and last_ms is not None:
            from_wall_ms = min(from_wall_ms, last_ms - before_last_ms)
        young = (offset for offset in range(log.start, log.end) if log.slots[offset].at_ms >= from_wall_ms)
        self._next = next(young, log.stable_end)
        self.topic_id = self._link.kafka.topic_id(self._topic)
        return ports.LedgerStart(from_wall_ms, self._next <= log.start, log.start > 0, log.stable_end)

    def seek(self, offset: int) -> None:
        """See `headrace.broker.ports.LedgerLog.seek`."""
        self._next = offset

    async def read(self, timeout_ms: int) -> Sequence[ports.LedgerRow]:
        """See `headrace.broker.ports.LedgerLog.read`."""
        await _until(self._link, self._says_something, timeout_ms)
        if not self._link.is_up:
            return []
        rows, self._next = self._read()
        return [
            ports.LedgerRow(row.offset, row.timestamp_ms, row.record.value)
            for row in rows
            if row.record.value is not None
        ]

    async def at_end(self) -> bool:
        """See `headrace.broker.ports.LedgerLog.at_end`."""
        await self._reached()
        if self._next is None:
            raise LogUnavailable(f"The ledger {self._topic} was closed meanwhile.")
        more = self._has_more()
        self.topic_id = self._link.kafka.topic_id(self._topic)
        return not more

    async def close(self) -> None:
        """See `headrace.broker.ports.LedgerLog.close`."""
        self._next = None

    def _says_something(self) -> bool:
        """Whether there is a line, or something to be raised."""
        return self._topic not in self._link.kafka.topic_names() or self._has_more()

    def _has_more(self) -> bool:
        log, position = self._place()
        return log.is_out_of_range(position) or log.has_more(position)

    def _place(self) -> tuple[PartitionLog, int]:
        assert self._next is not None  # noqa: S101 — programmer error: read before open
        try:
            return self._link.kafka.logs(self._topic)[0], self._next
        except MissingTopic as error:
            raise LogUnavailable(f"The ledger {self._topic} cannot be read: {error}") from error

    def _read(self) -> tuple[list[ports.Fetched], int]:
        log, position = self._place()
        if log.is_out_of_range(position):
            raise PositionGone(
                f"The ledger {self._topic} does not hold offset {position}, but {log.start} to {log.end}."
            )
        rows, after = log.read(position, _ROWS_A_READ)
        assert not isinstance(rows, ports.UnreadableRange)  # noqa: S101 — programmer error: no test damages a ledger
        return rows, after

    async def _reached(self) -> None:
        await _reached(self._link.reach(), f"The ledger {self._topic}")


class MemoryCoordinators:
    """A `Coordinators`."""

    def __init__(self, link: KafkaLink) -> None:
        self._link = link

    async def check(self) -> None:
        """See `headrace.broker.ports.Coordinators.check`."""
        await _reached(self._link.coordinate(_COORDINATED_WITHIN_S), "Kafka's coordinators")

    async def close(self) -> None:
        """See `headrace.broker.ports.Coordinators.close`."""


async def _reached(reaching: Awaitable[None], what: str) -> None:
    try:
        await reaching
    except TimeoutError as error:
        raise LogUnavailable(f"{what} cannot be reached: Kafka is away.") from error


async def _until(link: KafkaLink, there: Callable[[], bool], timeout_ms: int) -> None:
    """Wait until something is there and reachable, or the time is over; a cluster that is away is not reported."""
    await link.until(there, timeout_ms / 1_000)


def _sendable(record: Record) -> Record:
    """Convert as the real adapter does: aiokafka cannot send a record with neither key nor value."""
    return record if record.key is not None or record.value is not None else Record(None, b"", record.headers)


class MemoryChunks:
    """A `ChunkLog`: a chunk that cannot be delivered at once is dropped at once."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self.dropped = 0
        self._link = link
        self._topic = topic
        self._is_closed = False

    def prepare(self) -> None:
        """See `headrace.broker.ports.ChunkLog.prepare`."""

    def send(self, record: Record) -> None:
        """See `headrace.broker.ports.ChunkLog.send`."""
        kafka = self._link.kafka
        fits = record.bytes_max <= kafka.message_bytes_max.get(self._topic, MESSAGE_BYTES_MAX)
        if self._is_closed or not fits or not self._link.is_up:
            self.dropped += 1
            return
        try:
            kafka.append(self._topic, record)
        except MissingTopic:
            self.dropped += 1

    async def close(self) -> None:
        """See `headrace.broker.ports.ChunkLog.close`."""
        self._is_closed = True


class MemoryReplyTopics:
    """A `ReplyTopics`; a topic named in `denied` may not be written."""

    def __init__(self, link: KafkaLink) -> None:
        self.denied: set[str] = set()
        self._link = link

    async def look(self, topics: Sequence[str]) -> Mapping[str, ports.ReplyTopic]:
        """See `headrace.broker.ports.ReplyTopics.look`."""
        try:
            await self._link.reach(_LOOK_WITHIN_S)
        except TimeoutError as error:
            raise LogUnavailable("Kafka does not describe the reply topics.") from error
        return {topic: self._state(topic) for topic in topics}

    def _state(self, topic: str) -> ports.ReplyTopic:
        kafka = self._link.kafka
        bytes_max = kafka.message_bytes_max.get(topic, MESSAGE_BYTES_MAX)
        if topic not in kafka.topic_names():
            return ports.ReplyTopic(bytes_max, "does not exist")
        return ports.ReplyTopic(bytes_max, "may not be written by user ANONYMOUS" if topic in self.denied else "")

    async def close(self) -> None:
        """See `headrace.broker.ports.ReplyTopics.close`."""
