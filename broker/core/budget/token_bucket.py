"""Token bucket that refills continuously, in exact integers.

Tokens are kept scaled by the period: with `units = tokens * period_ms`, one millisecond refills exactly `capacity`
units, so no rate is ever rounded and a year of refills does not drift. The level may fall below zero: spent tokens are
spent. But it falls no deeper than one full bucket: a deeper debt can only be an error, and would cause an unbounded
wait. It never rises above the capacity. A clock that runs backwards counts as standing still.
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
        """Return the whole tokens in the bucket, rounded down."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        return self._units // self.period_ms

    def pay(self, amount: int, now_ms: int) -> int:
        """Take `amount`, into debt if necessary; a negative amount gives back. Return the level afterwards."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        units, full = self._units - amount * self.period_ms, self.capacity * self.period_ms
        self._units = full if units > full else units if units > -full else -full
        return self._units // self.period_ms

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return the first instant, `now_ms` or later, at which `reserved` is left after paying `amount`.

        The instant is a whole millisecond. An amount above `capacity - reserved` may use the reserve, and one above the
        capacity may go into debt, once the bucket is full: otherwise it would wait for ever.
        """
        if now_ms > self._at_ms:
            self._refill(now_ms)
        missing = min(amount + reserved, self.capacity) * self.period_ms - self._units
        if missing <= 0 and self._at_ms == now_ms:
            return now_ms
        return max(now_ms, self._at_ms - (-missing // self.capacity))

    def set_level(self, level: int, now_ms: int) -> None:
        """Replace the level from now on."""
        if now_ms > self._at_ms:
            self._refill(now_ms)
        self._units = max(-self.capacity, min(level, self.capacity)) * self.period_ms

    def resize(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """Change capacity and period; the tokens in the bucket stay, as far as they fit."""
        level = self.level(now_ms)
        self.capacity = capacity
        self.period_ms = period_ms
        self._units = max(-capacity, min(level, capacity)) * period_ms

    def _refill(self, now_ms: int) -> None:
        full = self.capacity * self.period_ms
        self._units = min(self._units + (now_ms - self._at_ms) * self.capacity, full)
        self._at_ms = now_ms
