"""How much more a limit can surely pay, so that few calls have to ask every bucket.

What a bucket can spare shrinks only when a call is paid, or when an answer shows that less is there than believed. All
else, time and answers that agree, lets it grow. So it is reckoned once, used up call by call, and void as soon as
anything has been found out. Who it does not cover asks the buckets themselves: they may have gained meanwhile.
"""

from broker.core.units import ROUNDING_TOKENS


class HeadroomCache:
    """What the buckets of one limit can spare, by the share of them that must be left for others."""

    __slots__ = ("_calls", "_covered", "_tokens")

    def __init__(self) -> None:
        self._tokens = self._calls = 0  # paid so far
        self._covered: dict[int, tuple[int, int]] = {}  # by the share kept: as far as those two may go

    def covers(self, paid: int, keep_ppm: int) -> bool:
        """Whether one more call of so many tokens is surely payable."""
        covered = self._covered.get(keep_ppm)
        return covered is not None and self._tokens + paid + ROUNDING_TOKENS <= covered[0] and self._calls < covered[1]

    def reckon(self, keep_ppm: int, tokens: int, calls: int) -> None:
        """So much can be spared now."""
        self._covered[keep_ppm] = self._tokens + tokens, self._calls + calls

    def pay(self, paid: int) -> None:
        """A call is sent."""
        self._tokens += paid + ROUNDING_TOKENS
        self._calls += 1

    def void(self) -> None:
        """Something has been found out."""
        if self._covered:
            self._covered.clear()
