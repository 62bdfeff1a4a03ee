"""The operator's own cap on the tokens of a limit: never more than that in any minute, and no faster than its rate.

A sum over any 60 seconds is exact, but alone it makes bursts: a minute's tokens are spent at once, nothing is left for
an urgent request, and they return at once a minute later, again and again. So the cap is a bucket as well, which
refills at the cap's rate and holds `DEPTH_PARTS` of a minute, or what `burst_s` allows. The reserve of idle lanes is
kept in that bucket, as in any other. What flows out of it is spread, so the sum blocks nothing for longer than its own
charge takes to expire. While the sum blocks for longer, after a burst, the bucket gains nothing: otherwise the burst
would come again a minute later, and every minute after it.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.token_bucket import TokenBucket
from headrace.broker.core.units import PPM

DEPTH_PARTS: Final = 10  # the bucket holds the tenth part of a minute's tokens: the refill of six seconds
RESERVED_PARTS: Final = 2  # at most half of what it holds is reserved
LONG_PARTS: Final = 2  # the sum blocks for long if it does so for twice the time in which a charge flows in
SUM_RESERVED_PPM: Final = 5_000
"""The share of a minute's tokens that is reserved in the sum: unlike a bucket's, it is never spent by lower lanes."""


class OwnCap:
    """A cap in tokens of any minute. What is paid is counted in `charged`, which others read as well."""

    def __init__(self, cap: int, burst_ms: int | None, charged: SlidingSum, now_ms: int) -> None:
        """`burst_ms`: the operator's bound on a burst, the refill of that time; None: no bound but the bucket's own."""
        self._cap = cap
        self._charged = charged
        depth_ms = MINUTE_MS // DEPTH_PARTS
        if burst_ms is not None:
            depth_ms = max(1, min(depth_ms, burst_ms))
        depth = max(1, cap * depth_ms // MINUTE_MS)
        self._held: int | None = None  # its level when the sum began to block
        self._bucket = TokenBucket(depth, max(1, depth * MINUTE_MS // cap), depth, now_ms)

    def payable_at(self, paid: int, reserved_ppm: int, now_ms: int) -> int:
        """Return the first instant at which the cap allows `paid` tokens beside the reserved share of it."""
        at_ms = self._bucket.payable_at(paid, self._reserved(reserved_ppm), now_ms)
        allowed = self._cap - self._cap * min(reserved_ppm, SUM_RESERVED_PPM) // PPM
        sum_at_ms = self._charged.payable_at(paid, allowed, now_ms)
        if self._held is None and (sum_at_ms - now_ms) * self._cap > LONG_PARTS * paid * MINUTE_MS:
            self._held = self._bucket.level(now_ms)
        return max(at_ms, sum_at_ms)

    def pay(self, paid: int, now_ms: int) -> None:
        """Take a call's charge from the bucket."""
        if self._held is not None:
            self._bucket.set_level(min(self._held, self._bucket.level(now_ms)), now_ms)
            self._held = None
        self._bucket.pay(paid, now_ms)

    def flows_in_ms(self, tokens: int, reserved_ppm: int, now_ms: int) -> int:
        """Return how long the cap takes to let through `tokens`, of however many calls, beside the reserve."""
        missing = tokens + self._reserved(reserved_ppm) - self._bucket.level(now_ms)
        beyond = tokens + self._charged.charged(now_ms) - self._cap
        return -(-max(0, missing, beyond) * MINUTE_MS // self._cap)

    def refund(self, paid: int, now_ms: int) -> None:
        """Give back the charge of a call that cost nothing."""
        self._bucket.pay(-paid, now_ms)

    def _reserved(self, reserved_ppm: int) -> int:
        return min(self._cap * reserved_ppm // PPM, self._bucket.capacity // RESERVED_PARTS)
