"""How coarsely a server rounds the figures that it states.

Some state what remains as so many hundredths of the limit. Every such figure is a multiple of one step, and the step is
found as the greatest common divisor of those seen. Exact figures have none but 1, or a few, as soon as some differ,
unless all calls cost multiples of a round number: then they show nothing.
"""

from math import gcd
from typing import Final

DIFFERENT_MIN: Final = 4  # figures, before their divisor is more than chance


class Rounding:
    """The step of the figures of one metric.

    Attributes:
        step: Its multiples are stated; 1 while nothing shows that figures are rounded.
    """

    __slots__ = ("_amounts", "_divisor", "_figures", "step")

    def __init__(self) -> None:
        self._figures: tuple[int, ...] = ()  # not lists: the collector of garbage walks through thousands of limits
        self._divisor = 0
        self._amounts: tuple[int, ...] = ()
        self.step = 1

    def observe(self, figure: int, *amounts: int) -> None:
        """Process a figure, of a call that may have cost each of these amounts; 0 shows nothing."""
        if self._divisor == 1 or figure <= 0:
            return
        self._divisor = gcd(self._divisor, figure)
        if amounts:
            self._amounts = tuple(map(gcd, self._amounts or amounts, amounts))
        if len(self._figures) < DIFFERENT_MIN and figure not in self._figures:
            self._figures += (figure,)
        by_chance = any(amount % self._divisor == 0 for amount in self._amounts)
        if len(self._figures) >= DIFFERENT_MIN:
            self.step = 1 if by_chance else self._divisor
