"""Progress of one partition: which offsets are done, when work ends in another order than it began.

A Kafka offset says "everything below me is done". Calls of seconds and of minutes end in any order, so below the
highest offset taken there are holes. A restart that forgets them calls OpenAI again for what was paid; one that skips
them loses requests. Hence the holes travel in the metadata of the offset commit, inside the transaction that publishes
the outcomes. Kafka allows 4,096 characters there, and one more kills the producer for every lane (holes 19).

Rules:
- Only an offset that was *taken* can be incomplete. Offsets that a reader jumped over (transaction markers) are done.
- Offsets open in ascending order and close in any. Base is the lowest open one; it only rises.
- A record is taken only if the map fits even after the unluckiest order of completions. Completions alone must never
  make a commit impossible, so the bound holds for the *worst* map, not for the present one.
- An open offset is *held* while something in memory will finish it. A restored map holds nothing: its open offsets are
  read again (`take`), or found to be in memory still (`hold`).
- An unreadable map is refused and never guessed at: read as empty it would repeat everything above base (holes 23).
"""

from headrace.broker.core.progress.offset_map import (
    BITMAP_WINDOW_MAX,
    MAP_BYTES_MAX,
    TIMESTAMP_UNKNOWN,
    Head,
    ProgressUnreadableError,
    decode,
    encode,
    worst_bytes,
)
from headrace.broker.core.progress.open_offsets import OpenOffsets
from headrace.broker.core.value import value

__all__ = ["PartitionProgress", "ProgressUnreadableError", "Stored"]


@value
class Stored:
    """Content of the offset commit that restores a progress. The map is written when `metadata` is read."""

    head: Head
    opened: OpenOffsets  # a copy: offsets that open or close later belong to another commit

    @property
    def offset(self) -> int:
        """The base."""
        return self.head.base

    @property
    def metadata(self) -> str:
        """The map above the base, as ASCII, never above 4,096 characters."""
        return encode(self.head, self.opened)


class PartitionProgress:
    """Open offsets of one partition. Only `restore` and `lose_below` look at each of them."""

    def __init__(self, start: int) -> None:
        self.next_offset = start  # one above the highest offset ever taken or lost
        self._open = OpenOffsets()
        self._unheld: set[int] = set()  # open ones of a restored map that nothing in memory will finish
        self.last_timestamp_ms = TIMESTAMP_UNKNOWN  # of the record below next_offset: was the topic made anew?

    @classmethod
    def restore(cls, offset: int, metadata: str) -> "PartitionProgress":
        """Restore the progress that `store` wrote, with nothing held. Raises ProgressUnreadableError."""
        head, opened = decode(metadata)
        if head.base != offset:
            raise ProgressUnreadableError(f"the map stored at offset {offset} was written for offset {head.base}")
        progress = cls(head.base + head.window)
        progress._open = OpenOffsets(opened)
        progress._unheld.update(opened)
        progress.last_timestamp_ms = head.timestamp_ms
        return progress

    @staticmethod
    def term_of(metadata: str) -> int:
        """Return the term that wrote this map. Raises ProgressUnreadableError."""
        return decode(metadata)[0].term

    @property
    def base(self) -> int:
        """The lowest open offset, or next_offset when all is done."""
        starts = self._open.starts
        return starts[0] if starts else self.next_offset

    def accepts(self, offset: int) -> bool:
        """Whether the map is certain to fit after `offset` is taken; one below next_offset adds nothing to it."""
        starts = self._open.starts
        window = offset + 1 - (starts[0] if starts else offset)
        if offset < self.next_offset or window <= BITMAP_WINDOW_MAX:
            return True
        return worst_bytes(window, len(self._open) + 1) <= MAP_BYTES_MAX

    def room(self) -> int:
        """Return how many records that follow without a gap `accepts` will pass."""
        starts = self._open.starts
        window = self.next_offset - starts[0] if starts else 0
        as_bitmap = BITMAP_WINDOW_MAX - window
        if as_bitmap >= MAP_BYTES_MAX // 2:
            return as_bitmap  # runs never have room for more: one takes two bytes
        opened = len(self._open)
        as_runs = max(min((1 << 7 * size) - 1 - window, MAP_BYTES_MAX // (2 * size) - opened) for size in range(1, 10))
        return max(0, as_bitmap, as_runs)

    def awaits(self, offset: int) -> bool:
        """Whether `take` would return True: the record is new, or open and not held."""
        return offset >= self.next_offset or offset in self._unheld

    def take(self, offset: int, timestamp_ms: int) -> bool:
        """Return True if the record is to be processed: it is held from now on.

        False: it is done, or held already (read a second time).
        """
        if offset < self.next_offset:
            if offset not in self._unheld:
                return False
            self._unheld.remove(offset)
            return True
        self._extend(offset)
        self.last_timestamp_ms = timestamp_ms
        return True

    def hold(self, offset: int) -> bool:
        """Whether a ticket that outlived its producer still covers this offset of the restored map.

        Call it in ascending order for *every* ticket in memory of this partition, before anything is taken: offsets
        between next_offset and the next ticket count as jumped over. False: the ticket must go, for the map says done,
        or a map that another leader wrote has no room for it (its record is then read again: nothing is lost).
        """
        if offset < self.next_offset:
            self._unheld.discard(offset)
            return offset in self._open
        if not self.accepts(offset):
            return False
        self._extend(offset)
        self.last_timestamp_ms = TIMESTAMP_UNKNOWN
        return True

    def close(self, offset: int) -> bool:
        """Close an offset if it is held: its outcome is committed. Return whether it was."""
        return offset not in self._unheld and self._open.discard(offset)

    def lose_below(self, offset: int, first: int = 0) -> range | None:
        """Close the open offsets below `offset` that are not held: their records cannot be read any more.

        Retention removed them, or their batch cannot be decoded, or it ended the process that unpacked it. Returns the
        range from the lowest lost offset up to `offset` (it may enclose done and held ones), or None if nothing was
        lost. Held offsets stay: their records are in memory. Offsets not taken yet count as lost from `first` on: those
        before it hold no record.
        """
        lost_offsets = [lost_offset for lost_offset in self._unheld if lost_offset < offset]
        lowest = min(lost_offsets, default=max(first, self.next_offset))
        if lowest >= offset:
            return None
        for lost_offset in lost_offsets:
            self._open.remove(lost_offset)
        self._unheld.difference_update(lost_offsets)
        if self.next_offset < offset:
            self.next_offset = offset
            self.last_timestamp_ms = TIMESTAMP_UNKNOWN
        return range(lowest, offset)

    def store(self, term: int) -> Stored:
        """Return the commit that restores this progress as it is now."""
        base = self.base
        return Stored(Head(term, self.last_timestamp_ms, base, self.next_offset - base), self._open.copy())

    def _extend(self, offset: int) -> None:
        assert self.accepts(offset), f"offset {offset} taken although its map may not fit"
        self._open.append(offset)
        self.next_offset = offset + 1
