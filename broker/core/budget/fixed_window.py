"""Model of a limit whose count begins anew at marks of the server's clock.

Gateways and custom limiters enforce such windows. Their headers distinguish them from buckets (refill_detection.py),
and the mirror of one answers the same questions as that of a bucket (bucket_mirror.py).
"""

from bisect import bisect_left
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.renewal_doubt import FAR_PARTS, NEAR_PARTS, RenewalDoubt
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.sliding_window import FINE_MS, PROMPT_MS

UNPROVEN_PARTS: Final = 32  # one part in this many of the first new window is spent before an answer proves it new

LATE_TELL_NOTHING_MS: Final = 10_000
"""In windows up to this length answers to older calls raise no level; of longer ones they tell whether they are two
counters."""


class FixedWindowMirror:
    """A counter that begins anew at marks of the server's clock, one period apart.

    Attributes:
        step: What is left is stated in multiples of it, rounded down.
        spread_ms: For how long before its end a call may miss it; None: as long as the admission delay.
        contested_until_ms: Until when others spend in it, who would take a reserve before its lane does: none is kept.
        by_others: Others must have taken some of the window of the last answer: no delay explains what is used of it.
    """

    refill: Final = Refill.FIXED
    is_spent_evenly, has_long_delay = False, False  # see `SlidingWindowMirror`

    def __init__(  # noqa: PLR0913 — the last keyword-only
        self, metric: LimitMetric, capacity: int, period_ms: int, mark_ms: int, remaining: int, *, project: bool = False
    ) -> None:
        """`remaining` is the amount left until the mark."""
        self.metric, self.capacity, self.period_ms, self.project = metric, capacity, period_ms, project
        self.corrections, self.step, self.by_others, self.doubt = 0, 1, False, RenewalDoubt()
        self._mark_ms = mark_ms
        self.spread_ms: int | None = None
        self.contested_until_ms = 0
        self._begun_ms = mark_ms - period_ms  # calls sent since then are counted in this window
        self._low = self._high = remaining
        self._recent = SlidingSum(DELAY_MAX_MS, FINE_MS)  # calls that may be counted on either side of the mark
        self._anchored = True  # otherwise the next answer sets what is left, and contradicts nothing
        self._set_by = -1  # the newest call of this window whose answer has contradicted what was believed
        self._proven = False  # an answer has shown that it began anew
        self._renewed = False
        self._first_mark_ms, self._left = mark_ms, remaining  # which it has passed first, and what was left then
        self._allowance = capacity  # spendable in the first new window until an answer shows that it is new
        self._tried = False  # a call, of whatever size, has been sent in the new window

    @property
    def on_trial(self) -> bool:
        """Whether its first mark has passed, and no answer has shown yet that it began anew there."""
        return self._renewed and not self._proven

    def low(self, now_ms: int) -> int:
        """Return the amount that is certainly left."""
        self._renew(now_ms)
        return min(self._low, self._allowance) if self.on_trial and self._tried else self._low

    def high(self, now_ms: int) -> int:
        """Return the greatest possible amount left."""
        self._renew(now_ms)
        return self._high

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return now, or when the window ends; for a call that only a reserve holds back, `PROMPT_MS` before that."""
        low, paid = self.low(now_ms), amount + charge_rounding(self.metric)
        if min(paid if now_ms < self.contested_until_ms else paid + reserved, self.capacity) <= low:
            return now_ms
        if self.spread_ms is None or min(paid, self.capacity) > low:
            return self._mark_ms
        return max(now_ms, self._mark_ms - self.spread_ms - PROMPT_MS)

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`."""
        self._renew(now_ms)
        self._low -= amount + charge_rounding(self.metric)
        self._tried = True
        self._allowance -= amount + charge_rounding(self.metric)
        self._high -= max(0, amount - charge_rounding(self.metric))
        self._recent.pay(amount + charge_rounding(self.metric), now_ms)

    def refund(self, amount: int, number: int, now_ms: int) -> None:
        """Give back call `number`, which the server refused and did not charge, to the upper end.

        If a mark has passed meanwhile, that has given it back already.
        """
        self._renew(now_ms)
        self._high = min(self.capacity, self._high + max(0, amount - charge_rounding(self.metric)))

    def reprice(self, sends: SentCalls) -> None:
        """Let the next answer set what is left, because every call was charged more, or less, than it paid."""
        self._anchored = False

    def adopt_capacity(self, capacity: int, number: int, now_ms: int) -> bool:
        """Adopt the capacity that an answer states; a window that began meanwhile began with the former one."""
        self._renew(now_ms)
        self.capacity = capacity
        return True

    def set_end(self, mark_ms: int, now_ms: int, spread_ms: int | None = None) -> None:
        """Adopt the end of this window that an answer states, and how long before it a call may miss it."""
        self._renew(now_ms)
        self.spread_ms = spread_ms
        if now_ms < mark_ms:
            is_last = self._renewed and mark_ms - self._begun_ms < self.period_ms // 2  # told later than it was
            self._mark_ms = mark_ms + self.period_ms if is_last else mark_ms

    def begun_ms(self, at_ms: int) -> int:
        """Return when the window of an instant began, at the latest."""
        return self._begun_ms + (at_ms - self._begun_ms) // self.period_ms * self.period_ms

    def take_as_proven(self) -> None:
        """Spend each new window though no answer has shown one."""
        self._proven = True

    def observe(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Process an answer: `remaining` was left when its call was admitted. Return the result of Mirror.observe."""
        self._renew(order.now_ms)
        if self.spread_ms is not None and self.spread_ms < order.delay_ms:
            order = sends.admission_order(order.number, order.sent_ms, order.now_ms, self.spread_ms, order.age_ms)
        self._recent.span_ms = order.delay_ms
        index, first, last = order.index, order.first, order.last
        self.by_others = self._has_others(remaining, order, sends)
        if index < 0:
            return None
        if order.sent_ms < self._begun_ms:
            return self._prove(remaining, order, sends) if self.on_trial else self._compare(remaining, order, sends)
        if order.sent_ms - order.age_ms < self._begun_ms:  # what is stated may be of a former window
            return self._prove(remaining, order, sends) if self.on_trial else None
        amounts = sends.amounts[self.metric]
        rounding = charge_rounding(self.metric)
        own = 0 if order.age_ms else amounts[index]
        low = remaining - sum(amounts[first:]) + own - rounding * (len(amounts) - first - 1)
        high = remaining + self.step - sum(amounts[last:]) + rounding * (len(amounts) - last)
        if not self._anchored:
            self._anchored, self._set_by, self._low, self._high = True, order.number, low, high
            return None
        if order.number < self._set_by and self.period_ms <= LATE_TELL_NOTHING_MS:
            # others have taken since then what it knows of beyond that
            if low > self._high:
                return None
            low = min(low, self._low)
        error = low - self._high if low > self._high else min(0, high - self._low)
        self.by_others |= -error > sends.counted_late(self.metric, order, self.period_ms)
        if error:
            self._set_by = max(self._set_by, order.number)
            near = abs(error) * FAR_PARTS <= self.capacity  # others may have taken that of a window that began anew
            self._proven = self._proven or (self._renewed and near and remaining > self._left + self.step)
            self.corrections += 1
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)
            self._proven = self._proven or self._renewed
        return error

    def _prove(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Judge by a call of a window that is over whether that had begun anew: answers may take longer than windows.

        Return by how much less was left than in a window that had.
        """
        since_ms = order.sent_ms - self._first_mark_ms
        if since_ms < 0:
            return None
        amounts, rounding = sends.amounts[self.metric], charge_rounding(self.metric)
        first_mark = bisect_left(sends.sent_ms, self._first_mark_ms)
        if since_ms < order.age_ms:  # or else it is of the window before, and more had been left then
            former = amounts[order.first : first_mark]
            self._proven = remaining > self._left + sum(former) + rounding * len(former)
            return None
        low = self._least_left(order, order.sent_ms - since_ms % self.period_ms, sends)
        if (low - remaining) * FAR_PARTS <= self.capacity:
            former = amounts[first_mark : order.first if order.age_ms else order.index + 1]
            self._proven = remaining > self._left + 1 - sum(former) + rounding * len(former)
        return remaining - low if remaining < low else None

    def _compare(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Return by how much the answer to a call of a former window contradicts what was sent in it.

        Such a call may have been counted in the window after its own. None: the marks are not known well enough.
        """
        sent_ms, last_ms = order.sent_ms, order.sent_ms + order.delay_ms
        if self.spread_ms is None or sent_ms - order.age_ms < self._first_mark_ms:
            return None
        begun_ms = sent_ms - (sent_ms - self._begun_ms) % self.period_ms
        low = self._least_left(order, begun_ms, sends)
        if order.age_ms:
            return min(0, remaining - low)
        times_ms, amounts, rounding = sends.sent_ms, sends.amounts[self.metric], charge_rounding(self.metric)
        least = [amounts[order.index]]
        if last_ms < begun_ms + self.period_ms:
            least += amounts[bisect_left(times_ms, begun_ms) : order.first]
        high = self.capacity + self.step - 1 - sum(least) + rounding * len(least)
        return remaining - low if remaining < low else max(0, remaining - high)

    def _has_others(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> bool:
        """Return whether much more of the window of a call was used than all calls may have taken that we had sent."""
        if self.spread_ms is None or order.age_ms or order.index < 0:
            return False
        begun_ms = order.sent_ms - (order.sent_ms - self._begun_ms) % self.period_ms
        first = bisect_left(sends.sent_ms, begun_ms - order.delay_ms)
        if sends.forgotten and not first:
            return False
        ours = sends.amounts[self.metric][first : order.last]
        used = self.capacity - remaining - self.step
        return (used - sum(ours) - charge_rounding(self.metric) * len(ours)) * NEAR_PARTS > self.capacity

    def _least_left(self, order: AdmissionOrder, begun_ms: int, sends: SentCalls) -> int:
        """Return the least that was left in the window of a call, which began then, or in a former one.

        That is in any of those that what the answer states may be of.
        """
        times_ms, amounts, rounding = sends.sent_ms, sends.amounts[self.metric], charge_rounding(self.metric)
        most, last = 0, order.last
        while True:
            counted = amounts[bisect_left(times_ms, begun_ms - order.delay_ms) : last]
            most = max(most, sum(counted) + rounding * len(counted))
            if begun_ms <= order.sent_ms - order.age_ms:
                return self.capacity - most
            last = bisect_left(times_ms, begun_ms)
            begun_ms -= self.period_ms

    def _renew(self, now_ms: int) -> None:
        if now_ms >= self._mark_ms:
            if not self._renewed:
                self._first_mark_ms, self._left = self._mark_ms, self._high
            windows = (now_ms - self._mark_ms) // self.period_ms
            self._begun_ms = self._mark_ms + windows * self.period_ms
            self._mark_ms = self._begun_ms + self.period_ms
            self._renewed, self._tried, self._set_by = True, False, -1
            self._allowance = self.capacity // UNPROVEN_PARTS
            self._high = self.capacity
            self._low = self.capacity - self._recent.charged(self._begun_ms)
