"""A quantity that is reserved before it is known: mean and mean deviation of its last figures."""

from typing import Final

MEMORY: Final = 8  # once this many came, each new figure weighs one part in this many


class Surplus:
    """Mean and mean deviation of a quantity in tokens, the last figures weighing most."""

    __slots__ = ("_count", "_mean", "_memory", "_spread")

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._count = self._mean = self._spread = 0

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def tokens(self) -> int:
        """A careful estimate: about four of five figures are at most as high."""
        return self._mean + self._spread

    def add(self, tokens: int) -> None:
        """Add a figure."""
        self._count = min(self._memory, self._count + 1)
        off = tokens - self._mean
        self._mean += off // self._count
        if self._count > 1:
            self._spread += (abs(off) - self._spread) // self._count
