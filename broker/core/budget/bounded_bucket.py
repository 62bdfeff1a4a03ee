"""An interval in which the level of a bucket lies, in exact integers: both of its ends refill continuously.

Tokens are kept scaled by the period, as in bucket.py: with `units = tokens * period_ms`, one millisecond refills
exactly `capacity` units. Either end may go below zero, by as much as a full bucket, and neither above the capacity: a
deeper debt is an error of ours or of the server's, and would be waited for without a bound. Time that runs backwards
stands still.
"""


class BoundedTokenBucket:
    """The least and the most that is there of one bucket.

    Attributes:
        capacity: What the bucket holds when full.
        period_ms: How long it takes to fill.
        at_ms: The last instant that it was asked about.
        low: The lower end in units, as of then.
        high: The upper end, likewise.
    """

    __slots__ = ("_full", "at_ms", "capacity", "high", "low", "period_ms")

    def __init__(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """A full bucket."""
        assert capacity > 0, "a bucket that holds nothing never pays"
        assert period_ms > 0, "a bucket refills in some time"
        self.capacity = capacity
        self.period_ms = period_ms
        self.at_ms = now_ms
        self.low = self.high = self._full = capacity * period_ms

    def refill(self, now_ms: int) -> None:
        """Both ends are those of `now_ms` from now on."""
        if now_ms > self.at_ms:
            gain, full = (now_ms - self.at_ms) * self.capacity, self._full
            self.at_ms = now_ms
            low, high = self.low + gain, self.high + gain
            self.low = low if low < full else full
            self.high = high if high < full else full

    def set(self, low: int, high: int) -> None:
        """Believe other ends from the last instant on, in units."""
        full = self._full
        self.low = -full if low < -full else low if low < full else full
        self.high = -full if high < -full else high if high < full else full

    def narrow(self, least: int, most: int) -> None:
        """Believe no less than `least` and no more than `most`, in units; they leave something of the interval."""
        if least > self.low:
            self.low = least
        if most < self.high:
            self.high = most

    def pay(self, most: int, least: int, now_ms: int) -> None:
        """Take between so many tokens and so many, into debt if need be."""
        if now_ms > self.at_ms:
            self.refill(now_ms)
        low, high, deepest = self.low - most * self.period_ms, self.high - least * self.period_ms, -self._full
        self.low = low if low > deepest else deepest
        self.high = high if high > deepest else deepest

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """The first whole millisecond, `now_ms` or later, at which the lower end keeps `keep` after paying `amount`.

        An amount above `capacity - keep` may use what is kept, and one above the capacity go into debt, once the
        bucket is full: otherwise they would wait for ever.
        """
        if now_ms > self.at_ms:
            self.refill(now_ms)
        needed = amount + keep
        missing = (needed if needed < self.capacity else self.capacity) * self.period_ms - self.low
        if missing <= 0 and self.at_ms == now_ms:
            return now_ms
        return max(now_ms, self.at_ms - (-missing // self.capacity))

    def resize(self, capacity: int, now_ms: int) -> None:
        """Another limit from now on; the whole tokens that are there stay, as far as they fit."""
        self.refill(now_ms)
        self.capacity, self._full = capacity, capacity * self.period_ms
        self.set(self.low - self.low % self.period_ms, self.high - self.high % self.period_ms)
