"""The pace of a rate: tokens are spent evenly, with a few hundredths of a second of leeway.

A call is paid for before it is sent: it waits until the time that it takes has passed since everything before was paid.
So a large call of a lower lane delays no small one of a higher lane; that takes a part of what has been saved for the
large one, and no more. What is not spent in idle time is lost. A rate is in thousandths of a token a minute.
"""

from typing import Final

from headrace.broker.core.units import PPM

AHEAD_MS: Final = 60_000  # a call that takes longer at the pace is paid for afterwards, and so is the first one
LEEWAY_US: Final = 60_000  # how far ahead of the pace a call may go; a call of the first lane twice as far
DEBT_PPM: Final = 2_500_000  # of the largest recent call: what is sent further ahead of the pace does not follow it
KEPT_MS: Final = 1_000  # a call that is not asked about again so long after its time has been withdrawn

_US: Final = 1_000
_MINUTE_US: Final = 60_000_000


class Pace:
    """What has been sent at a rate, and until when that is paid for."""

    __slots__ = ("_paid_us", "_saved_for", "_saved_until_ms")

    def __init__(self, now_ms: int) -> None:
        """Begin with a call of any size."""
        self._paid_us = (now_ms - AHEAD_MS) * _US
        self._saved_for = 0  # tokens of the largest call that is held back
        self._saved_until_ms = now_ms

    def reprice(self, ppm: int) -> None:
        """Go on with other prices: calls pay this part of what they paid."""
        self._saved_for = self._saved_for * ppm // PPM

    def due_ms(self, tokens: int, rate: int, *, first: bool) -> int:
        """Return when a call may be sent, which may have passed; `first`: a call of the first lane that waits."""
        needs_us = min(takes_us(tokens, rate), AHEAD_MS * _US)
        return -(-(self._paid_us + needs_us - (2 if first else 1) * LEEWAY_US) // _US)

    def save_for(self, tokens: int, due_ms: int, now_ms: int) -> None:
        """Record that a call is held back until then: smaller ones before it leave what has been saved for it."""
        if tokens >= self._saved_for or now_ms > self._saved_until_ms:
            self._saved_for, self._saved_until_ms = tokens, due_ms + KEPT_MS

    def pay(self, tokens: int, rate: int, now_ms: int, *, largest: int) -> None:
        """Pay for a call that is sent now; `largest`: the tokens of the largest recent one.

        While the mirrors are followed, and not the rate, the pace must not fall behind without bound.
        """
        now_us = now_ms * _US
        if self._paid_us > now_us + 2 * LEEWAY_US:
            debt_us = 2 * LEEWAY_US + takes_us(largest * DEBT_PPM // PPM, rate)
            self._paid_us = min(self._paid_us, now_us + debt_us)
        saved_for = self._saved_for if now_ms <= self._saved_until_ms else 0
        saved_us = takes_us(max(tokens, saved_for), rate) + LEEWAY_US
        self._paid_us = max(self._paid_us, now_us - saved_us) + takes_us(tokens, rate)
        if tokens >= saved_for:
            self._saved_for = 0

    def give_back(self, tokens: int, rate: int, now_ms: int) -> None:
        """Give back what a refused call had paid; what was saved before is lost."""
        self._paid_us = max(now_ms * _US, self._paid_us - takes_us(tokens, rate))

    def leave_out(self, tokens: int, rate: int, now_ms: int) -> None:
        """Leave out the time of so many tokens, so that the server saves them."""
        self._paid_us = max(self._paid_us, now_ms * _US) + takes_us(tokens, rate)


def takes_us(tokens: int, rate: int) -> int:
    """Return the microseconds in which a rate gives so many tokens."""
    return tokens * 1_000 * _MINUTE_US // rate
