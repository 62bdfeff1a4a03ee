"""Which records of one failures partition are back on their lane, and which is next. Pure: instants come in as numbers.

Records arrive in the order of parking and leave in the order of `(due, offset)`, so there is no offset below which all
are done for long. Still a fixed amount of progress says it all, however many wait:

- *base*: below it everything is back on its lane. Kafka stores it as the group's offset.
- *seen*: below it every record has been looked at.
- a *mark* for each lane, `(due, offset)`: what was seen and does not come after its lane's mark is back on its lane.
- of a lane with *late* records, below its mark and waiting, the first of them: of that lane only what stands before it
  counts as seen.

Rules:
1. Only what is seen is released, and within a lane in the order of `(due, offset)`. Then the mark divides the seen.
2. A record that comes in below its lane's mark is *late*. The late ones of a lane leave before its others, by offset:
   each in the very transaction that moves what its lane has seen past it, for after that transaction its place says
   that it has left. Other lanes need not wait for that.
3. `due` is read from the record alone, never from settings: it must be the same after a restart.
4. After a restart nothing is released before everything seen has been read again: a record not read yet may come before
   those that were, and would be taken for released once the mark has passed it.
5. What is chosen counts as released at once. If its transaction fails, this whole object is thrown away, and what Kafka
   stored is restored: so nobody has to undo anything.
"""

import heapq
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from consumers.retries.heap import Key, KeyHeap

MAGIC = "hrr1:"
MAGIC_WITH_LATE = "hrr2:"
METADATA_CHARS_MAX = 4_096  # Kafka's own bound; one character more kills the producer
_TRIMMED_FROM = 65_536
_AT_ONCE_MS = 0


class ReleasesUnreadableError(ValueError):
    """A stored progress is not ours, damaged, or cannot be written."""


@dataclass(frozen=True, slots=True)
class StoredReleases:
    """What the offsets group keeps of a partition."""

    offset: int
    metadata: str


@dataclass(slots=True)
class _Lane:
    """`mark`: the last key released. `seen_before`: what of it a restored progress says was looked at."""

    seen_before: int
    mark: Key = (-1, -1)
    waiting: KeyHeap = field(default_factory=KeyHeap)
    late: deque[int] = field(default_factory=deque)

    @property
    def first(self) -> Key | None:
        """What leaves next; a late one is due at once."""
        if self.late:
            return _AT_ONCE_MS, self.late[0]
        return self.waiting.first if self.waiting else None


class Releases:
    """One partition."""

    def __init__(self, start: int) -> None:
        """Nothing released, nothing seen; `start` is the first offset to read."""
        self.next_offset = start
        self._seen_before = start  # what a restored progress says was looked at
        self._floor = start  # the base until all of that has been read again
        self._lanes: dict[str, _Lane] = {}
        self._open = bytearray()  # from `_origin` on, a byte an offset: 1 while its record waits
        self._origin = start
        self.waiting = 0

    @classmethod
    def restore(cls, offset: int, metadata: str) -> "Releases":
        """Go on from what is stored: read again from `offset` on, and say `see` for each record.

        Raises:
            ReleasesUnreadableError: The metadata are not of this retrier.
        """
        told = _parsed(metadata)
        if told.seen < offset:
            raise ReleasesUnreadableError(f"it says that {told.seen} offsets were seen, and {offset} stored")
        releases = cls(offset)
        releases._seen_before = told.seen
        releases._lanes = {lane: _Lane(told.late.get(lane, told.seen), mark) for lane, mark in told.marks.items()}
        return releases

    @staticmethod
    def term_of(metadata: str) -> int:
        """The term that stored it.

        Raises:
            ReleasesUnreadableError: It is not ours.
        """
        return _parsed(metadata).term

    @staticmethod
    def partitions_of(metadata: str) -> int:
        """How many partitions the topic had when all of them were stored last; 0 if it does not say.

        Raises:
            ReleasesUnreadableError: It is not ours.
        """
        return _parsed(metadata).partitions

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
        """Of which anything was seen."""
        return iter(self._lanes)

    def lose_below(self, offset: int) -> None:
        """Nobody can read any more what stood below `offset`, which has not been read yet."""
        self.next_offset = self._floor = offset
        self._seen_before = max(self._seen_before, offset)

    def see(self, offset: int, lane: str, due_ms: int) -> bool:
        """A record was read. False: it is back on its lane already, and nobody needs it."""
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
        """What of a lane leaves next: (due, offset), due 0 if it is late. None before all is read again."""
        place = self._lanes.get(lane)
        return None if place is None or not self.caught_up else place.first

    def count_due(self, lane: str, now_ms: int) -> int:
        """How many of a lane are due at that instant."""
        place = self._lanes.get(lane)
        return 0 if place is None else len(place.late) + place.waiting.count_due(now_ms)

    def release(self, lane: str) -> int:
        """Take what of a lane leaves next: its offset. It counts as released."""
        place = self._lanes[lane]
        if place.late:
            offset = place.late.popleft()
        else:
            place.mark = place.waiting.pop()
            offset = place.mark[1]
        self._open[offset - self._origin] = 0
        self.waiting -= 1
        return offset

    def stored(self, term: int, partitions: int = 0) -> StoredReleases:
        """What the next transaction stores. `partitions`: that many of the topic are stored, each of them; 0: unsaid.

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
        return StoredReleases(base, text)

    def _seen_of(self, lane: _Lane) -> int:
        """Of a lane that has released something, what counts as looked at."""
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
    """Partition and offset of those to be released now, by when they are due; they count as released.

    `may_leave` is asked for each one with its lane: once it says no,
    nothing more of that lane leaves now, and all others go on.
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
class _Told:
    """A stored progress, without its base."""

    term: int
    seen: int
    marks: dict[str, Key]
    late: dict[str, int]
    partitions: int


def _parsed(metadata: str) -> _Told:
    if not metadata.startswith((MAGIC, MAGIC_WITH_LATE)):
        raise ReleasesUnreadableError("it does not begin with " + MAGIC)
    try:
        told = json.loads(metadata[len(MAGIC) :])
        marks = {str(lane): (int(due_ms), int(offset)) for lane, (due_ms, offset) in told["marks"].items()}
        late = {str(lane): int(offset) for lane, offset in told.get("late", {}).items()}
        return _Told(int(told["term"]), int(told["seen"]), marks, late, int(told.get("partitions", 0)))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ReleasesUnreadableError(f"it cannot be read ({type(error).__name__})") from error
