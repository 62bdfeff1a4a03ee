"""Model of a limit that two counters estimate: this window's charges, and the former's as far as it still overlaps.

Gateways and content delivery networks count so: `used = last * (1 - elapsed / period) + this`. All of our charges are
known, and so are the marks of the server's clock, to which resets count down. So the level is known as well as that of
a sliding window. As there, what is left expires, and what is reserved is lost in each period. But the former window's
charges cease to count evenly, however they were spent, so calls need not be paced.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.others_charges import OthersInterval
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.window_mirrors import SlidingWindowMirror

WINDOWS_KEPT: Final = 4  # the next one, in which a late call counts, this one, the former, and the one before


class TwoCounterSum(SlidingSum):
    """The estimate that two counters give of our payments, in place of an exact sliding sum.

    Attributes:
        late_ms: A payment is taken to be counted so much later than it was made: perhaps in the window after its own.
        ahead_ms: The estimate is that of an instant so much later than asked for.
    """

    def __init__(self, period_ms: int, mark_ms: int) -> None:
        super().__init__(period_ms)
        self.late_ms = self.ahead_ms = 0
        self._period_ms, self._mark_ms = period_ms, mark_ms
        self._counts: dict[int, int] = {}  # by number of the window

    def shift(self, by_ms: int) -> None:
        """Move the marks."""
        self._mark_ms += by_ms

    def charged(self, now_ms: int) -> int:
        """Return the estimate, rounded up."""
        window, into_ms = divmod(now_ms + self.ahead_ms - self._mark_ms, self._period_ms)
        last, this = self._pair(window)
        return this - (-last * (self._period_ms - into_ms) // self._period_ms)

    def _pair(self, window: int) -> tuple[int, int]:
        counts = self._counts
        return counts.get(window - 1, 0), counts.get(window, 0) + counts.get(window + 1, 0)

    def pay(self, amount: int, now_ms: int) -> None:
        """Add a payment."""
        window = self._window(now_ms)
        if window not in self._counts and len(self._counts) >= WINDOWS_KEPT:
            del self._counts[min(self._counts)]
        self._counts[window] = self._counts.get(window, 0) + amount

    def refund(self, amount: int, paid_ms: int) -> None:
        """Take back a payment made at `paid_ms`."""
        window = self._window(paid_ms)
        if window in self._counts:
            self._counts[window] = max(0, self._counts[window] - amount)

    def share(self, amount: int, paid_ms: int, now_ms: int) -> int:
        """Return what of a payment counts at `now_ms`."""
        window, into_ms = divmod(now_ms + self.ahead_ms - self._mark_ms, self._period_ms)
        paid = self._window(paid_ms)
        if paid < window:
            return amount * (self._period_ms - into_ms) // self._period_ms if paid == window - 1 else 0
        return amount

    def payable_at(self, amount: int, cap: int, now_ms: int) -> int:
        """Return the first instant at which `amount` more stays within `cap`; a larger one waits for an empty sum."""
        allowed = cap - min(amount, cap)
        window = (now_ms - self._mark_ms) // self._period_ms
        while self._pair(window)[1] > allowed:  # what counts in this window is weighed in the next only
            window += 1
        last, this = self._pair(window)
        free_ms = self._period_ms - (allowed - this) * self._period_ms // last if last else 0
        return max(now_ms, self._mark_ms + window * self._period_ms + max(0, free_ms))

    def _window(self, at_ms: int) -> int:
        return (at_ms + self.late_ms - self._mark_ms) // self._period_ms


class TwoCounterMirror(SlidingWindowMirror):
    """A limit that two counters estimate.

    If the server counts less than our charges, these are priced too high: no call is late by as much as a window. It
    will count less of the next ones too. So others may seem to have given tokens.
    """

    refill = Refill.TWO

    def __init__(  # noqa: PLR0913 — the last keyword-only
        self,
        metric: LimitMetric,
        capacity: int,
        period_ms: int,
        now_ms: int,
        sends: SentCalls,
        *,
        mark_ms: int,
        project: bool = False,
    ) -> None:
        """A window begins for calls sent at `mark_ms`, and each period before and after it."""
        self._mark_ms = mark_ms
        super().__init__(metric, capacity, period_ms, now_ms, sends, project=project)

    @property
    def is_spent_evenly(self) -> bool:
        """It is: the former window's charges cease to count evenly, however they were spent."""
        return True

    @property
    def is_paced(self) -> bool:
        """Its calls are never paced."""
        return False

    def set_mark(self, mark_ms: int) -> None:
        """Adopt a mark that an answer shows: at once if it is later, as others' calls took longer, else slowly."""
        off_ms = (mark_ms - self._mark_ms + self.period_ms // 2) % self.period_ms - self.period_ms // 2
        off_ms = max(-1, off_ms)
        self._mark_ms += off_ms
        self._most.shift(off_ms)
        self._least.shift(off_ms)

    def _begin_others(self) -> OthersInterval:
        """Begin with no charges of others."""
        return OthersInterval()

    def _begin_sums(self) -> None:
        """Begin with sums of what counts at most, by which calls are paid, and at least."""
        self._most, self._least = (TwoCounterSum(self.period_ms, self._mark_ms) for _ in range(2))
        self._long, self._short = self._most, self._least

    def _allow_for(self, delay_ms: int) -> None:
        """Let calls take so long to the server: then those sent just before a mark may count in the window after it."""
        self._most.late_ms = self._least.ahead_ms = delay_ms
