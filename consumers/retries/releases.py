"""Which records of one failures partition are back on their lane, and which is next. Pure: instants come in as numbers.

Records arrive in the order of parking and leave in the order of `(due, offset)`, so there is no offset below which all
are done for long. Still a fixed amount of progress says it all, however many wait:

- *base*: below it everything is back on its lane. Kafka stores it as the group's offset.
- *seen*: below it every record has been looked at.
- a *mark* for each lane, `(due, offset)`: what was seen and does not come after its lane's mark is back on its lane.

Rules:
1. Only what is seen is released, and within a lane in the order of `(due, offset)`. Then the mark divides the seen.
2. A record that comes in below its lane's mark is *late*: it must leave in the very transaction that moves *seen* past
   it, for after that transaction its place says that it has left.
3. `due` is read from the record alone, never from settings: it must be the same after a restart.
4. After a restart nothing is released before everything seen has been read again: a record not read yet may come before
   those that were, and would be taken for released once the mark has passed it.
5. What is chosen counts as released at once. If its transaction fails, this whole object is thrown away, and what Kafka
   stored is restored: so nobody has to undo anything.
"""

import heapq
import json
from collections import deque
from dataclasses import dataclass, field

MAGIC = "hrr1:"
METADATA_CHARS_MAX = 4_096  # Kafka's own bound; one character more kills the producer
_TRIMMED_FROM = 65_536

Key = tuple[int, int]
"""`due_ms` (wall clock) and offset: the order of release."""


class ReleasesUnreadableError(ValueError):
    """A stored progress is not ours, damaged, or cannot be written."""


@dataclass(frozen=True, slots=True)
class StoredReleases:
    """What the offsets group keeps of a partition."""

    offset: int
    metadata: str


@dataclass(slots=True)
class _Lane:
    """`mark`: the last key released. `waiting`: a heap of keys."""

    mark: Key = (-1, -1)
    waiting: list[Key] = field(default_factory=list)


class Releases:
    """One partition."""

    def __init__(self, start: int) -> None:
        """Nothing released, nothing seen; `start` is the first offset to read."""
        self.next_offset = start
        self._seen = start
        self._seen_before = start  # what a restored progress says was looked at
        self._floor = start  # the base until all of that has been read again
        self._lanes: dict[str, _Lane] = {}
        self._late: deque[int] = deque()
        self._open = bytearray()  # from `_origin` on, a byte an offset: 1 while its record waits
        self._origin = start
        self.waiting = 0

    @classmethod
    def restore(cls, offset: int, metadata: str) -> "Releases":
        """Go on from what is stored: read again from `offset` on, and say `see` for each record.

        Raises:
            ReleasesUnreadableError: The metadata are not of this retrier.
        """
        _, seen, marks = _parsed(metadata)
        if seen < offset:
            raise ReleasesUnreadableError(f"it says that {seen} offsets were seen, and {offset} stored")
        releases = cls(offset)
        releases._seen = releases._seen_before = seen
        releases._lanes = {lane: _Lane(mark) for lane, mark in marks.items()}
        return releases

    @staticmethod
    def term_of(metadata: str) -> int:
        """The term that stored it.

        Raises:
            ReleasesUnreadableError: It is not ours.
        """
        return _parsed(metadata)[0]

    @property
    def caught_up(self) -> bool:
        """Whether everything that had been seen before a restart has been read again."""
        return self.next_offset >= self._seen_before

    @property
    def seen(self) -> int:
        """One above the last offset that was looked at, as it is stored."""
        return self._seen

    def lose_below(self, offset: int) -> None:
        """Nobody can read any more what stood below `offset`, which has not been read yet."""
        self.next_offset = self._floor = offset
        self._seen = max(self._seen, offset)

    def see(self, offset: int, lane: str, due_ms: int) -> bool:
        """A record was read. False: it is back on its lane already, and nobody needs it."""
        key = (due_ms, offset)
        self.next_offset = offset + 1
        place = self._lanes.setdefault(lane, _Lane())
        if key > place.mark:
            heapq.heappush(place.waiting, key)
        elif offset < self._seen_before:
            return False
        else:
            self._late.append(offset)
        self._open.extend(bytes(offset + 1 - self._origin - len(self._open)))
        self._open[offset - self._origin] = 1
        self.waiting += 1
        return True

    def next_due_ms(self) -> int | None:
        """When the next record is due; 0 for one that is late; None if nothing waits, or it is not known yet."""
        if not self.caught_up:
            return None
        if self._late:
            return 0
        return min((lane.waiting[0][0] for lane in self._lanes.values() if lane.waiting), default=None)

    def choose(self, now_ms: int, count_max: int) -> list[int]:
        """The offsets to be released now; they count as released. None before all is read again."""
        if not self.caught_up:
            return []
        chosen = [self._late.popleft() for _ in range(min(count_max, len(self._late)))]
        self._seen = max(self._seen, self._late[0] if self._late else self.next_offset)
        while len(chosen) < count_max:  # late ones that fill a batch end it: so what is chosen here has been seen
            due = [lane for lane in self._lanes.values() if lane.waiting and lane.waiting[0][0] <= now_ms]
            if not due:
                break
            head = min(due, key=lambda lane: lane.waiting[0])
            head.mark = heapq.heappop(head.waiting)
            chosen.append(head.mark[1])
        for offset in chosen:
            self._open[offset - self._origin] = 0
        self.waiting -= len(chosen)
        self._trim()
        return chosen

    def stored(self, term: int) -> StoredReleases:
        """What the next transaction stores.

        Raises:
            ReleasesUnreadableError: There are too many lanes for Kafka's metadata.
        """
        base = self._base()
        marks = (
            {} if base == self._seen else {name: lane.mark for name, lane in self._lanes.items() if lane.mark[0] >= 0}
        )
        text = json.dumps({"term": term, "seen": self._seen, "marks": marks}, separators=(",", ":"))
        if len(MAGIC) + len(text) > METADATA_CHARS_MAX:
            raise ReleasesUnreadableError(f"{len(marks)} lanes do not fit the metadata of an offset")
        return StoredReleases(base, MAGIC + text)

    def _base(self) -> int:
        if not self.caught_up:
            return self._floor
        first = self._open.find(1)
        return self._seen if first < 0 else min(self._seen, self._origin + first)

    def _trim(self) -> None:
        first = self._open.find(1)
        spent = len(self._open) if first < 0 else first
        if spent >= _TRIMMED_FROM:
            del self._open[:spent]
            self._origin += spent


def _parsed(metadata: str) -> tuple[int, int, dict[str, Key]]:
    """Term, seen and marks."""
    if not metadata.startswith(MAGIC):
        raise ReleasesUnreadableError("it does not begin with " + MAGIC)
    try:
        told = json.loads(metadata[len(MAGIC) :])
        marks = {str(lane): (int(due_ms), int(offset)) for lane, (due_ms, offset) in told["marks"].items()}
        return int(told["term"]), int(told["seen"]), marks
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleasesUnreadableError(f"it cannot be read ({type(error).__name__})") from error
