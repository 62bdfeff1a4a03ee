"""Progress of one failures partition: which records are back on their lane, and which is next. Pure.

Instants are passed in as numbers. Records arrive in the order of parking and leave in the order of `(due, offset)`, so
no offset stays a boundary of the finished records for long. Still a fixed amount of progress describes it all, however
many wait:

- *base*: below it everything is back on its lane. Kafka stores it as the group's offset.
- *seen*: below it every record has been looked at.
- a *mark* for each lane, `(due, offset)`: a seen record that does not come after its lane's mark is back on its lane.
- for a lane with *late* records, below its mark and waiting, the first of them: of that lane only the records before it
  count as seen.

Rules:
1. Only seen records are released, and within a lane in the order of `(due, offset)`. Then the mark divides the seen.
2. A record that arrives below its lane's mark is *late*. The late ones of a lane leave before its others, by offset:
   each in the very transaction that moves its lane's seen offset past it, because after that transaction its position
   says that it has left. Other lanes need not wait for that.
3. `due` is read from the record alone, never from settings: it must be the same after a restart.
4. After a restart nothing is released before everything seen has been read again: a record not read yet may come before
   those that were, and would be taken for released once the mark has passed it.
5. A chosen record counts as released at once. If its transaction fails, this whole object is thrown away, and the
   progress stored in Kafka is restored: so nothing has to be undone.
"""

import heapq
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from headrace.broker.ports import StoredOffset
from headrace.consumers.retries.heap import Key, KeyHeap

MAGIC = "hrr1:"
MAGIC_WITH_LATE = "hrr2:"
METADATA_CHARS_MAX = 4_096  # Kafka's own bound; one character more kills the producer
_TRIMMED_FROM = 65_536
_AT_ONCE_MS = 0


class ReleasesUnreadableError(ValueError):
    """A stored progress that is not ours, is damaged, or cannot be written."""


@dataclass(slots=True)
class _Lane:
    """Progress of one lane: `mark`, the last key released; `seen_before`, its seen offset in the restored progress."""

    seen_before: int
    mark: Key = (-1, -1)
    waiting: KeyHeap = field(default_factory=KeyHeap)
    late: deque[int] = field(default_factory=deque)

    @property
    def first(self) -> Key | None:
        """The key that leaves next; a late one is due at once."""
        if self.late:
            return _AT_ONCE_MS, self.late[0]
        return self.waiting.first if self.waiting else None


