"""Cached amount that a limit can certainly still pay, so that few calls have to query every bucket.

The tokens that a bucket can spare shrink only when a call is paid, or when an answer shows that less is left than
believed. Everything else (time, answers that agree) lets them grow. So the amount is computed once, used up call by
call, and void as soon as an answer changes a belief. A call that it does not cover queries the buckets themselves: they
may have refilled meanwhile.
"""

from headrace.broker.core.units import ROUNDING_TOKENS


class HeadroomCache:
    """Tokens and calls that the buckets of one limit can spare, by the share of them that is reserved for others."""

    __slots__ = ("_calls", "_covered", "_tokens")

    def __init__(self) -> None:
        self._tokens = self._calls = 0  # paid so far
        self._covered: dict[int, tuple[int, int]] = {}  # by reserved share: limits of the two sums above

    def covers(self, paid: int, reserved_ppm: int) -> bool:
        """Return whether one more call of `paid` tokens is certainly payable."""
        covered = self._covered.get(reserved_ppm)
        return covered is not None and self._tokens + paid + ROUNDING_TOKENS <= covered[0] and self._calls < covered[1]

    def store(self, reserved_ppm: int, tokens: int, calls: int) -> None:
        """Store the tokens and calls that can be spared now."""
        self._covered[reserved_ppm] = self._tokens + tokens, self._calls + calls

    def pay(self, paid: int) -> None:
        """Count a call being sent."""
        self._tokens += paid + ROUNDING_TOKENS
        self._calls += 1

    def clear(self) -> None:
        """Drop all cached amounts, because an answer has changed a belief."""
        if self._covered:
            self._covered.clear()
