"""Who is first by virtual time, at a cost that hardly grows with how many there are.

A heap of ten thousand touches a dozen places far apart in memory for each that leaves it. Here virtual time is cut in
spans, each with a heap of its own, and a heap of the spans: whoever is first shares its span with a few others.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

Who = TypeVar("Who")
_SPAN_BITS: Final = 25  # about 32 tokens of a tenant that weighs one


class TwoLevelHeap(Generic[Who]):
    """By virtual time; of like ones, whose stamp is lower. No stamp comes twice."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[int, int, Who]]] = {}  # none is empty
        self._order: list[int] = []  # a heap of their keys
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forget all."""
        if self._count:
            self._heaps.clear()
            self._order.clear()
            self._count = 0

    def add(self, at: int, stamp: int, who: Who) -> None:
        """Somebody is so far on."""
        self._count += 1
        span = at >> _SPAN_BITS
        heap = self._heaps.get(span)
        if heap is None:
            self._heaps[span] = [(at, stamp, who)]
            heappush(self._order, span)
        else:
            heappush(heap, (at, stamp, who))

    def first(self) -> tuple[int, int, Who] | None:
        """How far on the first is, its stamp, and who it is; None if there is nobody."""
        return self._heaps[self._order[0]][0] if self._order else None

    def pop(self) -> None:
        """The first leaves."""
        self._count -= 1
        heap = self._heaps[self._order[0]]
        heappop(heap)
        if not heap:
            del self._heaps[heappop(self._order)]

    def sweep(self, is_stale: Callable[[int, Who], bool]) -> None:
        """Forget those that say nothing any more."""
        entries = [entry for heap in self._heaps.values() for entry in heap if not is_stale(*entry[1:])]
        self.clear()
        for entry in entries:
            self.add(*entry)
