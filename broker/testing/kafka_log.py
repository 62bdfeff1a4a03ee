"""One partition in memory: records, the markers that end transactions, and the view of a `read_committed` reader.

A marker takes an offset, as in Kafka, so offsets of one partition have gaps; an open transaction hides everything
behind its first record.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from headrace.broker.ports import Fetched, UnreadableRange
from headrace.schemas.record import Record, present


class TransactionState(Enum):
    """State of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class Transaction:
    """Records appended together; their fate decides whether they are readable."""

    fate: TransactionState = TransactionState.OPEN


@dataclass(frozen=True, slots=True)
class Slot:
    """Content of one offset; a marker has no record."""

    at_ms: int
    record: Record | None
    transaction: Transaction | None

    @property
    def committed(self) -> Record | None:
        """The record as a `read_committed` reader sees it, damaged or not."""
        return self.record if self.transaction is None or self.transaction.fate is TransactionState.COMMITTED else None


_REMOVED = Slot(0, None, None)


class PartitionLog:
    """Offsets from 0; removed ones keep their place and are never read again."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.start = 0
        self._damaged: list[range] = []
        self._begun: dict[Transaction, int] = {}

    @property
    def end(self) -> int:
        """One above the highest offset."""
        return len(self.slots)

    @property
    def stable_end(self) -> int:
        """End of a `read_committed` reader's range: the first record of an open transaction, if there is one."""
        if not self._begun:
            return len(self.slots)
        self._begun = {each: first for each, first in self._begun.items() if each.fate is TransactionState.OPEN}
        return min(self._begun.values(), default=len(self.slots))

    def append(self, record: Record | None, at_ms: int, transaction: Transaction | None = None) -> int:
        """Append a slot and return its offset."""
        if transaction is not None:
            self._begun.setdefault(transaction, self.end)
        self.slots.append(Slot(at_ms, record, transaction))
        return self.end - 1

    def last_ms(self) -> int | None:
        """Return the timestamp of the last record that a `read_committed` reader sees; None if there is none."""
        for offset in range(self.stable_end - 1, self.start - 1, -1):
            slot = self.slots[offset]
            if slot.committed is not None:
                return slot.at_ms
        return None

    def trim(self, offset: int) -> None:
        """Apply retention: nothing below `offset` can be read any more."""
        self.start = max(self.start, min(offset, self.end))

    def drop(self, offset: int) -> None:
        """Trim, and free the removed slots: for runs in which the log would outgrow the subject of the test."""
        before = self.start
        self.trim(offset)
        self.slots[before : self.start] = [_REMOVED] * (self.start - before)

    def retain(self, from_ms: int, *, segment_slots: int = 1) -> None:
        """Apply retention by age: remove whole segments of `segment_slots` offsets that are all older than `from_ms`.

        As in Kafka the last segment goes as well; the end stays where it was.
        """
        while self.start < self.end:
            segment = self.slots[self.start : (self.start // segment_slots + 1) * segment_slots]
            if max(slot.at_ms for slot in segment) >= from_ms or self.start + len(segment) > self.stable_end:
                return
            self.trim(self.start + len(segment))

    def is_out_of_range(self, position: int) -> bool:
        """Whether a reader there gets an error: retention was faster, or the log is shorter than it was."""
        return not self.start <= position <= self.end

    def damage(self, first: int, last: int) -> None:
        """Make a batch of these offsets undecodable."""
        self._damaged.append(range(first, last + 1))

    def read(self, position: int, records_max: int) -> tuple[list[Fetched] | UnreadableRange, int]:
        """Read for a reader at `position`; return the result and the position behind it."""
        if position < self.start:
            return UnreadableRange(position, self.start - 1, removed=True), self.start
        got: list[Fetched] = []
        after = position
        for offset in range(position, self.stable_end):
            if self._damaged and (bad := self._damage_at(offset)) is not None:
                return (got, after) if got else (UnreadableRange(position, bad.stop - 1), bad.stop)
            slot = self.slots[offset]
            if (record := slot.committed) is not None:
                got.append(Fetched(offset, slot.at_ms, _read(record)))
                after = offset + 1
                if len(got) == records_max:
                    break
        return got, after if got else max(position, self.stable_end)

    def upcoming(self, position: int, records_max: int) -> list[int]:
        """Return the offsets of the next records from a position on, damaged or not."""
        readable = range(position, self.stable_end)
        return list(islice((offset for offset in readable if self.slots[offset].committed is not None), records_max))

    def has_more(self, position: int) -> bool:
        """Whether `read` returns anything at `position`."""
        if position >= len(self.slots) or position >= self.stable_end:
            return False  # the most frequent case
        return bool(self.read(position, 1)[0])

    def committed(self) -> Iterable[Fetched]:
        """Yield every record a reader from the start sees, damaged or not."""
        for offset in range(self.start, self.stable_end):
            slot = self.slots[offset]
            if (record := slot.committed) is not None:
                yield Fetched(offset, slot.at_ms, _read(record))

    def _damage_at(self, offset: int) -> range | None:
        return next((bad for bad in self._damaged if offset in bad), None)


def _read(record: Record) -> Record:
    """Convert as an adapter returns it: a header may have no value in Kafka."""
    return Record(record.key, record.value, present(record.headers)) if record.headers else record
