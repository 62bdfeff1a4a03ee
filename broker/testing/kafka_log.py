"""One partition in memory: records, the markers that end transactions, and what a `read_committed` reader sees of it.

A marker takes an offset, as in Kafka, so offsets of one partition have gaps; an open transaction hides everything
behind its first record.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from broker.ports import Fetched, Unreadable
from schemas.record import Record, present


class Fate(Enum):
    """Where a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class Transaction:
    """Records appended together; its fate decides whether anybody reads them."""

    fate: Fate = Fate.OPEN


@dataclass(frozen=True, slots=True)
class Slot:
    """What one offset holds; a marker has no record."""

    at_ms: int
    record: Record | None
    transaction: Transaction | None


_REMOVED = Slot(0, None, None)


class PartitionLog:
    """Offsets from 0; what retention removed keeps its place and is never read again."""

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
        """How far a `read_committed` reader may go: to the first record of an open transaction."""
        if not self._begun:
            return len(self.slots)
        self._begun = {each: first for each, first in self._begun.items() if each.fate is Fate.OPEN}
        return min(self._begun.values(), default=len(self.slots))

    def append(self, record: Record | None, at_ms: int, transaction: Transaction | None = None) -> int:
        """One more offset; which one."""
        if transaction is not None:
            self._begun.setdefault(transaction, self.end)
        self.slots.append(Slot(at_ms, record, transaction))
        return self.end - 1

    def last_ms(self) -> int | None:
        """When the last record was appended that a `read_committed` reader sees; None if there is none."""
        for offset in range(self.stable_end - 1, self.start - 1, -1):
            slot = self.slots[offset]
            if slot.record is not None and (slot.transaction is None or slot.transaction.fate is Fate.COMMITTED):
                return slot.at_ms
        return None

    def trim(self, offset: int) -> None:
        """What retention does: nothing below `offset` can be read any more."""
        self.start = max(self.start, min(offset, self.end))

    def drop(self, offset: int) -> None:
        """Trim, and keep nothing of what stood there: for runs in which the log would outgrow what is tested."""
        before = self.start
        self.trim(offset)
        self.slots[before : self.start] = [_REMOVED] * (self.start - before)

    def retain(self, from_ms: int, *, segment_slots: int = 1) -> None:
        """What retention by age does: whole segments of so many offsets go, once all they hold is older than that.

        As in Kafka the last segment goes as well; the end stays where it was.
        """
        while self.start < self.end:
            segment = self.slots[self.start : (self.start // segment_slots + 1) * segment_slots]
            if max(slot.at_ms for slot in segment) >= from_ms or self.start + len(segment) > self.stable_end:
                return
            self.trim(self.start + len(segment))

    def is_out_of_range(self, position: int) -> bool:
        """Whether a reader there is told so: retention was faster, or the log is shorter than it was."""
        return not self.start <= position <= self.end

    def damage(self, first: int, last: int) -> None:
        """Make a batch of these offsets undecodable."""
        self._damaged.append(range(first, last + 1))

    def read(self, position: int, records_max: int) -> tuple[list[Fetched] | Unreadable, int]:
        """What stands there for a reader at `position`, and the position behind it."""
        if position < self.start:
            return Unreadable(position, self.start - 1, removed=True), self.start
        got: list[Fetched] = []
        after = position
        for offset in range(position, self.stable_end):
            if self._damaged and (bad := self._damage_at(offset)) is not None:
                return (got, after) if got else (Unreadable(position, bad.stop - 1), bad.stop)
            slot = self.slots[offset]
            if slot.record is not None and (slot.transaction is None or slot.transaction.fate is Fate.COMMITTED):
                got.append(Fetched(offset, slot.at_ms, _read(slot.record)))
                after = offset + 1
                if len(got) == records_max:
                    break
        return got, after if got else max(position, self.stable_end)

    def has_more(self, position: int) -> bool:
        """Whether `read` has anything to say at `position`."""
        if position >= len(self.slots) or position >= self.stable_end:
            return False  # as asked most of the time
        return bool(self.read(position, 1)[0])

    def committed(self) -> Iterable[Fetched]:
        """Every record a reader from the start sees, damaged or not."""
        for offset in range(self.start, self.stable_end):
            slot = self.slots[offset]
            if slot.record is not None and (slot.transaction is None or slot.transaction.fate is Fate.COMMITTED):
                yield Fetched(offset, slot.at_ms, _read(slot.record))

    def _damage_at(self, offset: int) -> range | None:
        return next((bad for bad in self._damaged if offset in bad), None)


def _read(record: Record) -> Record:
    """As a door hands it on: a header may have no value in Kafka."""
    return Record(record.key, record.value, present(record.headers)) if record.headers else record
