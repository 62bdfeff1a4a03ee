"""In-memory Kafka: topics, transactions and stored offsets, shared by all processes of a test.

It behaves like a real one where that matters to us: markers take offsets, an open transaction stops its readers, a
successor's start fences and aborts, a commit can be stored although its producer never learns of it. Each process has a
`KafkaLink` of its own, which can be cut. Time is the running event loop's for waiting, and `utc_ms` for the records.
"""

import asyncio
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from headrace.broker.core.setback import Setback
from headrace.broker.errors import MissingTopic
from headrace.broker.ports import SENT_BYTES_MAX, Fetched, StoredOffset, TopicPartition
from headrace.broker.testing.kafka_log import PartitionLog, Transaction, TransactionState
from headrace.schemas.record import Record
from headrace.schemas.topics import MESSAGE_BYTES_MAX


class CommitFault(Enum):
    """Fate of a commit with a lost answer."""

    STORED = "stored"
    LOST = "lost"


@dataclass(slots=True)
class GroupOffsets:
    """Offsets of one group: those stored, and those shown to readers while `MemoryKafka.offsets_lag` is set."""

    stored: dict[TopicPartition, StoredOffset] = field(default_factory=dict)
    shown: dict[TopicPartition, StoredOffset] = field(default_factory=dict)


@dataclass(slots=True)
class OpenTransaction:
    """The open transaction of a transactional id, and the logs that hold its records."""

    transaction: Transaction
    logs: list[PartitionLog] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Completing:
    """A transaction that is decided but lacks its markers, and the group that shows its offsets once they exist."""

    pending: OpenTransaction | None
    group: GroupOffsets | None


