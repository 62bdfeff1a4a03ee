"""One bucket that refills continuously, in exact integers.

Tokens are kept scaled by the period: with `units = tokens * period_ms`, one millisecond refills exactly `capacity`
units, so no rate is ever rounded and a year of refills drifts by nothing. The level may go below zero: what has been
spent is spent. But it goes no deeper than a full bucket is high: more than that can only be an error, and would be
waited for without a bound. It never goes above the capacity. Time that runs backwards stands still.
"""


class TokenBucket:
    """A level between `-capacity` and `capacity` that refills by `capacity` every `period_ms`."""

    __slots__ = ("_at_ms", "_units", "capacity", "period_ms")

    def __init__(self, capacity: int, period_ms: int, level: int, now_ms: int) -> None:
        assert capacity > 0, "a bucket that holds nothing never pays"
        assert period_ms > 0, "a bucket refills in some time"
        self.capacity = capacity
        self.period_ms = period_ms
        self._at_ms = now_ms
        self._units = max(-capacity, min(level, capacity)) * period_ms

    def level(self, now_ms: int) -> int:
        """Whole tokens in the bucket, rounded down."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        return self._units // self.period_ms

    def pay(self, amount: int, now_ms: int) -> int:
        """Take `amount`, into debt if need be; a negative amount gives back. Returns the level afterwards."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        units, full = self._units - amount * self.period_ms, self.capacity * self.period_ms
        self._units = full if units > full else units if units > -full else -full
        return self._units // self.period_ms

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """The first whole millisecond, `now_ms` or later, at which `keep` is left after paying `amount`.

        An amount above `capacity - keep` may use what is kept, and one above the capacity go into debt, once the
        bucket is full: otherwise they would wait for ever.
        """
        if now_ms > self._at_ms:
            self._refill(now_ms)
        missing = min(amount + keep, self.capacity) * self.period_ms - self._units
        if missing <= 0 and self._at_ms == now_ms:
            return now_ms
        return max(now_ms, self._at_ms - (-missing // self.capacity))

    def set_level(self, level: int, now_ms: int) -> None:
        """Believe another level from now on."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        self._units = max(-self.capacity, min(level, self.capacity)) * self.period_ms

    def resize(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """Another limit from now on; the tokens that are there stay, as far as they fit."""
        level = self.level(now_ms)
        self.capacity = capacity
        self.period_ms = period_ms
        self._units = max(-capacity, min(level, capacity)) * period_ms

    def _refill(self, now_ms: int) -> None:
        full = self.capacity * self.period_ms
        self._units = min(self._units + (now_ms - self._at_ms) * self.capacity, full)
        self._at_ms = now_ms
