"""Index of the keys of a topic: the offsets of records by key, in sixteen bytes a record.

Each partition is covered without a gap from `low` on: the reader that follows the topic adds new records, and a search
that reads backwards adds those it has passed. So no offset is read twice for a key that is absent. Keys are kept as
64-bit hashes: a hit may be another key's record, so the record must be checked.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

ENTRIES_MAX: Final = 2_000_000
"""Some 32 MB, plus up to a block of each partition that is not sorted yet. Beyond it the oldest entries are forgotten,
and a search reads them again."""
_BLOCK: Final = 2_048
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class _Block:
    """The records from `low` up to the next block, sorted by hash."""

    low: int
    hashes: "array[int]"
    offsets: "array[int]"

    def find(self, hashed: int) -> Iterable[int]:
        """Yield the offsets of records with this hash, ascending."""
        at = bisect_left(self.hashes, hashed)
        while at < len(self.hashes) and self.hashes[at] == hashed:
            yield self.offsets[at]
            at += 1


def _block(low: int, entries: Iterable[tuple[int, int]]) -> _Block:
    in_order = sorted(entries)
    return _Block(low, array("Q", (each for each, _ in in_order)), array("Q", (offset for _, offset in in_order)))


@dataclass(slots=True)
class _Partition:
    """Index of one partition: `blocks` in the order of their offsets; `young` holds later entries, not sorted yet."""

    low: int
    blocks: deque[_Block] = field(default_factory=deque)
    young: list[tuple[int, int]] = field(default_factory=list)
    young_low: int = 0
    count: int = 0


class KeyIndex:
    """Offsets of keys, by partition."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        """Nothing is covered before `begin`."""
        self._entries_max = entries_max
        self._partitions: dict[int, _Partition] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def begin(self, partition: int, offset: int) -> None:
        """Cover this partition from that offset on; forget its former entries."""
        former = self._partitions.get(partition)
        self._count -= 0 if former is None else former.count
        self._partitions[partition] = _Partition(offset, young_low=offset)

    def leave(self, partition: int) -> None:
        """Cover this partition no longer."""
        former = self._partitions.pop(partition, None)
        self._count -= 0 if former is None else former.count

    def clear(self) -> None:
        """Cover nothing."""
        self._partitions.clear()
        self._count = 0

    def low(self, partition: int) -> int | None:
        """Return the offset from which the partition is covered; None: not covered."""
        found = self._partitions.get(partition)
        return None if found is None else found.low

    def add(self, partition: int, offset: int, key: bytes) -> None:
        """Add the next record of a partition."""
        place = self._partitions[partition]
        place.young.append((hash(key) & _MASK, offset))
        place.count += 1
        self._count += 1
        if len(place.young) >= _BLOCK:
            place.blocks.append(_block(place.young_low, place.young))
            place.young, place.young_low = [], offset + 1
            while self._count > self._entries_max and self._forget_oldest():
                pass

    def add_before(self, partition: int, low: int, records: Iterable[tuple[int, bytes]]) -> bool:
        """Add the records between `low` and where coverage began; return False if there is no room for them."""
        place = self._partitions[partition]
        entries = [(hash(key) & _MASK, offset) for offset, key in records]
        if self._count + len(entries) > self._entries_max:
            return False
        place.blocks.appendleft(_block(low, entries))
        place.low = low
        place.count += len(entries)
        self._count += len(entries)
        return True

    def _forget_oldest(self) -> bool:
        """Forget the oldest block of the partition with the most entries; return False if there is none."""
        place = max(self._partitions.values(), key=lambda each: each.count if each.blocks else -1)
        if not place.blocks:
            return False
        gone = len(place.blocks.popleft().hashes)
        place.low = place.blocks[0].low if place.blocks else place.young_low
        place.count -= gone
        self._count -= gone
        return True

    def find(self, partition: int, key: bytes) -> list[int]:
        """List the offsets that may hold the key, the latest first."""
        place = self._partitions.get(partition)
        if place is None:
            return []
        hashed = hash(key) & _MASK
        found = [offset for block in place.blocks for offset in block.find(hashed)]
        found += [offset for each, offset in place.young if each == hashed]
        return found[::-1]
