"""Model of a limit that two counters estimate: this window's charges, and the former's as far as it still overlaps.

Gateways and content delivery networks count so: `used = last * (1 - elapsed / period) + this`. All of our charges are
known, and so are the marks of the server's clock, to which resets count down. So the level is known as well as that of
a sliding window. As there, what is left expires, and what is reserved is lost in each period. But the former window's
charges cease to count evenly, however they were spent, so calls need not be paced.
"""

from bisect import bisect_left
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill, RefillPattern
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.others_charges import OthersInterval
from headrace.broker.core.budget.renewal_doubt import RenewalDoubt
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror

WINDOWS_KEPT: Final = 4  # the next one, in which a late call counts, this one, the former, and the one before
RECOUNTED_PARTS: Final = 2  # calls are counted again once the delay is one part in so many of what it was then
LENT_PARTS: Final = 20  # of a limit, one part in so many of its reserve is spent just before each mark


class TwoCounterSum(SlidingSum):
    """The estimate that two counters give of our payments, in place of an exact sliding sum.

    It answers the questions of a `SlidingSum`, which `SlidingWindowMirror` asks, and shares nothing else with it.

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

    def lends_at(self, amount: int, cap: int, lent: int, now_ms: int) -> int | None:
        """Return when a call may use what is `lent` of a reserve just before this window ends; None: not in this one.

        No more is lent at an instant than would flow in until then.
        """
        window = self._window(now_ms)
        ends_ms = self._mark_ms + (window + 1) * self._period_ms - self.late_ms
        last, this = self._pair(window)
        left = cap - this - amount
        if left < 0:
            return None
        return max(now_ms, ends_ms - lent * self._period_ms // cap, ends_ms - left * self._period_ms // (last + cap))

    def expires_at_most(self, span_ms: int) -> int:
        """Return what ceases to count within `span_ms` at most."""
        return max(self._counts.values(), default=0) * min(span_ms, self._period_ms) // self._period_ms

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
        self._mark_ms, self.doubt = mark_ms, RenewalDoubt()
        self._told_in_ms: int | None = None  # the time until the next mark that the last answer states
        self._spread_ms = 0  # how far the marks differ that answers show
        # whether an answer has set what others take; of a second or two, what they seem to shows another kind of window
        self._anchored = period_ms <= SHORT_MS
        super().__init__(metric, capacity, period_ms, now_ms, sends, project=project)

    def begun_ms(self, at_ms: int) -> int:
        """Return when the window of an instant began."""
        return at_ms - (at_ms - self._mark_ms) % self.period_ms

    @property
    def is_spent_evenly(self) -> bool:
        """It is: the former window's charges cease to count evenly, however they were spent."""
        return True

    @property
    def is_paced(self) -> bool:
        """Its calls are never paced."""
        return False

    def hear(self, pattern: RefillPattern | None, told_in_ms: int | None) -> None:
        """Adopt what an answer tells of the marks, and the time until the next one that it states with its level."""
        self._told_in_ms = told_in_ms
        if pattern is not None:
            self.set_mark(pattern.mark_ms, slowly=pattern.loose)
            self._spread_ms = 0 if pattern.loose else pattern.spread_ms or 0

    def set_mark(self, mark_ms: int, *, slowly: bool = False) -> None:
        """Adopt a mark that answers show; `slowly`: it is the latest, and others' calls may take longer than these."""
        off_ms = (mark_ms - self._mark_ms + self.period_ms // 2) % self.period_ms - self.period_ms // 2
        off_ms = max(-1, off_ms) if slowly else off_ms
        self._mark_ms += off_ms
        self._most.shift(off_ms)
        self._least.shift(off_ms)

    def reprice(self, sends: SentCalls) -> None:
        """Count the calls again, because every one was charged more, or less, than it paid.

        What others seemed to take may have been the difference, so the next answer sets it.
        """
        super().reprice(sends)
        self._anchored = False

    def _learn_others(self, low: int, high: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Narrow, or replace, what others have taken, for a mark that may be a little off.

        The first answer, and the first after a change of prices, contradicts nothing; it assumes others only if our own
        charges explain no such level.
        """
        slack = self._most.expires_at_most(self._spread_ms)
        if self._anchored:
            return super()._learn_others(low - slack, high + slack, order, sends)
        self._anchored, self.by_others = True, False
        self._others = self._begin_others()
        self._others.observe(low - slack, high + slack, order.sent_ms)
        return None

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return when enough of the counted charges have expired; what is reserved is lent out before each mark.

        What is left at a mark would be missing from what returns in the next window. So calls that must leave it spend
        a part of it just before the mark, and let it flow in again first.
        """
        at_ms = super().payable_at(amount, reserved, now_ms)
        if at_ms <= now_ms or not reserved:
            return at_ms
        lent, kept = min(reserved, self.capacity // LENT_PARTS), max(0, reserved - self.capacity // LENT_PARTS)
        cap = self.capacity - self._others.most(now_ms) - kept
        lends_ms = self._most.lends_at(amount + charge_rounding(self.metric), max(1, cap), lent, now_ms)
        if lends_ms is None or lends_ms >= at_ms:
            return at_ms
        return max(lends_ms, super().payable_at(amount, 0, now_ms))

    def observe(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Process an answer. A level that is old tells its age: its time until the mark is as old."""
        if order.delay_ms * RECOUNTED_PARTS <= self._counted_ms:
            since_ms = order.now_ms - 2 * self.period_ms - order.delay_ms
            if not sends.forgotten or sends.sent_ms[0] <= since_ms:
                self._recount(order.delay_ms, since_ms, sends)
        bounds = self._when_told(order, sends) if 0 < order.age_ms < self.period_ms and self.step == 1 else None
        if bounds is None:
            return super().observe(remaining, order, sends)
        self._allow_for(order.delay_ms)
        self._sent.pop(order.number, None)
        self._heard = max(self._heard, order.number)
        used = self.capacity - remaining
        return self._learn_others(used - self.step - bounds[1], used - bounds[0], order, sends)

    def _recount(self, delay_ms: int, since_ms: int, sends: SentCalls) -> None:
        """Count again what may count at most, of the calls since then.

        With a shorter delay, less was sent too late for the former window.
        """
        self._counted_ms = delay_ms
        self._most = self._long = TwoCounterSum(self.period_ms, self._mark_ms)
        self._most.late_ms = delay_ms
        amounts, rounding = sends.amounts[self.metric], charge_rounding(self.metric)
        for index in range(bisect_left(sends.sent_ms, since_ms), len(amounts)):
            self._most.pay(amounts[index] + rounding, sends.sent_ms[index])

    def _when_told(self, order: AdmissionOrder, sends: SentCalls) -> tuple[int, int] | None:
        """Return what counted, at least and at most, when the level was looked up that an answer states."""
        if self._told_in_ms is None or order.index < 0:
            return None
        period_ms, delay_ms = self.period_ms, order.delay_ms
        latest_ms = order.sent_ms + delay_ms
        left_ms = (self._mark_ms - latest_ms - 1) % period_ms + 1
        old_ms = (self._told_in_ms - left_ms) % period_ms
        if old_ms > order.age_ms + delay_ms:
            return None  # it would be older than levels may be: the mark is later than ours, or not known closely
        taken_ms = latest_ms - old_ms
        left_ms = min(self._told_in_ms, period_ms)
        begun_ms = taken_ms + left_ms - period_ms
        times_ms, amounts, rounding = sends.sent_ms, sends.amounts[self.metric], charge_rounding(self.metric)
        if sends.forgotten and times_ms[0] > begun_ms - period_ms - delay_ms:
            return None

        def sent(from_ms: int, until_ms: int) -> tuple[int, int]:
            within = amounts[bisect_left(times_ms, from_ms) : bisect_left(times_ms, max(from_ms, until_ms))]
            return sum(within), rounding * len(within)

        last, last_off = sent(begun_ms - period_ms - delay_ms, begun_ms - delay_ms)
        this, this_off = sent(begun_ms - delay_ms, taken_ms + delay_ms)
        most = this + this_off + -(-(last + last_off) * min(period_ms, left_ms + delay_ms) // period_ms)
        last, last_off = sent(begun_ms - period_ms + delay_ms, begun_ms + delay_ms)
        this, this_off = sent(begun_ms + delay_ms, taken_ms - delay_ms)
        least = this - this_off + (last - last_off) * max(0, left_ms - delay_ms) // period_ms
        return least, most

    def _begin_others(self) -> OthersInterval:
        """Begin with no charges of others: they may be negative, and so do not expire one by one (see the class)."""
        return OthersInterval()

    def _begin_sums(self) -> None:
        """Begin with sums of what counts at most, by which calls are paid, and at least."""
        self._most, self._least = (TwoCounterSum(self.period_ms, self._mark_ms) for _ in range(2))
        self._long, self._short = self._most, self._least  # by these names `SlidingWindowMirror` knows them
        self._counted_ms = DELAY_MAX_MS  # the delay that calls were counted with at most

    def _allow_for(self, delay_ms: int) -> None:
        """Let calls take so long to the server: then those sent just before a mark may count in the window after it."""
        self._most.late_ms = self._least.ahead_ms = delay_ms
        self._counted_ms = max(self._counted_ms, delay_ms)
