"""The greatest sums over each span that admitted calls have found lately: no limit of that span is far below them."""

from typing import Final

from headrace.broker.core.budget.recent_spending import SPANS_MS, Sums

REMEMBERED: Final = 2_000  # so many admitted calls are, or twice as many at most
NONE: Final = Sums((0,) * len(SPANS_MS), (0,) * len(SPANS_MS))


class GreatestSums:
    """The greatest sum of each span, in tokens and in calls."""

    __slots__ = ("_before", "_calls", "_lately")

    def __init__(self) -> None:
        self._lately = self._before = NONE
        self._calls = 0  # those that the latest sums are of

    def record_admission(self, found: Sums) -> None:
        """Record the sums that an admitted call had found."""
        if self._calls >= REMEMBERED:
            self._lately, self._before, self._calls = NONE, self._lately, 0
        self._calls += 1
        self._lately = _greater(self._lately, found)

    def reprice(self, ppm: int) -> None:
        """Let each sum of tokens be this part of what it was."""
        self._lately, self._before = self._lately.repriced(ppm), self._before.repriced(ppm)

    def of(self, span: int, *, of_calls: bool) -> int:
        """Return the greatest sum of a span."""
        return max(self._lately[of_calls][span], self._before[of_calls][span])


def _greater(one: Sums, other: Sums) -> Sums:
    return Sums(tuple(map(max, one.tokens, other.tokens)), tuple(map(max, one.calls, other.calls)))
