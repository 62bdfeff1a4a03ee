"""The mirrors of one limit, by metric: a list that is searched for each call and changed for few."""

from collections.abc import Callable, Iterator
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import TOKENS, LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror

ALIKE_PARTS: Final = 20  # computed periods that differ by at most one part in this many are the same period

AnyMirror = Mirror | FixedWindowMirror | SlidingWindowMirror
Owner = tuple[LimitMetric, bool]
"""A metric, and whether it is a project's."""


class MirrorList:
    """All mirrors of one limit, in the order in which they were made.

    Attributes:
        made: The number of times the list has changed.
        shortest: The bucket of tokens that refills soonest, the smallest of these; None while none is known.
    """

    def __init__(self) -> None:
        self.made = 0
        self.shortest: AnyMirror | None = None
        self._all: list[AnyMirror] = []
        self._of: dict[LimitMetric, list[AnyMirror]] = {metric: [] for metric in LimitMetric}

    def __iter__(self) -> Iterator[AnyMirror]:
        return iter(self._all)

    def of(self, metric: LimitMetric) -> list[AnyMirror]:
        """Return the mirrors of one metric."""
        return self._of[metric]

    def add(self, mirror: AnyMirror) -> None:
        """Append a mirror."""
        self._all.append(mirror)
        self._sort()

    def keep(self, is_kept: Callable[[AnyMirror], bool]) -> bool:
        """Drop all others; return whether there were any."""
        kept = [mirror for mirror in self._all if is_kept(mirror)]
        if len(kept) == len(self._all):
            return False
        self._all = kept
        self._sort()
        return True

    def find(self, owner: Owner, capacity: int | None, period_ms: int | None) -> Mirror | None:
        """Return the first bucket of that metric and owner, of that capacity and period if they are given."""
        metric, project = owner
        for mirror in self._of[metric]:
            if (
                isinstance(mirror, Mirror)
                and mirror.project is project
                and (capacity is None or mirror.capacity == capacity)
                and (period_ms is None or alike(period_ms, mirror.period_ms))
            ):
                return mirror
        return None

    def of_period(self, owner: Owner, period_ms: int) -> AnyMirror | None:
        """Return the first mirror of that metric, owner and period."""
        metric, project = owner
        for mirror in self._of[metric]:
            if mirror.project is project and alike(period_ms, mirror.period_ms):
                return mirror
        return None

    def is_alone(self, mirror: AnyMirror) -> bool:
        """Return whether it is the only one of its metric and owner."""
        return not any(other is not mirror and other.project is mirror.project for other in self._of[mirror.metric])

    def _sort(self) -> None:
        """Rebuild the look-ups after the list has changed."""
        self.made += 1
        self._of = {metric: [mirror for mirror in self._all if mirror.metric is metric] for metric in LimitMetric}
        self.shortest = min(self._of[TOKENS], key=lambda mirror: (mirror.period_ms, mirror.capacity), default=None)


def same_rate(one: AnyMirror, other: AnyMirror) -> bool:
    """Return whether two buckets refill equally fast, but for rounding."""
    mine, theirs = one.capacity * other.period_ms, other.capacity * one.period_ms
    return abs(mine - theirs) * ALIKE_PARTS <= theirs


def same_size(one: AnyMirror, other: AnyMirror) -> bool:
    """Return whether two buckets count the same, of the same owner, and hold as much."""
    return (one.metric, one.project, one.capacity) == (other.metric, other.project, other.capacity)


def alike(computed_ms: int, known_ms: int) -> bool:
    """Return whether two periods are equal but for the rounding of the numbers that one was computed from."""
    return abs(computed_ms - known_ms) * ALIKE_PARTS <= known_ms
