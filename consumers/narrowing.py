"""Size of the next transaction after a failure: bisection of a queue that must keep its order.

The dispatcher halves a failed transaction and lets other records overtake it
(`headrace.broker.core.requests.failing_decisions`). A writer that puts records back in order cannot: it takes the first
half of the failed records, then half of the rest once that has passed, until the first record stands alone. If it fails
alone it is the culprit.
"""

from collections.abc import Collection, Hashable

STRIKES_MAX = 5
BLAMED_AFTER_MS = 3_600_000
"""Number of failures alone, and their time span, before a record is blamed for an error that may be chance: a partition
without a leader looks the same."""


class Narrowing:
    """Bound of the next transaction; each failure is one of a producer that had committed something before."""

    def __init__(self, count_max: int) -> None:
        """`count_max` is the most records that a transaction takes."""
        self._count_max = count_max
        self._growing = count_max
        self._doubted = 0
        self._failed: frozenset[Hashable] = frozenset()
        self._strikes = 0
        self._alone_since_ms = 0

    @property
    def count_max(self) -> int:
        """The most records that the next transaction may take."""
        return max(1, self._doubted // 2) if self._doubted else self._growing

    def passed(self, count: int) -> None:
        """Note that a transaction of `count` records was committed."""
        self._doubted = max(0, self._doubted - count)
        self._failed, self._strikes = frozenset(), 0
        self._growing = min(self._count_max, 2 * max(count, self._growing))

    def failed(self, records: Collection[Hashable], now_ms: int, *, refused: bool) -> bool:
        """Note that a transaction of these failed at that instant; return whether its only record is the culprit."""
        before, self._failed = self._failed, frozenset(records)
        if not refused and before.isdisjoint(self._failed):
            return False
        if len(records) > 1:
            self._doubted, self._growing, self._strikes = len(records), max(1, len(records) // 2), 0
            return False
        self._doubted = len(records)
        if self._strikes == 0:
            self._alone_since_ms = now_ms
        self._strikes += 1
        chance_is_out = self._strikes >= STRIKES_MAX and now_ms - self._alone_since_ms >= BLAMED_AFTER_MS
        if chance_is_out or (refused and not before.isdisjoint(self._failed)):
            self._strikes = 0
            return True
        return False
