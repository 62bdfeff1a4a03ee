"""Fixed windows between marks of the clock: each begins with all of its units, whatever was used before.

Gateways and home-made limiters work like this (a counter with an expiry), and Azure with requests: "600 RPM means 10
per 1-s interval" (the facts' §3). OpenAI's help page mentions limits that are "quantized" in the same way (the facts'
§1). No recorded OpenAI header shows it, so the wait that a refusal states is inferred: until the window that can pay.

A window shorter than the limit's period is hidden; it gets its share of the limit, rounded down. A call above that
passes when nothing else is in its window, and the windows after it pay for the rest: else it could never be served.
Charges after the fact above a visible window's limit are forgotten with the window.
"""

from headrace.broker.simulator.admission import HeaderTriple


class FixedWindow:
    """A limit for each window, counted from marks that lie a window apart."""

    __slots__ = ("_ends_us", "_offered", "_quota", "_used", "_window_at_us", "limit", "period_us", "window_us")

    def __init__(self, limit: int, period_us: int, window_us: int, now_us: int, *, mark_us: int = 0) -> None:
        self.limit = limit
        self.period_us = period_us
        self.window_us = window_us
        self._quota = _quota(limit, period_us, window_us)
        self._ends_us = now_us + window_us - (now_us - mark_us) % window_us
        self._window_at_us = now_us
        self._used = 0
        self._offered = self._quota

    @property
    def visible(self) -> bool:
        """Whether headers and messages state it."""
        return self.window_us == self.period_us

    def refill(self, now_us: int) -> None:
        """Begin the window of `now_us`, if it is another one; a clock that steps back changes nothing."""
        if now_us >= self._ends_us:
            windows = (now_us - self._ends_us) // self.window_us + 1
            self._ends_us += windows * self.window_us
            self._used = 0 if self.visible else max(0, self._used - windows * self._quota)
            self._offered += windows * self._quota
        self._window_at_us = max(self._window_at_us, now_us)

    def short_by_us(self, cost: int) -> int:
        """Return the microseconds until a window can pay `cost`; 0 if this one can."""
        if self._used == 0 or self._used + cost <= self._quota:
            return 0
        if self.visible:
            return self._ends_us - self._window_at_us
        left = max(0, self._quota - cost)  # units that may be in use beside it
        windows = -(-(self._used - left) // self._quota)
        return self._ends_us - self._window_at_us + (windows - 1) * self.window_us

    def pay(self, cost: int) -> None:
        """Take `cost`."""
        if self.visible:
            self._offered += max(0, self._used + cost - max(self._used, self._quota))
        self._used += cost

    def drain(self, cost: int) -> None:
        """Take what is left, at most `cost`."""
        self._used += min(cost, self.room())

    def room(self) -> int:
        """Return the units that can be paid now."""
        return max(0, self._quota - self._used)

    def used(self) -> int:
        """Return the units in use for a message: never above the limit."""
        return min(self.limit, self._used)

    def level(self) -> HeaderTriple:
        """Return the level for headers: the rest of this window, and the time until the next one."""
        return HeaderTriple(self.limit, self.limit - self.used(), (self._ends_us - self._window_at_us) // 1_000)

    def stated_wait_ms(self, cost: int) -> int:
        """Return the sufficient wait."""
        return -(-self.short_by_us(cost) // 1_000)

    def change(self, limit: int) -> None:
        """Change the limit from now on, in this window too."""
        quota = _quota(limit, self.period_us, self.window_us)
        self._offered += max(0, quota - self._quota)
        self._quota = quota
        self.limit = limit

    def offered(self) -> int:
        """Return the units that could have been taken since its creation: all of every window begun, and those lent."""
        return self._offered if self.visible else self._offered + max(0, self._used - self._quota)


def _quota(limit: int, period_us: int, window_us: int) -> int:
    return max(1, limit * window_us // period_us)
