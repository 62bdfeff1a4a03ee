"""The throughput of a limit between two refusals: what it lets through, whatever it counts.

A bucket, or a window, is empty at both refusals, so all that was admitted between them has been given back in the time
between. This is how BBR measures a bottleneck. The more time lies between, the less one call more or less matters, and
windows of a minute need a minute. But where refusals come after a few calls each, the rate is far too high, and a
coarse figure soon is worth more than an exact one late.
"""

from collections import deque
from typing import Final, NamedTuple

from headrace.broker.core.units import PPM

EXACT_MS: Final = 60_000
COARSE_MS: Final = 10_000
LONGEST_MS: Final = 150_000
ALLOWED_PPM: Final = 970_000  # of what the rate allowed; if more was admitted, the limit was not measured

_MINUTE_MS: Final = 60_000
_MILLI: Final = 1_000


class _Mark(NamedTuple):
    """A refusal: when it was, and the sums by then."""

    at_ms: int
    busy_ms: int
    allowed: int
    admitted: int


class Throughput:
    """What is admitted at a rate, and what that rate allows.

    Attributes:
        busy_ms: The time in which calls were held back by the rate, or would have been.
        admitted: Tokens of admitted calls.
    """

    __slots__ = ("_allowed", "_marks", "admitted", "busy_ms")

    def __init__(self) -> None:
        self.busy_ms = 0
        self.admitted = 0
        self._allowed = 0  # in thousandths of a token, times the milliseconds of a minute
        self._marks: deque[_Mark] = deque()

    def accrue(self, rate: int, for_ms: int) -> None:
        """Add a time in which a rate, in thousandths of a token a minute, has held calls back."""
        self.busy_ms += for_ms
        self._allowed += rate * for_ms

    def reprice(self, ppm: int) -> None:
        """Go on with other prices: calls like those so far pay this part of what they paid."""
        self.admitted, self._allowed = self.admitted * ppm // PPM, self._allowed * ppm // PPM
        self._marks = deque(
            mark._replace(admitted=mark.admitted * ppm // PPM, allowed=mark.allowed * ppm // PPM)
            for mark in self._marks
        )

    def measure(self, now_ms: int) -> tuple[int | None, int | None]:
        """Record a refusal, and return what was let through since one `COARSE_MS` ago, and since one `EXACT_MS` ago.

        In thousandths of a token a minute; None: there was none, or all that the rate allowed was admitted: then the
        rate would be measured, and not the limit.
        """
        while len(self._marks) > 1 and self._marks[1].at_ms <= now_ms - EXACT_MS:
            self._marks.popleft()
        coarse, exact = (
            next((mark for mark in reversed(self._marks) if least_ms <= now_ms - mark.at_ms <= most_ms), None)
            for least_ms, most_ms in ((COARSE_MS, EXACT_MS), (EXACT_MS, LONGEST_MS))
        )
        found = self._since(coarse), self._since(exact)
        self._marks.append(_Mark(now_ms, self.busy_ms, self._allowed, self.admitted))
        return found

    def _since(self, mark: _Mark | None) -> int | None:
        if mark is None:
            return None
        busy_ms, admitted = self.busy_ms - mark.busy_ms, self.admitted - mark.admitted
        allowed = (self._allowed - mark.allowed) // (_MINUTE_MS * _MILLI)
        if busy_ms <= 0 or admitted * PPM >= allowed * ALLOWED_PPM:
            return None
        return admitted * _MINUTE_MS * _MILLI // busy_ms
