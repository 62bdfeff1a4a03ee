"""A quantity that is reserved before it is known: mean and mean deviation of its last figures."""

from typing import Final

MEMORY: Final = 8  # once this many came, each new figure weighs one part in this many
GROWTH_MAX: Final = 4
STEP_TOKENS: Final = 1_000  # which an estimate may grow by beside that, however small it is


class Surplus:
    """Mean and mean deviation of a quantity in tokens, the last figures weighing most.

    Attributes:
        noted: The estimate that has last been noted as changed, by those that use it; None: none yet.
    """

    __slots__ = ("_count", "_former", "_is_low", "_mean", "_memory", "_spread", "noted")

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._count = self._mean = self._spread = 0
        self._is_low = False  # the last figure was far below the estimate
        self.noted: int | None = None
        self._former = 0  # the estimate of several figures that a lower one has replaced

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def tokens(self) -> int:
        """A careful estimate: mean and mean deviation, which few figures exceed if there are no two usual sizes."""
        return self._mean + self._spread

    def add(self, tokens: int) -> None:
        """Add a figure."""
        self._count = min(self._memory, self._count + 1)
        off = tokens - self._mean
        self._mean += off // self._count
        if self._count > 1:
            self._spread += (abs(off) - self._spread) // self._count

    def learn(self, tokens: int) -> None:
        """Add a figure that may be absurd, or the first of another size.

        It counts for at most what the estimate may grow to, or has been. If it is less than a quarter of the estimate,
        and so was the one before or the estimate rests on a single figure, it is the first of a new estimate: one low
        figure among many others may be one of two usual sizes.
        """
        before, was_low = self.tokens, self._is_low
        self._is_low = self._count > 0 and grown(tokens) < before
        if self._is_low and (was_low or self._count == 1):
            self._former = before if self._count > 1 else self._former
            self._count = self._mean = self._spread = 0
            self._is_low = False
        self.add(min(tokens, max(grown(before), self._former)) if self._count else tokens)


def grown(tokens: int) -> int:
    """Return the most that an estimate may grow to by one figure."""
    return GROWTH_MAX * tokens + STEP_TOKENS
