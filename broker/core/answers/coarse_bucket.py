"""The period of a bucket whose levels are stated in coarse steps, and the time until it is full in whole seconds.

Exact figures of a bucket agree with one period. Rounded ones contradict each other, and then look like those of a
counter, for whose `reset` any figure may be right. So each figure counts here as far as it is exact: the level within
one step, which was rounded down, and the time within a second, which was rounded up or to the nearest. A counter's
contradict each other all the same, once what is used has differed by some steps: its `reset` does not grow with that.
"""

from collections.abc import Sequence
from math import gcd
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import SECOND_MS

COARSE_PARTS: Final = 200  # steps are coarse if each is one part in so many of the limit, or more
FIGURES_MIN: Final = 4  # different ones: then a counter's contradict each other, and their divisor is no chance
NARROW_PARTS: Final = 5  # an unusual period must be known to one part in this many
_BOUNDLESS_MS: Final = 1 << 62


class CoarseBucket:
    """The periods that agree with all figures of one limit, if it is a bucket."""

    __slots__ = ("_capacity", "_figures", "_high_ms", "_low_ms", "_step", "_unusual_ms")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._step = 0  # of which all levels are multiples; while it is too large, all that follows is too wide
        self._figures: tuple[int, ...] = ()  # the first that differ
        self._low_ms, self._high_ms, self._unusual_ms = 0, _BOUNDLESS_MS, 0

    def observe(self, remaining: int, full_in_ms: int) -> None:
        """Process an answer to a call that found the limit neither full nor empty."""
        if self._step == 1:
            return
        self._step = gcd(self._step, remaining)
        if len(self._figures) < FIGURES_MIN and remaining not in self._figures:
            self._figures += (remaining,)
        used, unit_ms = self._capacity - remaining, 1 if full_in_ms % SECOND_MS else SECOND_MS
        least_used, most_ms = used - self._step, full_in_ms + unit_ms // 2 + 1
        self._low_ms = max(self._low_ms, (full_in_ms - unit_ms) * self._capacity // used)
        if least_used > 0:
            self._high_ms = min(self._high_ms, most_ms * self._capacity // least_used + 1)

    def period_ms(self, usual_ms: Sequence[int]) -> int | None:
        """Return the period that agrees with all figures, if levels are coarse: a usual one, if just one does.

        Where no usual one does, it is the middle of those that do, once they differ by less than a fifth; it stays as
        long as it agrees.
        """
        if len(self._figures) < FIGURES_MIN or self._step == 1 or self._step * COARSE_PARTS < self._capacity:
            return None
        low_ms, high_ms = self._low_ms, self._high_ms
        agreeing = [period_ms for period_ms in usual_ms if low_ms <= period_ms <= high_ms]
        if not agreeing and 0 <= (high_ms - low_ms) * NARROW_PARTS <= low_ms:
            if not low_ms <= self._unusual_ms <= high_ms:
                self._unusual_ms = (low_ms + high_ms) // 2
            return self._unusual_ms
        return agreeing[0] if len(agreeing) == 1 else None