class Releases:
    """Progress of one partition."""

    def __init__(self, start: int) -> None:
        """Start with nothing released or seen; `start` is the first offset to read."""
        self.next_offset = start
        self._seen_before = start  # seen offset of the restored progress
        self._floor = start  # the base until all of that has been read again
        self._lanes: dict[str, _Lane] = {}
        self._open = bytearray()  # from `_origin` on, a byte an offset: 1 while its record waits
        self._origin = start
        self.waiting = 0

    @classmethod
    def restore(cls, offset: int, metadata: str) -> "Releases":
        """Restore a stored progress: read again from `offset` on, and call `see` for each record.

        Raises:
            ReleasesUnreadableError: The metadata are not of this retrier.
        """
        told = progress_in(metadata)
        if told.seen < offset:
            raise ReleasesUnreadableError(f"it says that {told.seen} offsets were seen, and {offset} stored")
        releases = cls(offset)
        releases._seen_before = told.seen
        releases._lanes = {lane: _Lane(told.late.get(lane, told.seen), mark) for lane, mark in told.marks.items()}
        return releases

    @property
    def caught_up(self) -> bool:
        """Whether everything that had been seen before a restart has been read again."""
        return self.next_offset >= self._seen_before

    @property
    def seen(self) -> int:
        """One above the last offset that was looked at, as it is stored."""
        return max(self._seen_before, self.next_offset) if self.caught_up else self._seen_before

    @property
    def lanes(self) -> Iterator[str]:
        """Lanes with seen records."""
        return iter(self._lanes)

    def lose_below(self, offset: int) -> None:
        """Give up the records below `offset`, which were not read yet and can no longer be read."""
        self.next_offset = self._floor = offset
        self._seen_before = max(self._seen_before, offset)

    def see(self, offset: int, lane: str, due_ms: int) -> bool:
        """Note that a record was read; return False if it is back on its lane already."""
        key = (due_ms, offset)
        self.next_offset = offset + 1
        place = self._lanes.get(lane)
        if place is None:
            place = self._lanes[lane] = _Lane(self._seen_before)
        if key > place.mark:
            place.waiting.push(key)
        elif offset < place.seen_before:
            return False
        else:
            place.late.append(offset)
        self._open.extend(bytes(offset + 1 - self._origin - len(self._open)))
        self._open[offset - self._origin] = 1
        self.waiting += 1
        return True

    def first(self, lane: str) -> Key | None:
        """Return the lane's next key: (due, offset), due 0 if it is late. None before all is read again."""
        place = self._lanes.get(lane)
        return None if place is None or not self.caught_up else place.first

    def count_due(self, lane: str, now_ms: int) -> int:
        """Count the lane's records due at that instant."""
        place = self._lanes.get(lane)
        return 0 if place is None else len(place.late) + place.waiting.count_due(now_ms)

    def release(self, lane: str) -> int:
        """Release the lane's next record and return its offset. It counts as released."""
        place = self._lanes[lane]
        if place.late:
            offset = place.late.popleft()
        else:
            place.mark = place.waiting.pop()
            offset = place.mark[1]
        self._open[offset - self._origin] = 0
        self.waiting -= 1
        return offset

    def stored(self, term: int, partitions: int = 0) -> StoredOffset:
        """Return the progress for the next transaction.

        `partitions`: the topic's number of partitions, if all of them are stored together; 0: not given.

        Raises:
            ReleasesUnreadableError: There are too many lanes for Kafka's metadata.
        """
        self._trim()
        base, seen = self._base(), self.seen
        known = {} if base == seen else {name: lane for name, lane in self._lanes.items() if lane.mark[0] >= 0}
        told = {"term": term, "seen": seen, "marks": {name: lane.mark for name, lane in known.items()}}
        if partitions:
            told["partitions"] = partitions
        late = {name: before for name, lane in known.items() if (before := self._seen_of(lane)) < seen}
        if late:
            told["late"] = late
        text = (MAGIC_WITH_LATE if late else MAGIC) + json.dumps(told, separators=(",", ":"))
        if len(text) > METADATA_CHARS_MAX:
            raise ReleasesUnreadableError(f"{len(known)} lanes do not fit the metadata of an offset")
        return StoredOffset(base, text)

    def _seen_of(self, lane: _Lane) -> int:
        """Return the offset below which a lane with releases counts as seen."""
        if not self.caught_up:
            return lane.seen_before
        return lane.late[0] if lane.late else self.seen

    def _base(self) -> int:
        if not self.caught_up:
            return self._floor
        first = self._open.find(1)
        return self.seen if first < 0 else min(self.seen, self._origin + first)

    def _trim(self) -> None:
        first = self._open.find(1)
        spent = len(self._open) if first < 0 else first
        if spent >= _TRIMMED_FROM:
            del self._open[:spent]
            self._origin += spent


def choose(
    partitions: Mapping[int, Releases], now_ms: int, count_max: int, may_leave: Callable[[str], bool]
) -> list[tuple[int, int]]:
    """Choose the records to release now, by due time; return partition and offset of each, which count as released.

    `may_leave` is called for each one with its lane: once it returns False, no more records of that lane leave now, and
    all others go on.
    """
    firsts = [
        (key, number, lane)
        for number, releases in partitions.items()
        for lane in releases.lanes
        if (key := releases.first(lane)) is not None and key[0] <= now_ms
    ]
    heapq.heapify(firsts)
    chosen: list[tuple[int, int]] = []
    refused: set[str] = set()
    while firsts and len(chosen) < count_max:
        _, number, lane = firsts[0]
        if lane in refused or not may_leave(lane):
            refused.add(lane)
            heapq.heappop(firsts)
            continue
        chosen.append((number, partitions[number].release(lane)))
        key = partitions[number].first(lane)
        if key is not None and key[0] <= now_ms:
            heapq.heapreplace(firsts, (key, number, lane))
        else:
            heapq.heappop(firsts)
    return chosen


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """A stored progress, without its base.

    Attributes:
        term: The term that stored it.
        partitions: The topic's partition count when all of them were stored last; 0 if it is not given.
    """

    term: int
    seen: int
    marks: dict[str, Key]
    late: dict[str, int]
    partitions: int


def progress_in(metadata: str) -> StoredProgress:
    """Decode the metadata of a stored progress.

    Raises:
        ReleasesUnreadableError: It is not ours.
    """
    if not metadata.startswith((MAGIC, MAGIC_WITH_LATE)):
        raise ReleasesUnreadableError("it does not begin with " + MAGIC)
    try:
        told = json.loads(metadata[len(MAGIC) :])
        marks = {str(lane): (int(due_ms), int(offset)) for lane, (due_ms, offset) in told["marks"].items()}
        late = {str(lane): int(offset) for lane, offset in told.get("late", {}).items()}
        return StoredProgress(int(told["term"]), int(told["seen"]), marks, late, int(told.get("partitions", 0)))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ReleasesUnreadableError(f"it cannot be read ({type(error).__name__})") from error
