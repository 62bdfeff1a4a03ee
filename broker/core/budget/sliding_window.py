"""Model of a limit that counts what was charged within the last period.

Gateways and custom limiters enforce such windows. Their headers distinguish them from buckets (refill_detection.py),
and the mirror of one answers the same questions as that of a bucket (bucket_mirror.py): what is certainly left, when
can it pay, what does an answer correct.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.others_charges import OthersCharges, OthersInterval
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.sliding_sum import SLOT_MS, SlidingSum

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
    contested_until_ms = 0  # see `FixedWindowMirror`

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
        paid = amount + charge_rounding(self.metric)
        at_ms = self._free_at(paid, 0, now_ms)
        if not reserved:
            return at_ms
        beside_ms = self._free_at(paid, reserved, now_ms)
        return max(at_ms, beside_ms - PROMPT_MS, self._paced_ms if self.is_paced else 0)

    def _free_at(self, paid: int, reserved: int, now_ms: int) -> int:
        """Return when the window holds `paid` beside a reserve; one that is larger goes when nothing else counts."""
        free, others = self.capacity - reserved, self._others.most(now_ms)
        at_ms = self._long.payable_at(paid, max(1, free - others), now_ms)
        if at_ms <= now_ms and paid <= free - others:
            return at_ms
        ends = self._others.ends(now_ms)
        last = len(ends) - 1
        if not last:
            return at_ms

        def is_free_from(index: int) -> bool:
            cap = free - ends[index][1]
            return paid <= cap and self._long.payable_at(paid, cap, now_ms) <= ends[index + 1][0]

        index = bisect_left(range(last), True, key=is_free_from)  # more of others' ends later, and less of ours counts
        from_ms, others = ends[index]
        return max(from_ms, self._long.payable_at(paid, max(1, free - others), now_ms))

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`."""
        rounding = charge_rounding(self.metric)
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
        rounding, sent_ms = charge_rounding(self.metric), self._sent[number][0]
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
        if error is None:
            self.by_others = False
            return None
        self.by_others = -error > sends.counted_late(self.metric, order, self.period_ms)
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
        self._others.expire_after(self.period_ms + delay_ms)
        self._short.span_ms = self._certain_ms(delay_ms)

    def _certain_ms(self, delay_ms: int) -> int:
        """Return for how long each charge counts for certain, as calls take up to that delay to the server."""
        return max(self._slot_ms, self.period_ms - delay_ms - self._slot_ms)
