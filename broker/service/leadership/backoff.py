"""How long a process that holds the lease pauses before it starts another producer.

A new producer costs a claim, an epoch and a read of the ledger. Where one after the other is of no help, since the same
transaction fails each time, the pauses grow; a promotion alone is no proof that the cause is gone.
"""

from collections.abc import Callable

FIRST_S = 0.05
MAX_S = 2.0
HELPED_AFTER_MS = 10_000
"""A stretch that lasted so long has helped, whatever was written in it."""
REFUSALS_AT_ONCE = 16
"""After so many refusals in a row at most, a bisection has found what is refused: until then pauses stay short."""


class Backoff:
    """The pauses of one lease."""

    def __init__(self, dice: Callable[[], float]) -> None:
        """`dice` draws a number in [0, 1)."""
        self._dice = dice
        self._next_s = FIRST_S
        self._refusals = 0

    def helped(self) -> None:
        """Something came through: the next pause is the first again."""
        self._next_s, self._refusals = FIRST_S, 0

    def lasted(self, stretch_ms: int) -> None:
        """A producer was of use for so long."""
        if stretch_ms >= HELPED_AFTER_MS:
            self.helped()

    def pause_s(self, *, refused: bool = False) -> float:
        """The next pause, with jitter; `refused` if the next transaction will be another one."""
        if refused and self._refusals < REFUSALS_AT_ONCE:
            self._refusals += 1
            return FIRST_S * (0.5 + self._dice())
        pause_s, self._next_s = self._next_s, min(MAX_S, self._next_s * 2)
        return pause_s * (0.5 + self._dice())
