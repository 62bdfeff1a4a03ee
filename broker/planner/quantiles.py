"""Quantiles of a stream in bounded memory: exact up to a number of values, then by buckets that grow by one percent.

A bucket answers with its middle, so a quantile is at most half a percent away from the value that holds its place. The
mean, the count and the largest stay exact.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

EXACT_MAX: Final = 4_096
_GROWTH: Final = 1.01
_LOG_GROWTH: Final = math.log(_GROWTH)


class Quantiles:
    """Whole numbers, none below 0."""

    __slots__ = ("_buckets", "_exact", "_sorted", "count", "largest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.largest = 0
        self._exact: list[int] | None = []
        self._sorted = True
        self._buckets: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count one value."""
        self.count += 1
        self.total += value
        if value > self.largest:  # noqa: PLR1730 — several times for each request
            self.largest = value
        if self._exact is None:
            bucket = int(math.log(value) / _LOG_GROWTH) if value > 1 else value - 1
            self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
            return
        self._exact.append(value)
        self._sorted = False
        if len(self._exact) > EXACT_MAX:
            self._spill(self._exact)

    def take_in(self, other: "Quantiles") -> None:
        """Count what the other one has counted."""
        exact, buckets = other.held()
        for value in exact:
            self.add(value)
        if not buckets:
            return
        if self._exact is not None:
            self._spill(self._exact)
        for bucket, count in buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def held(self) -> tuple[Sequence[int], Mapping[int, int]]:
        """Every value, or how many there are in each bucket: one of the two is empty."""
        return self._exact or (), self._buckets

    @property
    def mean(self) -> float | None:
        """None before the first value."""
        return self.total / self.count if self.count else None

    def at(self, part: float) -> int | None:
        """The smallest value that at least `part` of all values do not exceed; None before the first value."""
        if not self.count:
            return None
        place = max(1, math.ceil(part * self.count))
        if self._exact is not None:
            if not self._sorted:
                self._exact.sort()
                self._sorted = True
            return self._exact[place - 1]
        if place == self.count:
            return self.largest
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= place:
                return min(self.largest, _middle(bucket))
        raise AssertionError("every value is in a bucket")

    def _spill(self, exact: list[int]) -> None:
        self._exact = None
        self.count, self.total, self.largest = 0, 0, 0
        for value in exact:
            self.add(value)


def _middle(bucket: int) -> int:
    """The value a bucket answers with. The two first hold 0 and 1 alone."""
    return bucket + 1 if bucket <= 0 else round(_GROWTH ** (bucket + 0.5))
