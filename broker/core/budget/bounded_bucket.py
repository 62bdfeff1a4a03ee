"""Interval that contains the level of one bucket, in exact integers; both of its ends refill continuously.

Tokens are kept scaled by the period, as in token_bucket.py: with `units = tokens * period_ms`, one millisecond refills
exactly `capacity` units. Either end may fall below zero by at most a full bucket, and neither rises above the capacity:
a deeper debt is an error of ours or of the server's, and would cause an unbounded wait. A clock that runs backwards
counts as standing still.
"""


class BoundedTokenBucket:
    """Lower and upper bound of one bucket's level.

    Attributes:
        capacity: The level of a full bucket.
        period_ms: The time an empty bucket takes to fill.
        at_ms: The instant up to which it has been refilled.
        low: The lower end in units, as of `at_ms`.
        high: The upper end in units, as of `at_ms`.
    """

    __slots__ = ("_full", "at_ms", "capacity", "high", "low", "period_ms")

    def __init__(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """Create a full bucket."""
        assert capacity > 0, "a bucket that holds nothing never pays"
        assert period_ms > 0, "a bucket refills in some time"
        self.capacity = capacity
        self.period_ms = period_ms
        self.at_ms = now_ms
        self.low = self.high = self._full = capacity * period_ms

    def refill(self, now_ms: int) -> None:
        """Advance both ends to `now_ms`."""
        if now_ms > self.at_ms:
            gain, full = (now_ms - self.at_ms) * self.capacity, self._full
            self.at_ms = now_ms
            low, high = self.low + gain, self.high + gain
            self.low = low if low < full else full
            self.high = high if high < full else full

    def set(self, low: int, high: int) -> None:
        """Replace both ends, in units, as of `at_ms`."""
        full = self._full
        self.low = -full if low < -full else low if low < full else full
        self.high = -full if high < -full else high if high < full else full

    def narrow(self, least: int, most: int) -> None:
        """Raise the lower end to `least` and lower the upper end to `most`, in units.

        The two must leave a non-empty interval.
        """
        if least > self.low:
            self.low = least
        if most < self.high:
            self.high = most

    def pay(self, most: int, least: int, now_ms: int) -> None:
        """Take `most` tokens from the lower end and `least` from the upper one, into debt if necessary."""
        if now_ms > self.at_ms:
            self.refill(now_ms)
        low, high, deepest = self.low - most * self.period_ms, self.high - least * self.period_ms, -self._full
        self.low = low if low > deepest else deepest
        self.high = high if high > deepest else deepest

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return the first instant from `now_ms` on at which the lower end holds `reserved` after paying `amount`.

        The instant is a whole millisecond. An amount above `capacity - reserved` may use the reserve, and one above the
        capacity may go into debt, once the bucket is full: otherwise it would wait for ever.
        """
        if now_ms > self.at_ms:
            self.refill(now_ms)
        needed = amount + reserved
        missing = (needed if needed < self.capacity else self.capacity) * self.period_ms - self.low
        if missing <= 0 and self.at_ms == now_ms:
            return now_ms
        return max(now_ms, self.at_ms - (-missing // self.capacity))

    def resize(self, capacity: int, now_ms: int) -> None:
        """Change the capacity; the whole tokens in the bucket stay, as far as they fit."""
        self.refill(now_ms)
        self.capacity, self._full = capacity, capacity * self.period_ms
        self.set(self.low - self.low % self.period_ms, self.high - self.high % self.period_ms)
