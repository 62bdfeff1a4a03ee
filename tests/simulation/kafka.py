"""Kafka as far as the machine depends on it: lanes, stored offsets, a ledger, and transactions that end in three ways.

A transaction is stored whole or not at all, and its writer may never hear which. Starting a producer fences every
earlier one and settles what that had under way. Offsets have gaps, where transactions of others left their markers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.commands import AttemptEntry, Batch, Decision, SettledEntry
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress, Stored
from headrace.broker.core.ticket import LanePartition, Source


@dataclass(frozen=True, slots=True)
class Request:
    """What a record says, as the producer meant it; instants are wall clock."""

    name: str
    run: int
    attempt: int
    failures: int
    body: str
    model: str
    estimate: int
    charge: int
    deadline_ms: int
    size: int
    refused: bool = False
    tenant: str = ""
    order: str = ""
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Rubbish:
    """Bytes that cannot be decoded; `name` if an id could be read."""

    name: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A record of the control topic: this id is to be cancelled."""

    name: str


Content = Request | Rubbish | Wish


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A record where it stands."""

    source: Source
    content: Content
    timestamp_ms: int


class Fate(Enum):
    """How a transaction ends."""

    COMMITTED = "committed"
    LOST = "lost"  # never stored
    UNKNOWN = "unknown"  # stored, but the writer does not hear of it


@dataclass(frozen=True, slots=True)
class Settled:
    """What a transaction says of one record; `record` is None for a range that retention removed."""

    source: Source
    decision: Decision
    record: LaneRecord | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One line of the ledger; its instants are wall clock."""

    at_ms: int
    settled: Sequence[SettledEntry]
    started: Sequence[AttemptEntry]
    levels: Sequence[Checkpoint]
    cancels: Sequence[CancelRecord]


@dataclass(slots=True)
class Transaction:
    """One transaction on its way.

    `clock_ms` is what its writer's clock showed at the world's zero, `life` how often the writer had stood by.
    """

    epoch: int
    writer: str
    life: int
    clock_ms: int
    batch: Batch
    settled: Sequence[Settled]
    row: LedgerRow
    begun_loop_ms: int
    fate: Fate
    stored: bool | None = None  # None: not decided yet


@dataclass(slots=True)
class Kafka:
    """The cluster, and every transaction that it has stored, in order; `tell` hears of each."""

    tell: Callable[[Transaction], None]
    logs: dict[LanePartition, list[LaneRecord]] = field(default_factory=dict)
    starts: dict[LanePartition, int] = field(default_factory=dict)
    ends: dict[LanePartition, int] = field(default_factory=dict)
    offsets: dict[LanePartition, Stored] = field(default_factory=dict)
    ledger: list[LedgerRow] = field(default_factory=list)
    stored: list[Transaction] = field(default_factory=list)
    epoch: int = 0
    _under_way: list[Transaction] = field(default_factory=list)

    def add_partition(self, place: LanePartition) -> None:
        """A lane grows."""
        self.logs[place], self.starts[place], self.ends[place] = [], 0, 0

    def append(self, place: LanePartition, content: Content, now_ms: int, *, gap: bool) -> LaneRecord:
        """A record comes in; `gap` leaves a marker before it."""
        offset = self.ends[place] + gap
        record = LaneRecord(Source(place, offset), content, now_ms)
        self.logs[place].append(record)
        self.ends[place] = offset + 1
        return record

    def read(self, place: LanePartition, offset: int, records_max: int) -> list[LaneRecord]:
        """The next records from an offset on."""
        found = [record for record in self.logs[place] if record.source.offset >= max(offset, self.starts[place])]
        return found[:records_max]

    def lose_below(self, place: LanePartition, offset: int) -> None:
        """Retention removes what is older."""
        self.starts[place] = max(self.starts[place], offset)

    def start_producer(self, *, settles: bool) -> int:
        """Fence everybody else; `settles` says whether what they had under way made it. Returns the epoch."""
        for transaction in self._under_way:
            if transaction.stored is None:
                self._decide(transaction, stored=settles and self._may_store(transaction))
        self._under_way = []
        self.epoch += 1
        return self.epoch

    def begin(self, transaction: Transaction) -> None:
        """A transaction is sent."""
        self._under_way.append(transaction)

    def decide(self, transaction: Transaction) -> None:
        """Its commit reaches the coordinator, unless the writer has been fenced meanwhile."""
        if transaction.stored is None:
            self._decide(transaction, stored=self._may_store(transaction))

    def _may_store(self, transaction: Transaction) -> bool:
        return transaction.fate is not Fate.LOST and transaction.epoch == self.epoch

    def _decide(self, transaction: Transaction, *, stored: bool) -> None:
        transaction.stored = stored
        if stored:
            self.offsets.update(transaction.batch.offsets)
            self.ledger.append(transaction.row)
            self.stored.append(transaction)
            self.tell(transaction)

    def progress(self) -> Mapping[LanePartition, PartitionProgress]:
        """What a promotion reads: every partition, those never committed from their first record."""
        return {
            place: PartitionProgress.restore(stored.offset, stored.metadata)
            if (stored := self.offsets.get(place)) is not None
            else PartitionProgress(0)
            for place in self.logs
        }
