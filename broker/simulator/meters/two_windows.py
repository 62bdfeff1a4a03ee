"""A sliding window by two counters: this window's, and the last one's weighted by its remaining overlap.

`used = last x (window - elapsed) / window + this`: the approximation of nginx-like gateways and of CDNs. No recorded
OpenAI header shows it: inferred.
"""

from headrace.broker.simulator.admission import HeaderTriple


class TwoWindows:
    """A limit estimated from two counters; windows begin at marks of the clock."""

    visible = True
    """Whether headers and messages state it."""
    __slots__ = (
        "_elapsed_us",
        "_last",
        "_now_us",
        "_offered",
        "_since_us",
        "_starts_us",
        "_this",
        "limit",
        "period_us",
    )

    def __init__(self, limit: int, period_us: int, now_us: int, *, mark_us: int = 0) -> None:
        self.limit = limit
        self.period_us = period_us
        self._elapsed_us = (now_us - mark_us) % period_us
        self._starts_us = now_us - self._elapsed_us
        self._now_us = now_us
        self._last = 0
        self._this = 0
        self._since_us = self._starts_us + period_us  # from the first mark on, units taken at once come back
        self._offered = limit * period_us

    def refill(self, now_us: int) -> None:
        """Go on to the window of `now_us`; a clock that steps back changes nothing."""
        if now_us <= self._now_us:
            return
        self._now_us = now_us
        windows = (now_us - self._starts_us) // self.period_us
        if windows:
            self._last = self._this if windows == 1 else 0
            self._this = 0
            self._starts_us += windows * self.period_us
        self._elapsed_us = now_us - self._starts_us

    def short_by_us(self, cost: int) -> int:
        """Return the microseconds until the estimate leaves room for `cost`; 0 if it does now."""
        period_us = self.period_us
        if self._weighed() == 0 or self._weighed() + cost * period_us <= self.limit * period_us:
            return 0
        spare = self.limit - cost - self._this
        if spare >= 0:  # in this window, once the last one weighs little enough
            return period_us - spare * period_us // self._last - self._elapsed_us
        spare = max(0, self.limit - cost)  # in the next, where this one is the last
        return period_us - self._elapsed_us + max(0, period_us - spare * period_us // max(1, self._this))

    def pay(self, cost: int) -> None:
        """Take `cost`."""
        before, units = self._weighed(), self.period_us
        self._offered += max(0, before + cost * units - max(before, self.limit * units))  # lent, forgotten with age
        self._this += cost

    def drain(self, cost: int) -> None:
        """Take what is left, at most `cost`."""
        self._this += min(cost, self.room())

    def room(self) -> int:
        """Return the units that can be paid now."""
        return max(0, (self.limit * self.period_us - self._weighed()) // self.period_us)

    def used(self) -> int:
        """Return the units in use, rounded up and never above the limit."""
        return min(self.limit, -(-self._weighed() // self.period_us))

    def level(self) -> HeaderTriple:
        """Return the level for headers: what is left, and when this window ends."""
        return HeaderTriple(self.limit, self.limit - self.used(), (self.period_us - self._elapsed_us) // 1_000)

    def stated_wait_ms(self, cost: int) -> int:
        """Return the sufficient wait."""
        return -(-self.short_by_us(cost) // 1_000)

    def change(self, limit: int) -> None:
        """Change the limit from now on; counts stay."""
        self._offered = self._could_have() + max(0, limit - self.limit) * self.period_us
        self._since_us = max(self._since_us, self._now_us)
        self.limit = limit

    def offered(self) -> int:
        """Return the units on offer since its creation: all at once, and from the first mark on at the rate."""
        return self._could_have() // self.period_us

    def _could_have(self) -> int:
        return self._offered + max(0, self._now_us - self._since_us) * self.limit

    def _weighed(self) -> int:
        """Return the estimate, times the period."""
        return self._last * (self.period_us - self._elapsed_us) + self._this * self.period_us
