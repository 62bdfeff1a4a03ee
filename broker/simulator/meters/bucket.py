"""A token bucket: what OpenAI was recorded to enforce (the facts' §0.1 and §4.2).

Levels are whole numbers of *unit x period*, so no rounding creeps in:

- It holds `limit` units, starts full and refills continuously and linearly, `limit` units a period.
- `remaining` is the level rounded down, `Used` is limit - remaining, never above the limit; "try again in" is computed
  from that whole `Used`, and every duration is cut, not rounded, to a millisecond. All of this is as recorded.
- `window_us` below `period_us` makes a hidden bucket that holds less than a period's units: documented, though no
  recorded header shows one. It lets a call above its own capacity pass when it is full, and goes into debt for it.
"""

from headrace.broker.simulator.admission import HeaderTriple


class Bucket:
    """A limit with continuous refill."""

    __slots__ = ("_at_us", "_credit", "_full", "_offered", "_since_us", "limit", "period_us", "window_us")

    def __init__(self, limit: int, period_us: int, window_us: int, now_us: int) -> None:
        self.limit = limit
        self.period_us = period_us
        self.window_us = window_us
        self._full = limit * window_us
        self._credit = self._full
        self._at_us = now_us
        self._offered = self._full
        self._since_us = now_us

    @property
    def visible(self) -> bool:
        """Whether headers and messages state it."""
        return self.window_us == self.period_us

    def refill(self, now_us: int) -> None:
        """Bring the level to `now_us`; a clock that steps back adds nothing."""
        elapsed_us = now_us - self._at_us
        if elapsed_us > 0:
            credit = self._credit + elapsed_us * self.limit
            self._credit = credit if credit < self._full else self._full
            self._at_us = now_us

    def short_by_us(self, cost: int) -> int:
        """Return the microseconds until it can pay `cost`; 0 if it can now. A cost above its capacity needs it full."""
        needed = cost * self.period_us
        if needed <= self._credit:
            return 0
        missing = min(needed, self._full) - self._credit
        return max(0, -(-missing // self.limit))

    def pay(self, cost: int) -> None:
        """Take `cost`, into debt if need be; the caller has checked `short_by_us`."""
        self._credit -= cost * self.period_us

    def drain(self, cost: int) -> None:
        """Take what is left, at most `cost`: `Used` is never above the limit."""
        self._credit = max(min(self._credit, 0), self._credit - cost * self.period_us)

    def room(self) -> int:
        """Return the whole units that can be paid now."""
        return max(0, self._credit // self.period_us)

    def used(self) -> int:
        """Return the units in use, rounded up, so that limit - used is the level rounded down."""
        used = -((self._credit - self._full) // self.period_us)
        return min(self.limit, used)

    def level(self) -> HeaderTriple:
        """Return the level for headers; a debt shows as no more than in a message."""
        limit, credit = self.limit, self._credit
        if credit <= 0:
            return HeaderTriple(limit, 0, self.window_us // 1_000)
        away = self._full - credit
        return HeaderTriple(limit, limit + (-away // self.period_us), away // (limit * 1_000))

    def stated_wait_ms(self, cost: int) -> int:
        """(Used + Requested - Limit) / Limit x period, cut to a millisecond, as in 25 of 25 recorded messages."""
        return (self.used() + cost - self.limit) * self.period_us // self.limit // 1_000

    def change(self, limit: int) -> None:
        """Change the limit from now on: units in use stay in use, but never exceed the new limit (inferred)."""
        away = self._full - self._credit
        self._offered += (self._at_us - self._since_us) * self.limit
        self._since_us = self._at_us
        full = limit * self.window_us
        self._offered += max(0, full - self._full)
        self._credit = max(full - away, min(0, self._credit))
        self._full = full
        self.limit = limit

    def offered(self) -> int:
        """Return the units that could have been taken since its creation, with those lent and not paid back yet."""
        came = self._offered + (self._at_us - self._since_us) * self.limit
        return (came - min(0, self._credit)) // self.period_us
