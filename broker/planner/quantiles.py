"""Quantiles of a stream in bounded memory: exact up to a number of values, then by buckets that grow by one percent.

A bucket answers with its middle, so a quantile is at most half a percent away from the exact value at its rank. The
mean, the count and the largest stay exact.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

EXACT_MAX: Final = 4_096
_GROWTH: Final = 1.01
_LOG_GROWTH: Final = math.log(_GROWTH)


class Quantiles:
    """Whole numbers, none below 0. An added value is only noted: many together are put into buckets at once."""

    __slots__ = ("_buckets", "_fresh", "_largest", "_sorted_away", "_total")

    def __init__(self) -> None:
        self._fresh: list[int] = []  # all values, while there are no buckets
        self._buckets: dict[int, int] = {}
        self._sorted_away = self._total = self._largest = 0  # of the values in buckets: their number and sum

    def add(self, value: int) -> None:
        """Count one value."""
        fresh = self._fresh
        fresh.append(value)
        if len(fresh) > EXACT_MAX:
            self._sort_away()

    def take_in(self, other: "Quantiles") -> None:
        """Add the counts of the other one."""
        exact, buckets = other.held()
        for value in exact:
            self.add(value)
        if not buckets:
            return
        self._sort_away()
        for bucket, count in buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._sorted_away += other.count
        self._total += other.total
        self._largest = max(self._largest, other.largest)

    def held(self) -> tuple[Sequence[int], Mapping[int, int]]:
        """Return every value, or the count of each bucket: one of the two is empty."""
        if self._buckets:
            self._sort_away()
        return self._fresh, self._buckets

    @property
    def count(self) -> int:
        """Number of values."""
        return self._sorted_away + len(self._fresh)

    @property
    def total(self) -> int:
        """Sum of the values."""
        return self._total + sum(self._fresh)

    @property
    def largest(self) -> int:
        """Largest value; 0 before the first."""
        return max(self._largest, max(self._fresh, default=0))

    @property
    def mean(self) -> float | None:
        """Mean of the values; None before the first."""
        return self.total / self.count if self.count else None

    def at(self, part: float) -> int | None:
        """Return the smallest value that at least `part` of all values do not exceed; None before the first value."""
        if not self.count:
            return None
        exact, buckets = self.held()
        place = max(1, math.ceil(part * self.count))
        if exact:
            return sorted(exact)[place - 1]
        if place == self.count:
            return self.largest
        passed = 0
        for bucket in sorted(buckets):
            passed += buckets[bucket]
            if passed >= place:
                return min(self.largest, _middle(bucket))
        raise AssertionError("every value is in a bucket")

    def _sort_away(self) -> None:
        """Move the noted values into buckets."""
        self._sorted_away, self._total, self._largest = self.count, self.total, self.largest
        for value, count in Counter(self._fresh).items():
            bucket = int(math.log(value) / _LOG_GROWTH) if value > 1 else value - 1
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._fresh = []


def _middle(bucket: int) -> int:
    """Return the value a bucket answers with. The two first hold 0 and 1 alone."""
    return bucket + 1 if bucket <= 0 else round(_GROWTH ** (bucket + 0.5))
