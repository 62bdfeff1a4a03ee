"""Heap of `(due, offset)` in two arrays: sixteen bytes for each waiting record, and a million may wait.

A list of tuples for `heapq` takes six times as much.
"""

from array import array

Key = tuple[int, int]
"""`due_ms` (wall clock) and offset: the order of release."""


class KeyHeap:
    """Min-heap: the smallest key in constant time, `push` and `pop` in logarithmic time."""

    __slots__ = ("_dues", "_offsets")

    def __init__(self) -> None:
        self._dues = array("q")
        self._offsets = array("q")

    def __len__(self) -> int:
        return len(self._dues)

    @property
    def first(self) -> Key:
        """The smallest key; IndexError if there is none."""
        return self._dues[0], self._offsets[0]

    def count_due(self, now_ms: int) -> int:
        """Count the keys due at that instant; this visits each one, 0.1 s for a million."""
        return sum(map(now_ms.__ge__, self._dues))

    def push(self, key: Key) -> None:
        """Add a key."""
        dues, offsets = self._dues, self._offsets
        place = len(dues)
        dues.append(key[0])
        offsets.append(key[1])
        while place:
            above = (place - 1) >> 1
            other = dues[above], offsets[above]
            if other <= key:
                break
            dues[place], offsets[place] = other
            place = above
        dues[place], offsets[place] = key

    def pop(self) -> Key:
        """Remove and return the smallest key; IndexError if there is none."""
        dues, offsets = self._dues, self._offsets
        last = dues.pop(), offsets.pop()
        if not dues:
            return last
        smallest = dues[0], offsets[0]
        self._sink(last)
        return smallest

    def _sink(self, key: Key) -> None:
        """Put a key at the root, and sift it down."""
        dues, offsets = self._dues, self._offsets
        count, place, below = len(dues), 0, 1
        while below < count:
            other = dues[below], offsets[below]
            beside = below + 1
            if beside < count and (dues[beside], offsets[beside]) < other:
                below, other = beside, (dues[beside], offsets[beside])
            if key <= other:
                break
            dues[place], offsets[place] = other
            place, below = below, 2 * below + 1
        dues[place], offsets[place] = key
