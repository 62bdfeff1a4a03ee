"""A value for each of the few service tiers whose calls are answered, and one for all other tiers together.

Producers name tiers, and may invent names; a server that ignores them answers all the same. So the places are not for
those that came first: each answer of a tier with a place counts for it, each of another tier against all of them, and a
tier that nothing counts for gives its place away (J. Misra and D. Gries, 1982). No count exceeds a small bound, so that
a tier that is no longer asked for does not stay for ever.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from headrace.broker.core.bounds import TIERS_TIMED_MAX

COUNT_MAX: Final = 16

T = TypeVar("T")


class TierTable(Generic[T]):
    """Values by service tier; requests that name none have one of their own."""

    __slots__ = ("_counts", "_make", "_others", "_tiers")

    def __init__(self, make: Callable[[], T]) -> None:
        """`make` makes the value of a tier without answers."""
        self._make = make
        self._tiers: dict[str, T] = {}
        self._counts: dict[str, int] = {}
        self._others: T | None = None

    def __iter__(self) -> Iterator[T]:
        """Yield the values of the tiers that have one of their own."""
        return iter(self._tiers.values())

    def get(self, tier: str) -> T | None:
        """Return the value that holds for a tier; None if nothing is known."""
        return self._tiers.get(tier, self._others)

    def of_answer(self, tier: str) -> T:
        """Return the value that an answer of a tier belongs to."""
        if tier in self._counts:
            self._counts[tier] = min(COUNT_MAX, self._counts[tier] + 1)
        elif tier:
            if len(self._counts) >= TIERS_TIMED_MAX:
                self._count_against_all()
            if len(self._counts) >= TIERS_TIMED_MAX:
                return self._of_others()
            self._counts[tier] = 1
        return self._tiers.setdefault(tier, self._make())

    def _of_others(self) -> T:
        if self._others is None:
            self._others = self._make()
        return self._others

    def _count_against_all(self) -> None:
        self._counts = {tier: count - 1 for tier, count in self._counts.items() if count > 1}
        self._tiers = {tier: value for tier, value in self._tiers.items() if not tier or tier in self._counts}
