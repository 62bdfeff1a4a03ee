"""Tenants that have had more than their share: who of them the mean has passed since.

The mean hardly ever falls, so nobody need be sorted before it comes near. Virtual time is cut in spans: whoever is in
one that the mean has reached stands in a heap, the others lie about unsorted, span by span. So it costs the same among
ten as among ten thousand.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

Who = TypeVar("Who")
_SPAN_BITS: Final = 25  # about 32 tokens of a tenant that weighs one


class Ahead(Generic[Who]):
    """By virtual time; of like ones, who was added first."""

    def __init__(self) -> None:
        self._near: list[tuple[int, int, Who]] = []  # a heap: all up to the span that was reached
        self._far: dict[int, list[tuple[int, int, Who]]] = {}  # by their span
        self._reached = -1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forget all, and where the mean stood."""
        self._near.clear()
        self._far.clear()
        self._reached, self._count = -1, 0

    def add(self, at: int, stamp: int, who: Who) -> None:
        """Somebody is so far on; no stamp comes twice."""
        self._count += 1
        span = at >> _SPAN_BITS
        if span <= self._reached:
            heappush(self._near, (at, stamp, who))
            return
        far = self._far.get(span)
        if far is None:
            self._far[span] = [(at, stamp, who)]
        else:
            far.append((at, stamp, who))

    def passed(self, mean: int) -> Iterator[tuple[int, Who]]:
        """Take out those that are no further than the mean, with their stamps."""
        span = mean >> _SPAN_BITS
        if span > self._reached:
            self._reach(span)
        near = self._near
        while near and near[0][0] <= mean:
            self._count -= 1
            _, stamp, who = heappop(near)
            yield stamp, who

    def sweep(self, is_stale: Callable[[int, Who], bool]) -> None:
        """Forget those that say nothing any more."""
        spans = [self._near, *self._far.values()]
        entries = [entry for span in spans for entry in span if not is_stale(*entry[1:])]
        reached = self._reached
        self.clear()
        self._reached = reached
        for entry in entries:
            self.add(*entry)

    def _reach(self, span: int) -> None:
        far = self._far
        if span - self._reached > len(far):
            spans = [each for each in far if each <= span]
        else:
            spans = [each for each in range(self._reached + 1, span + 1) if each in far]
        for each in spans:
            self._near += far.pop(each)
        if spans:
            heapify(self._near)
        self._reached = span
