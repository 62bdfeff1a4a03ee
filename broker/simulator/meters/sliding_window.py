"""A sliding window: the units of the last `window_us` count, each charge until it is that old.

The exact log of a home-made or gateway's limiter (the well-known sorted set in Redis). No recorded OpenAI header shows
one: inferred. Charges and their running sum are kept in two lists, so that a query costs a bisection.
"""

from bisect import bisect_left

from headrace.broker.simulator.admission import HeaderTriple

_TIDY_AFTER = 1_024  # charges that no longer count, before the lists are cut


class SlidingWindow:
    """A limit in any window of that length."""

    visible = True
    """Whether headers and messages state it."""
    __slots__ = ("_at_us", "_first", "_gone", "_marks", "_now_us", "_offered", "_sums", "limit", "period_us")

    def __init__(self, limit: int, period_us: int, now_us: int) -> None:
        self.limit = limit
        self.period_us = period_us
        self._now_us = now_us
        self._at_us: list[int] = []
        self._sums: list[int] = []  # of all charges up to and with this one
        self._first = 0  # the oldest that counts
        self._gone = 0  # the sum of those that no longer count
        self._marks = now_us + period_us  # when a client that takes all at once can take all again
        self._offered = limit

    def refill(self, now_us: int) -> None:
        """Forget charges that are too old at `now_us`; a clock that steps back changes nothing."""
        if now_us <= self._now_us:
            return
        self._now_us = now_us
        if now_us >= self._marks:
            windows = (now_us - self._marks) // self.period_us + 1
            self._marks += windows * self.period_us
            self._offered += windows * self.limit
        first, count, dead_us = self._first, len(self._at_us), now_us - self.period_us
        while first < count and self._at_us[first] <= dead_us:
            first += 1
        if first > self._first:
            self._gone = self._sums[first - 1]
            self._first = first
            if first > _TIDY_AFTER and first * 2 > count:
                del self._at_us[:first], self._sums[:first]
                self._first = 0

    def short_by_us(self, cost: int) -> int:
        """Return the microseconds until enough charges have expired for `cost`; 0 if it can pay now."""
        used = self._all()
        if used == 0 or used + cost <= self.limit:
            return 0
        excess = min(used, used + cost - self.limit)
        place = bisect_left(self._sums, self._gone + excess, lo=self._first)
        return self._at_us[place] + self.period_us - self._now_us

    def pay(self, cost: int) -> None:
        """Take `cost`."""
        self._offered += max(0, self._all() + cost - max(self._all(), self.limit))  # lent, and forgotten with age
        total = (self._sums[-1] if self._sums else self._gone) + cost
        if self._at_us and self._at_us[-1] == self._now_us and self._first < len(self._at_us):
            self._sums[-1] = total
            return
        self._at_us.append(self._now_us)
        self._sums.append(total)

    def drain(self, cost: int) -> None:
        """Take what is left, at most `cost`."""
        taken = min(cost, self.room())
        if taken:
            self.pay(taken)

    def room(self) -> int:
        """Return the units that can be paid now."""
        return max(0, self.limit - self._all())

    def used(self) -> int:
        """Return the units in use for a message: never above the limit."""
        return min(self.limit, self._all())

    def level(self) -> HeaderTriple:
        """Return the level for headers: what is left, and when the last charge is forgotten."""
        full_us = self._at_us[-1] + self.period_us - self._now_us if self._all() else 0
        return HeaderTriple(self.limit, self.limit - self.used(), full_us // 1_000)

    def stated_wait_ms(self, cost: int) -> int:
        """Return the sufficient wait."""
        return -(-self.short_by_us(cost) // 1_000)

    def change(self, limit: int) -> None:
        """Change the limit from now on; earlier charges count as before."""
        self._offered += max(0, limit - self.limit)
        self.limit = limit

    def offered(self) -> int:
        """Return the units that could have been taken since its creation: the limit at once, and after every window."""
        return self._offered

    def _all(self) -> int:
        return (self._sums[-1] if self._sums else self._gone) - self._gone
