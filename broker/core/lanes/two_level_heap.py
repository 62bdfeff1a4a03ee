"""Priority queue by virtual time whose cost hardly grows with its size.

Every removal from a heap of ten thousand touches a dozen places far apart in memory. Here virtual time is cut into
spans, each with a heap of its own, and the spans form a heap too: the first entry shares its span with a few others.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

Entry = TypeVar("Entry")
_SPAN_BITS: Final = 25  # about 32 tokens of a tenant with weight one


class TwoLevelHeap(Generic[Entry]):
    """Entries ordered by virtual time, then by stamp; no stamp comes twice."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[int, int, Entry]]] = {}  # by span; none is empty
        self._order: list[int] = []  # a heap of the spans
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forget everything."""
        if self._count:
            self._heaps.clear()
            self._order.clear()
            self._count = 0

    def add(self, at: int, stamp: int, entry: Entry) -> None:
        """Add an entry at a virtual time."""
        self._count += 1
        span = at >> _SPAN_BITS
        heap = self._heaps.get(span)
        if heap is None:
            self._heaps[span] = [(at, stamp, entry)]
            heappush(self._order, span)
        else:
            heappush(heap, (at, stamp, entry))

    def first(self) -> tuple[int, int, Entry] | None:
        """Return the first entry: its virtual time, stamp and value; None if there is none."""
        return self._heaps[self._order[0]][0] if self._order else None

    def pop(self) -> None:
        """Remove the first entry."""
        self._count -= 1
        heap = self._heaps[self._order[0]]
        heappop(heap)
        if not heap:
            del self._heaps[heappop(self._order)]

    def sweep(self, is_stale: Callable[[int, Entry], bool]) -> None:
        """Drop stale entries."""
        entries = [entry for heap in self._heaps.values() for entry in heap if not is_stale(*entry[1:])]
        self.clear()
        for entry in entries:
            self.add(*entry)
