"""Back-off of a process that holds the lease, before it starts another producer.

A new producer costs a claim, an epoch and a read of the ledger. Where a new one does not help, since the same
transaction fails each time, the pauses grow; a promotion alone is no proof that the cause is gone.
"""

from collections.abc import Callable

FIRST_S = 0.05
MAX_S = 2.0
HELPED_AFTER_MS = 10_000
"""Use of a producer for this long counts as progress, whatever was written in it."""
REFUSALS_AT_ONCE = 16
"""Largest number of refusals in a row until a bisection has found what is refused; until then pauses stay short."""


class Backoff:
    """Exponential back-off of one lease."""

    def __init__(self, dice: Callable[[], float]) -> None:
        """`dice` draws a number in [0, 1)."""
        self._dice = dice
        self._next_s = FIRST_S
        self._refusals = 0

    def reset(self) -> None:
        """Note progress: the next pause is the first one again."""
        self._next_s, self._refusals = FIRST_S, 0

    def record_lifetime(self, stretch_ms: int) -> None:
        """Note how long a producer was of use."""
        if stretch_ms >= HELPED_AFTER_MS:
            self.reset()

    def pause_s(self, *, refused: bool = False) -> float:
        """Return the next pause, with jitter; `refused` if the next transaction will be another one."""
        if refused and self._refusals < REFUSALS_AT_ONCE:
            self._refusals += 1
            return FIRST_S * (0.5 + self._dice())
        pause_s, self._next_s = self._next_s, min(MAX_S, self._next_s * 2)
        return pause_s * (0.5 + self._dice())