class MemoryKafka:
    """The cluster.

    Attributes:
        commit_faults: Fates of the next commits; empty: they succeed.
        commit_takes_s: Loop time between the sends and the commit of each transaction.
        open_takes_s: Loop time a producer needs to start, before it fences another.
        coordinates: Whether the nodes answer that start producers, commit, and store offsets. Others go on.
        retained_ms: Minimum retention of records by topic; `clean` removes older ones.
        offsets_lag: A committed offset is shown to readers only after the next start or commit of its producer.
        markers_later: Gets a function that writes the markers of a commit that has returned; until that is called, or
            its producer goes on, the commit's content is unreadable. None: a commit is readable when it returns.
        message_bytes_max: By topic; a record above it kills the producer that sends it. (A real one applies the limit
            to a batch of records; our adapters ensure that this makes no difference for long.)
        policy: Any other obstacle to a record on a topic: a plug-in of the broker, a missing right.
    """

    def __init__(self, utc_ms: Callable[[], int]) -> None:
        """`utc_ms` is the wall clock that stamps records."""
        self.utc_ms = utc_ms
        self.is_up = True
        self.coordinates = True
        self.retained_ms: dict[str, int] = {}
        self.commit_faults: deque[CommitFault] = deque()
        self.commit_takes_s = 0.0
        self.open_takes_s = 0.0
        self.offsets_lag = False
        self.message_bytes_max: dict[str, int] = {}
        self.policy: Callable[[str, Record], Setback | None] = lambda _topic, _record: None
        self.opened: Counter[str] = Counter()
        self.groups: dict[str, GroupOffsets] = {}
        self._topics: dict[str, list[PartitionLog]] = {}
        self._ids: dict[str, str] = {}
        self._born = 0
        self._epochs: Counter[str] = Counter()
        self._pending: dict[str, OpenTransaction] = {}
        self._completing: dict[str, Completing] = {}
        self.markers_later: Callable[[Callable[[], None]], None] | None = None
        self.links: list[KafkaLink] = []
        self._turn = 0

    # ------------------------------------------------------------------ topics

    def create(self, topic: str, partitions: int = 1) -> None:
        """Create a topic, or add partitions to one."""
        logs = self._topics.setdefault(topic, [])
        if topic not in self._ids:
            self._born += 1
            self._ids[topic] = f"{topic}-{self._born}"
        logs.extend(PartitionLog() for _ in range(partitions - len(logs)))
        self.stir()

    def delete(self, topic: str) -> None:
        """Delete a topic with all its records."""
        del self._topics[topic], self._ids[topic]
        self.stir()

    def topic_id(self, topic: str) -> str:
        """Return the id that distinguishes a topic from every other one that ever had its name.

        Raises:
            MissingTopic: There is none of that name.
        """
        self.logs(topic)
        return self._ids[topic]

    def logs(self, topic: str) -> list[PartitionLog]:
        """Return a topic's partitions.

        Raises:
            MissingTopic: There is none of that name.
        """
        if topic not in self._topics:
            raise MissingTopic(topic, beside=self._topics)
        return self._topics[topic]

    def append(self, topic: str, record: Record, *, partition: int | None = None, at_ms: int | None = None) -> int:
        """Append a record as a plain producer; return its offset. `at_ms` is the record's own timestamp."""
        log = self.logs(topic)[self.partition_for(topic, record) if partition is None else partition]
        offset = log.append(record, self.utc_ms() if at_ms is None else at_ms)
        self.stir()
        return offset

    def clean(self, *, segment_slots: int = 1) -> None:
        """Run the cleaner: remove segments that are older than their topic retains."""
        for topic, retained_ms in self.retained_ms.items():
            for log in self.logs(topic):
                log.retain(self.utc_ms() - retained_ms, segment_slots=segment_slots)
        self.stir()

    def committed(self, topic: str) -> list[Fetched]:
        """Return what a `read_committed` reader sees of all partitions."""
        return [fetched for log in self.logs(topic) for fetched in log.committed()]

    def partition_for(self, topic: str, record: Record) -> int:
        """Choose a record's partition: by its key, or in turn."""
        count = len(self.logs(topic))
        if record.key is not None:
            return keys_partition(record.key, count)
        self._turn += 1
        return self._turn % count

    # ------------------------------------------------------------------ transactions

    def setback(self, topic: str, record: Record) -> Setback | None:
        """Return why a topic refuses a record, or None."""
        if record.bytes_max > min(SENT_BYTES_MAX, self.message_bytes_max.get(topic, MESSAGE_BYTES_MAX)):
            return Setback.REFUSED
        return self.policy(topic, record)

    def fence(self, transactional_id: str) -> int:
        """Start a producer: abort the open transaction of its predecessor, and end its epoch."""
        self.opened[transactional_id] += 1
        self._complete(transactional_id)
        self.expire(transactional_id)
        for group in self.groups.values():
            group.shown = dict(group.stored)
        return self._epochs[transactional_id]

    def expire(self, transactional_id: str) -> None:
        """Apply the transaction time-out: abort, and fence the producer at work."""
        self._epochs[transactional_id] += 1
        self.abort(transactional_id)

    def is_fenced(self, transactional_id: str, epoch: int) -> bool:
        """Whether another producer started after the one with that epoch."""
        return self._epochs[transactional_id] != epoch

    def begin(self, transactional_id: str, outgoing: Iterable[tuple[str, Record, int | None]]) -> list[int]:
        """Append records of an open transaction; the number is a record's own timestamp, if it has one.

        Returns:
            The offset of each in its partition.
        """
        self._complete(transactional_id)
        pending = self._pending.setdefault(transactional_id, OpenTransaction(Transaction()))
        offsets = []
        for topic, record, at_ms in outgoing:
            log = self.logs(topic)[self.partition_for(topic, record)]
            offsets.append(log.append(record, self.utc_ms() if at_ms is None else at_ms, pending.transaction))
            if log not in pending.logs:
                pending.logs.append(log)
        return offsets

    def commit(self, transactional_id: str, group: str, offsets: dict[TopicPartition, StoredOffset]) -> None:
        """Make the open transaction final, its offsets included."""
        self._complete(transactional_id)
        kept = self.groups.setdefault(group, GroupOffsets())
        if self.offsets_lag or self.markers_later is not None:
            kept.shown = dict(kept.stored)
        kept.stored.update(offsets)
        pending = self._pending.pop(transactional_id, None)
        completing = self._completing[transactional_id] = Completing(pending, None if self.offsets_lag else kept)
        if self.markers_later is None:
            self._complete(transactional_id)
        else:
            self.markers_later(lambda: self._complete(transactional_id, completing))

    def abort(self, transactional_id: str) -> None:
        """Undo the open transaction."""
        pending = self._pending.pop(transactional_id, None)
        if pending is not None:
            self._end(pending, TransactionState.ABORTED)

    def _complete(self, transactional_id: str, which: "Completing | None" = None) -> None:
        """Write the markers of a commit; before that its producer begins nothing new."""
        completing = self._completing.get(transactional_id)
        if completing is None or which not in {None, completing}:
            return
        del self._completing[transactional_id]
        if completing.group is not None:
            completing.group.shown = dict(completing.group.stored)
        if completing.pending is not None:
            self._end(completing.pending, TransactionState.COMMITTED)

    def _end(self, pending: OpenTransaction, fate: TransactionState) -> None:
        pending.transaction.fate = fate
        for log in pending.logs:
            log.append(None, self.utc_ms())  # the marker takes an offset
        self.stir()

    # ------------------------------------------------------------------ being away

    def stop(self) -> None:
        """Make the cluster unreachable."""
        self.is_up = False
        self.stir()

    def start_again(self) -> None:
        """Make the cluster reachable again, with all its records."""
        self.is_up = True
        self.stir()

    def stir(self) -> None:
        """Wake all tasks that wait for a change."""
        for link in self.links:
            link.stir()

    def topic_names(self) -> Iterator[str]:
        """Iterate over all topics."""
        return iter(self._topics)


