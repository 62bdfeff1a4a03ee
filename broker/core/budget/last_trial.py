"""What measurements achieved when they were followed last: mirrors that are followed again are held to it."""

from collections.abc import Sequence
from typing import Final

from headrace.broker.core.budget.achievement import COMPARED_MS, SPENT_IN_MS, Achieved, Bound
from headrace.broker.core.units import PPM

REGRETTED_PPM: Final = 900_000  # of what the measurements achieved, or the mirrors before
EARLY_MS: Final = 50_000  # in which the mirrors may pay back what was spent, and a few large calls decide
REGRETTED_EARLY_PPM: Final = 540_000
ANSWERS_MS: Final = 600_000  # for which a trial that was lost answers doubts


class LastTrial:
    """The latest time in which measurements were followed.

    Attributes:
        utility: What they achieved; None: they never were, or began this term.
    """

    __slots__ = ("_early_until_ms", "_lost_ms", "utility")

    def __init__(self, utility: int | None = None, now_ms: int = 0, *, lost: bool = False) -> None:
        """The mirrors are followed again from now on; `lost`: because they had achieved more."""
        self.utility = utility
        self._early_until_ms = now_ms + EARLY_MS
        self._lost_ms = now_ms if lost else None  # when it was lost; None: it was not

    def reprice(self, ppm: int) -> None:
        """Go on with other prices; no more is expected at dearer ones."""
        self.utility = None if self.utility is None else self.utility * min(ppm, PPM) // PPM

    def answers(self, lately: Achieved, now_ms: int) -> bool:
        """Return whether it has answered a doubt of the mirrors: it was lost, and they achieve no less than it did."""
        if not self.utility or self._lost_ms is None or now_ms >= self._lost_ms + ANSWERS_MS:
            return False
        return lately.utility >= self.utility

    def is_regretted(self, lately: Achieved, bounds: Sequence[Bound], now_ms: int) -> bool:
        """Return whether the mirrors, followed again, achieve far less than the measurements did.

        The measurements left no reserve, so the mirrors owe only the part that is spendable beside it. Soon after their
        return only half as much is far less; after a trial that was lost, only nothing at all.
        """
        needs_ms = bounds[0].needs_ms + SPENT_IN_MS if bounds else 0
        if self.utility is None or lately.waited_ms < max(COMPARED_MS, needs_ms):
            return False
        early = now_ms < self._early_until_ms
        if early and self._lost_ms is not None:
            return self.utility > 0 >= lately.utility
        regretted = self.utility * (REGRETTED_EARLY_PPM if early else REGRETTED_PPM)
        if bounds and bounds[0].reserved:
            regretted = regretted * bounds[0].spendable // bounds[0].per_minute
        return lately.utility * PPM < regretted


NO_TRIAL: Final = LastTrial()  # one for all limits, of which most have none
