"""Models of limits that do not refill continuously: counters that begin anew, and charges that expire.

Gateways and custom limiters enforce these. Their headers distinguish them from buckets (refill_detection.py), and a
mirror of one answers the same questions as that of a bucket (bucket_mirror.py): what is certainly left, when can it
pay, what does an answer correct.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.others_charges import OthersCharges, OthersInterval
from headrace.broker.core.budget.renewal_doubt import FAR_PARTS, RenewalDoubt
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_sum import SLOT_MS, SlidingSum
from headrace.broker.core.units import ROUNDING_TOKENS

UNPROVEN_PARTS: Final = 32  # one part in this many of the first new window is spent before an answer proves it new
FINE_PERIOD_MS: Final = 10_000  # in a longer sliding window, calls within `SLOT_MS` are counted together
FINE_PARTS: Final = 500  # in a shorter one, those within one part in so many of it, and within `FINE_MS` at most
FINE_MS: Final = 10
PROMPT_MS: Final = 500  # what ceases to count within this time counts as reserved: an urgent call may wait so long
SPREAD_MAX_MS: Final = 10_000  # a longer sliding window is spent at once: its calls would wait for minutes otherwise
SPREAD_PARTS: Final = 4  # beyond its rate, what is left in a window is spent over one part in so many of its length
LEEWAY_MS: Final = 60  # by which calls may be ahead of the pace after a pause, as at a measured rate
LONG_DELAY_PARTS: Final = 16  # a delay of more than one part in so many of a window leaves much of it unused
REMEMBERED_MAX: Final = 8_192  # calls whose answers may still come
CORRECTIONS_MAX: Final = 1_024  # an answer tells nothing if more calls have proved mispriced since its own was sent


class FixedWindowMirror:
    """A counter that begins anew at marks of the server's clock, one period apart.

    Attributes:
        step: What is left is stated in multiples of it, rounded down.
        spread_ms: For how long before its end a call may miss it; None: as long as the admission delay.
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
        self._begun_ms = mark_ms - period_ms  # calls sent since then are counted in this window
        self._low = self._high = remaining
        self._recent = SlidingSum(
            DELAY_MAX_MS, FINE_MS
        )  # recent calls, which may be counted on either side of the mark
        self._anchored = True
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
        low, paid = self.low(now_ms), amount + _rounding(self.metric)
        if min(paid + reserved, self.capacity) <= low:
            return now_ms
        if self.spread_ms is None or min(paid, self.capacity) > low:
            return self._mark_ms
        return max(now_ms, self._mark_ms - self.spread_ms - PROMPT_MS)

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`."""
        self._renew(now_ms)
        self._low -= amount + _rounding(self.metric)
        self._tried = True
        self._allowance -= amount + _rounding(self.metric)
        self._high -= max(0, amount - _rounding(self.metric))
        self._recent.pay(amount + _rounding(self.metric), now_ms)

    def refund(self, amount: int, number: int, now_ms: int) -> None:
        """Give back call `number`, which the server refused and did not charge, to the upper end.

        If a mark has passed meanwhile, that has given it back already.
        """
        self._renew(now_ms)
        self._high = min(self.capacity, self._high + max(0, amount - _rounding(self.metric)))

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
            self._mark_ms = mark_ms

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
            order = sends.admission_order(order.number, order.sent_ms, order.now_ms, self.spread_ms)
        self._recent.span_ms = order.delay_ms
        index, first, last = order.index, order.first, order.last
        if index < 0:
            return None
        if order.sent_ms < self._begun_ms:
            return self._prove(remaining, order, sends) if self.on_trial else self._compare(remaining, order, sends)
        if order.sent_ms - order.age_ms < self._begun_ms and not self.on_trial:
            return None  # what is stated may be of the former window
        amounts = sends.amounts[self.metric]
        rounding = _rounding(self.metric)
        own = 0 if order.age_ms else amounts[index]
        low = remaining - sum(amounts[first:]) + own - rounding * (len(amounts) - first - 1)
        high = remaining + self.step - sum(amounts[last:]) + rounding * (len(amounts) - last)
        if not self._anchored:
            self._anchored, self._low, self._high = True, low, high
            return None
        error = low - self._high if low > self._high else min(0, high - self._low)
        self.by_others = -error > sends.counted_late(self.metric, order, self.period_ms, DELAY_MAX_MS)
        if error:
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
        begun_ms = order.sent_ms - since_ms % self.period_ms
        amounts, rounding = sends.amounts[self.metric], _rounding(self.metric)
        counted = amounts[bisect_left(sends.sent_ms, begun_ms - order.delay_ms) : order.last]
        low = self.capacity - sum(counted) - rounding * len(counted)
        if (low - remaining) * FAR_PARTS <= self.capacity:
            former = amounts[bisect_left(sends.sent_ms, self._first_mark_ms) : order.index + 1]
            self._proven = remaining > self._left + 1 - sum(former) + rounding * len(former)
        return remaining - low if remaining < low else None

    def _compare(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Return by how much the answer to a call of a former window contradicts what was sent in it.

        Such a call may have been counted in the window after its own. None: the marks are not known well enough.
        """
        sent_ms, last_ms = order.sent_ms, order.sent_ms + order.delay_ms
        if self.spread_ms is None or sent_ms < self._first_mark_ms:
            return None
        begun_ms = sent_ms - (sent_ms - self._begun_ms) % self.period_ms
        times_ms, amounts, rounding = sends.sent_ms, sends.amounts[self.metric], _rounding(self.metric)
        most = amounts[bisect_left(times_ms, begun_ms - order.delay_ms) : order.last]
        low = self.capacity - sum(most) - rounding * len(most)
        least = [amounts[order.index]]
        if last_ms < begun_ms + self.period_ms:
            least += amounts[bisect_left(times_ms, begun_ms) : order.first]
        high = self.capacity + self.step - 1 - sum(least) + rounding * len(least)
        return remaining - low if remaining < low else max(0, remaining - high)

    def _renew(self, now_ms: int) -> None:
        if now_ms >= self._mark_ms:
            if not self._renewed:
                self._first_mark_ms, self._left = self._mark_ms, self._high
            windows = (now_ms - self._mark_ms) // self.period_ms
            self._begun_ms = self._mark_ms + windows * self.period_ms
            self._mark_ms = self._begun_ms + self.period_ms
            self._renewed, self._tried = True, False
            self._allowance = self.capacity // UNPROVEN_PARTS
            self._high = self.capacity
            self._low = self.capacity - self._recent.charged(self._begun_ms)


class SlidingWindowMirror:
    """A window in which each charge counts for one period and then no more.

    The server's count consists of our charges and those of other clients. The instants at which ours begin and cease to
    count are known to within one admission delay, so their sum lies between that of a shorter window and that of a
    longer one, by which calls are paid: each by the delay that is learned. Answers bound the charges of others, which
    cease to count as ours do (`OthersCharges`).

    A reserve costs a bucket its tokens once. Here it costs them in each period, as what is left expires. So charges
    that will cease to count within `PROMPT_MS` count as reserved, and in a short window (`SPREAD_MAX_MS`) calls that
    must leave a reserve are spread over the period: capacity is freed all the time, for the call that is first in line.

    Attributes:
        step: What is left is stated in multiples of it, rounded down.
        has_long_delay: Every delay so far was longer than one part in `LONG_DELAY_PARTS` of the period.
        by_others: Others must have taken what the last answer showed to be missing: no delay explains it.
    """

    refill = Refill.SLIDING

    def __init__(  # noqa: PLR0913 — the last keyword-only
        self,
        metric: LimitMetric,
        capacity: int,
        period_ms: int,
        now_ms: int,
        sends: SentCalls,
        *,
        project: bool = False,
    ) -> None:
        """Count everything sent within the last period from the start."""
        self.metric, self.capacity, self.period_ms, self.project = metric, capacity, period_ms, project
        self.corrections, self.step, self.by_others = 0, 1, False
        self._others = self._begin_others()
        # by call: its sending time, both windows' counts then, and the corrections that these contain
        self._sent: dict[int, tuple[int, int, int, int]] = {}
        self._corrected: deque[tuple[int, int, int]] = deque(maxlen=CORRECTIONS_MAX)  # call, sending time, excess
        self._corrections_made = 0
        self._heard = -1  # the newest call whose answer has told what others took
        self.has_long_delay = True
        self._paced_ms = now_ms  # when the next call may be sent that must leave a reserve
        self._count(sends, now_ms)

    @property
    def is_spent_evenly(self) -> bool:
        """Whether charges cease to count all the time, so that no end of the window comes with all of it spent."""
        return self.is_paced

    @property
    def is_paced(self) -> bool:
        """Whether calls that must leave a reserve are spread over the period."""
        return self.period_ms <= SPREAD_MAX_MS

    def low(self, now_ms: int) -> int:
        """Return the amount that is certainly left."""
        return self.capacity - self._long.charged(now_ms) - self._others.most(now_ms)

    def high(self, now_ms: int) -> int:
        """Return the greatest possible amount left."""
        return self.capacity - self._short.charged(now_ms) - self._others.least(now_ms)

    @property
    def others(self) -> int:
        """What others had taken at least when the call was sent whose answer came last."""
        return self._others.told

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return when enough of the counted charges have expired, and with a reserve, when the pace allows a call."""
        paid = amount + _rounding(self.metric)
        at_ms = self._free_at(paid, 0, now_ms)
        if not reserved:
            return at_ms
        beside_ms = self._free_at(paid, reserved, now_ms)
        return max(at_ms, beside_ms - PROMPT_MS, self._paced_ms if self.is_paced else 0)

    def _free_at(self, paid: int, reserved: int, now_ms: int) -> int:
        """Return when the window holds `paid` beside a reserve; one that is larger goes when nothing else counts."""
        ends = self._others.ends(now_ms)
        for (from_ms, others), (until_ms, _) in pairwise(ends):
            cap = self.capacity - others - reserved
            if paid <= cap and (at_ms := max(from_ms, self._long.payable_at(paid, cap, now_ms))) <= until_ms:
                return at_ms
        last_ms, others = ends[-1]
        return max(last_ms, self._long.payable_at(paid, max(1, self.capacity - others - reserved), now_ms))

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`."""
        rounding = _rounding(self.metric)
        self._long.pay(amount + rounding, now_ms)
        self._short.pay(max(0, amount - rounding), now_ms)
        per_period = self.capacity + SPREAD_PARTS * max(0, self.low(now_ms))
        self._paced_ms = max(self._paced_ms, now_ms - LEEWAY_MS) + amount * self.period_ms // per_period
        self._sent[number] = now_ms, self._long.charged(now_ms), self._short.charged(now_ms), self._corrections_made
        if len(self._sent) > REMEMBERED_MAX:
            del self._sent[next(iter(self._sent))]

    def refund(self, amount: int, number: int, now_ms: int) -> None:
        """Give back call `number`, which the server refused and did not charge; at no later call it had counted."""
        if number not in self._sent:
            return
        rounding, sent_ms = _rounding(self.metric), self._sent[number][0]
        self._long.refund(amount + rounding, sent_ms)
        self._short.refund(max(0, amount - rounding), sent_ms)
        self._corrected.append((number, sent_ms, amount))
        self._corrections_made += 1

    def correct(self, corrections: Sequence[tuple[int, int]], now_ms: int, sends: SentCalls) -> None:
        """Count each of these calls by its charge: so many tokens less than it was counted with.

        Where its answer or that to a later call has been heard, what others took was computed from the former figure,
        or perhaps not; so that interval only widens.
        """
        for number, excess in corrections:
            index = sends.index_of(number)
            if index is None:
                continue
            sent_ms = sends.sent_ms[index]
            self._long.refund(excess, sent_ms)
            self._short.refund(excess, sent_ms)
            self._corrected.append((number, sent_ms, excess))
            self._corrections_made += 1
            if number <= self._heard:
                self._others.widen(excess, sent_ms)

    def reprice(self, sends: SentCalls) -> None:
        """Count the calls again, because every one was charged more, or less, than it paid."""
        self._count(sends, sends.sent_ms[-1] if sends.sent_ms else 0)

    def adopt_capacity(self, capacity: int, number: int, now_ms: int) -> bool:
        """Adopt the capacity that an answer states."""
        self.capacity = capacity
        return True

    def observe(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Process an answer: `remaining` was left when its call was admitted. Return the result of Mirror.observe."""
        self._allow_for(order.delay_ms)
        self.has_long_delay = self.has_long_delay and order.delay_ms * LONG_DELAY_PARTS > self.period_ms
        known, index = self._sent.pop(order.number, None), order.index
        if known is None or index < 0:
            return None
        sent_ms, long, short, corrections = known
        since = self._corrections_made - corrections
        if since > len(self._corrected):
            return None
        for call, at_ms, excess in islice(reversed(self._corrected), since):
            if call <= order.number:
                long -= self._long.share(excess, at_ms, sent_ms)
                short -= self._short.share(excess, at_ms, sent_ms)
        self._heard = max(self._heard, order.number)
        amounts = sends.amounts[self.metric]
        before = sum(amounts[bisect_right(sends.sent_ms, sent_ms - order.delay_ms) : index])
        after = sum(amounts[index + 1 : order.last])
        used = self.capacity - remaining
        return self._learn_others(used - self.step - long - after, used - (short - before), order, sends)

    def _learn_others(self, low: int, high: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Learn that others had taken between `low` and `high`; return the result of Mirror.observe."""
        error = self._others.observe(low, high, order.sent_ms)
        self.by_others = -error > sends.counted_late(self.metric, order, self.period_ms, DELAY_MAX_MS)
        self.corrections += error != 0
        return error

    def _count(self, sends: SentCalls, now_ms: int) -> None:
        """Count everything sent within two periods, at its present price: answers to the later half can be compared."""
        fine_ms = min(FINE_MS, max(1, self.period_ms // FINE_PARTS))
        self._slot_ms = fine_ms if self.period_ms <= FINE_PERIOD_MS else SLOT_MS
        self._begin_sums()
        self._allow_for(DELAY_MAX_MS)
        self._sent.clear()
        whole_ms = now_ms - self.period_ms
        for index in range(bisect_left(sends.sent_ms, whole_ms - self.period_ms - DELAY_MAX_MS), len(sends.sent_ms)):
            self.pay(sends.amounts[self.metric][index], sends.forgotten + index, sends.sent_ms[index])
            if sends.sent_ms[index] < whole_ms:  # others before it may have counted then
                del self._sent[sends.forgotten + index]
        self._paced_ms = now_ms

    def _begin_others(self) -> OthersCharges | OthersInterval:
        """Begin with no charges of others."""
        return OthersCharges(self.period_ms)

    def _begin_sums(self) -> None:
        """Begin with sums of what counts at most, by which calls are paid, and at least."""
        self._long, self._short = SlidingSum(slot_ms=self._slot_ms), SlidingSum(slot_ms=self._slot_ms)

    def _allow_for(self, delay_ms: int) -> None:
        """Let calls take so long to the server."""
        self._long.span_ms = self.period_ms + delay_ms
        self._others.last(self.period_ms + delay_ms)
        self._short.span_ms = self._certain_ms(delay_ms)

    def _certain_ms(self, delay_ms: int) -> int:
        """Return for how long each charge counts for certain, as calls take up to that delay to the server."""
        return max(self._slot_ms, self.period_ms - delay_ms - self._slot_ms)


def _rounding(metric: LimitMetric) -> int:
    return ROUNDING_TOKENS if metric is LimitMetric.TOKENS else 0