class KafkaLink:
    """Connection of one process to the cluster.

    Attributes:
        away_after_s: Time after which an unanswered call counts as failed.
    """

    def __init__(self, kafka: MemoryKafka, *, away_after_s: float = 4.0) -> None:
        self.kafka = kafka
        self.away_after_s = away_after_s
        self._is_whole = True
        self._waiting: dict[asyncio.Future[bool], Callable[[], bool] | None] = {}  # None: for any change
        kafka.links.append(self)

    @property
    def is_up(self) -> bool:
        """Whether calls reach the cluster."""
        return self._is_whole and self.kafka.is_up

    def cut(self) -> None:
        """Cut this process alone off from the cluster."""
        self._is_whole = False
        self.stir()

    def mend(self) -> None:
        """Reconnect this process to the cluster."""
        self._is_whole = True
        self.stir()

    def stir(self) -> None:
        """Wake the tasks of this process with a condition that now holds, and those that wait for any change."""
        for waiter, there in self._waiting.items():
            if not waiter.done() and (there is None or self._is_met(there)):
                waiter.set_result(True)

    def _is_met(self, there: Callable[[], bool]) -> bool:
        try:
            return self.is_up and there()
        except MissingTopic:  # the waiter raises it itself
            return True

    async def changed(self) -> None:
        """Wait until the next record, marker, cut or mend."""
        await self._woken(None, None)

    async def until(self, there: Callable[[], bool], within_s: float | None = None) -> bool:
        """Wait until the cluster is reached and `there` holds; other changes do not end the wait.

        Returns False if that took too long. No `asyncio.timeout`, which would cancel the task: a simulation waits a
        lot.
        """
        until_s = None if within_s is None else asyncio.get_running_loop().time() + within_s
        while not (self.is_up and there()):
            if not await self._woken(there, until_s):
                return self.is_up and there()
        return True

    async def _woken(self, there: Callable[[], bool] | None, until_s: float | None) -> bool:
        """Wait for a change, or until `until_s`: then return False."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = None if until_s is None else loop.call_at(until_s, _ring, waiter)
        self._waiting[waiter] = there
        try:
            return await waiter
        finally:
            del self._waiting[waiter]
            if timer is not None:
                timer.cancel()

    async def reach(self, within_s: float | None = None) -> None:
        """Return once the cluster answers.

        Raises:
            TimeoutError: It did not within `away_after_s`, or `within_s`.
        """
        if self.is_up:
            return
        if not await self.until(lambda: True, self.away_after_s if within_s is None else within_s):
            raise TimeoutError

    async def coordinate(self, within_s: float | None = None) -> None:
        """Return once the cluster's coordinators answer as well.

        Raises:
            TimeoutError: They did not within `away_after_s`, or `within_s`.
        """
        await self.reach(within_s)
        kafka = self.kafka
        if kafka.coordinates:
            return
        if not await self.until(lambda: kafka.coordinates, self.away_after_s if within_s is None else within_s):
            raise TimeoutError


def keys_partition(key: bytes, count: int) -> int:
    """Return a key's partition of a topic with so many."""
    return zlib.crc32(key) % count


def _ring(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
