"""Open offsets of one partition, as stretches without a gap.

All waiting records are one long stretch, and each call in flight may add one: so a partition's map is written from a
few numbers, however many records wait behind it, and an offset is found, opened or closed in logarithmic time.
"""

from bisect import bisect_right
from collections.abc import Iterable


class OpenOffsets:
    """A set of offsets that grows at its end only and shrinks anywhere.

    Attributes:
        starts: The first offset of each stretch, ascending.
        ends: One above the last offset of each.
    """

    __slots__ = ("_count", "ends", "starts")

    def __init__(self, ascending: Iterable[int] = ()) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self._count = 0
        for offset in ascending:
            self.append(offset)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self.starts, offset) - 1
        return index >= 0 and offset < self.ends[index]

    def copy(self) -> "OpenOffsets":
        """Copy the set as it is now."""
        copied = OpenOffsets()
        copied.starts, copied.ends, copied._count = self.starts.copy(), self.ends.copy(), self._count
        return copied

    def append(self, offset: int) -> None:
        """Open an offset above all others."""
        ends = self.ends
        if ends and ends[-1] == offset:
            ends[-1] = offset + 1
        else:
            assert not ends or ends[-1] < offset, "offsets open in ascending order"
            self.starts.append(offset)
            ends.append(offset + 1)
        self._count += 1

    def discard(self, offset: int) -> bool:
        """Close an offset if it is open; return whether it was."""
        starts, ends = self.starts, self.ends
        index = bisect_right(starts, offset) - 1
        if index < 0 or offset >= ends[index]:
            return False
        if ends[index] == offset + 1:
            ends[index] = offset
        else:
            starts.insert(index + 1, offset + 1)
            ends.insert(index, offset)
        if starts[index] == ends[index]:
            del starts[index], ends[index]
        self._count -= 1
        return True

    def remove(self, offset: int) -> None:
        """Close an open offset."""
        closed = self.discard(offset)
        assert closed, "only an open offset is closed"
