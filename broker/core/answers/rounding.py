"""How coarsely a server rounds the figures that it states.

Some state what remains as so many hundredths of the limit. Every such figure is a multiple of one step, and the step is
found as the greatest common divisor of those seen. Exact figures have none but 1, or a few, as soon as some differ,
unless all calls cost multiples of a round number: then they show nothing. A figure that stays the same while calls are
charged is rounded as well; while too few differ, their divisor is the most that the step can be.
"""

from math import gcd
from typing import Final

from headrace.broker.core.units import ROUNDING_TOKENS

DIFFERENT_MIN: Final = 4  # figures, before their divisor is more than chance
COARSEST_PARTS: Final = 10  # no server is known to round to more than one part in so many of a limit


class Rounding:
    """The step of the figures of one metric.

    Attributes:
        step: Its multiples are stated; 1 while nothing shows that figures are rounded. Until `DIFFERENT_MIN` figures
            differ, it is no more than this.
    """

    __slots__ = ("_amounts", "_divisor", "_figures", "_last", "_stays", "step")

    def __init__(self) -> None:
        self._figures: tuple[int, ...] = ()  # not lists: the collector of garbage walks through thousands of limits
        self._divisor = 0
        self._amounts: tuple[int, ...] = ()
        self._last, self._stays = 0, False
        self.step = 1

    def observe(self, figure: int, *amounts: int, used: int = 0) -> None:
        """Process a figure, of a call that may have cost each of these amounts; 0 shows nothing.

        `used`: what the figure leaves of the whole limit. If that is one call's, calls find a full limit, and figures
        may be the same.
        """
        if self._divisor == 1 or figure <= 0:
            return
        is_same = figure == self._last and min((abs(used - each) for each in amounts), default=0) > ROUNDING_TOKENS
        self._stays, self._last = self._stays or is_same, figure
        self._divisor = gcd(self._divisor, figure)
        if amounts:
            self._amounts = tuple(map(gcd, self._amounts or amounts, amounts))
        if len(self._figures) < DIFFERENT_MIN and figure not in self._figures:
            self._figures += (figure,)
        by_chance = any(amount % self._divisor == 0 for amount in self._amounts)
        if len(self._figures) >= DIFFERENT_MIN:
            self.step = 1 if by_chance else self._divisor
        elif self._stays:
            self.step = max(1, min(self._divisor, (figure + used) // COARSEST_PARTS))
