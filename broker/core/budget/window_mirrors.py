"""Our model of a limit that does not refill all the time: counters that begin anew, and charges that grow old.

Gateways and home-made limiters enforce these. They are told from buckets by their headers (refill.py), and mirrored by
the same questions as a bucket is (mirror.py): what is surely there, when can it pay, what does an answer correct.
"""

from bisect import bisect_left, bisect_right
from typing import Final

from broker.core.answers.rate_limit_headers import Metric
from broker.core.budget.admission_delay import WAY_MAX_MS
from broker.core.budget.refill_detection import Refill
from broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from broker.core.budget.sliding_sum import SLOT_MS, SlidingSum
from broker.core.units import ROUNDING_TOKENS

UNPROVEN_PARTS: Final = 32  # so little of the first new window is spent before an answer says that it is new
REMEMBERED_MAX: Final = 8_192  # calls whose answers may still come


class FixedWindowMirror:
    """A counter that begins anew at a mark of the server's clock, a period apart."""

    refill: Final = Refill.FIXED

    def __init__(self, metric: Metric, capacity: int, period_ms: int, mark_ms: int, left: int) -> None:
        """`left` is what is there until the mark."""
        self.metric, self.capacity, self.period_ms = metric, capacity, period_ms
        self.corrections = self.last_error = 0
        self._mark_ms = mark_ms
        self._begun_ms = mark_ms - period_ms  # who was sent since then is counted in this window
        self._low = self._high = left
        self._recent = SlidingSum(WAY_MAX_MS)  # may be counted on either side of the mark
        self._anchored = True
        self._proven = False  # it has been seen to begin anew
        self._renewed = False
        self._allowance = capacity  # of the first new window, until an answer says that it is new
        self._tried = False  # a call of whatever size has gone there

    @property
    def on_trial(self) -> bool:
        """Its first mark has passed, and no answer has said yet that it has begun anew there."""
        return self._renewed and not self._proven

    def low(self, now_ms: int) -> int:
        """What is surely there."""
        self._renew(now_ms)
        return min(self._low, self._allowance) if self.on_trial and self._tried else self._low

    def high(self, now_ms: int) -> int:
        """What is there at most."""
        self._renew(now_ms)
        return self._high

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """Now, or when the window ends."""
        enough = min(amount + _rounding(self.metric) + keep, self.capacity) <= self.low(now_ms)
        return now_ms if enough else self._mark_ms

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Call `number` is sent."""
        self._renew(now_ms)
        self._low -= amount + _rounding(self.metric)
        self._tried = True
        self._allowance -= amount + _rounding(self.metric)
        self._high -= max(0, amount - _rounding(self.metric))
        self._recent.pay(amount + _rounding(self.metric), now_ms)

    def refused(self, amount: int, number: int, now_ms: int) -> None:
        """The server refused call `number`, and took nothing for it: what paying took from the upper end comes back.

        If a mark has passed meanwhile, that has given it back already.
        """
        self._renew(now_ms)
        self._high = min(self.capacity, self._high + max(0, amount - _rounding(self.metric)))

    def repriced(self, sends: SentCalls) -> None:
        """Every call took more, or less, than it was paid: the next answer sets what is left."""
        self._anchored = False

    def follow(self, capacity: int, number: int, now_ms: int) -> bool:
        """An answer names this capacity: a window that has begun meanwhile began with the former one."""
        self._renew(now_ms)
        self.capacity = capacity
        return True

    def turns(self, mark_ms: int, now_ms: int) -> None:
        """An answer says when this window ends."""
        self._renew(now_ms)
        if now_ms < mark_ms:
            self._mark_ms = mark_ms

    def observe(self, remaining: int, hearing: AdmissionOrder, sends: SentCalls) -> int | None:
        """An answer has come: so much was left when its call was admitted. Returns what Mirror.observe returns."""
        self._renew(hearing.now_ms)
        place, first, last = hearing.place, hearing.first, hearing.last
        if place < 0 or hearing.sent_ms < self._begun_ms:
            return None
        amounts = sends.amounts[self.metric]
        rounding = _rounding(self.metric)
        low = remaining - sum(amounts[first:]) + amounts[place] - rounding * (len(amounts) - first - 1)
        high = remaining + 1 - sum(amounts[last:]) + rounding * (len(amounts) - last)
        if not self._anchored:
            self._anchored, self._low, self._high = True, low, high
            return None
        error = low - self._high if low > self._high else min(0, high - self._low)
        if error:
            self.corrections += 1
            self.last_error = error
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)
            self._proven = self._proven or self._renewed
        return error

    def _renew(self, now_ms: int) -> None:
        if now_ms >= self._mark_ms:
            windows = (now_ms - self._mark_ms) // self.period_ms
            self._begun_ms = self._mark_ms + windows * self.period_ms
            self._mark_ms = self._begun_ms + self.period_ms
            self._renewed, self._tried = True, False
            self._allowance = self.capacity // UNPROVEN_PARTS
            self._high = self.capacity
            self._low = self.capacity - self._recent.charged(self._begun_ms)


class SlidingWindowMirror:
    """Each charge counts for a period and then no more.

    What the server counts is ours and others'. When ours begin and cease to count is known to a way, so it lies between
    a short window's sum and a long one's; what others have taken is an interval too, narrowed and replaced by answers
    as a bucket's level is.
    """

    refill: Final = Refill.SLIDING

    def __init__(self, metric: Metric, capacity: int, period_ms: int, now_ms: int, sends: SentCalls) -> None:
        """Everything sent within a period counts from the start."""
        self.metric, self.capacity, self.period_ms = metric, capacity, period_ms
        self.corrections = self.last_error = 0
        self._others_low, self._others_high = 0, 0
        self._sent: dict[int, tuple[int, int, int]] = {}  # when each call was sent, and what both windows counted then
        self._count(sends, now_ms)

    def low(self, now_ms: int) -> int:
        """What is surely there."""
        return self.capacity - self._long.charged(now_ms) - max(0, self._others_high)

    def high(self, now_ms: int) -> int:
        """What is there at most."""
        return self.capacity - self._short.charged(now_ms) - max(0, self._others_low)

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """When enough of what counts has grown old."""
        cap = max(1, self.capacity - max(0, self._others_high) - keep)
        return self._long.payable_at(amount + _rounding(self.metric), cap, now_ms)

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Call `number` is sent."""
        rounding = _rounding(self.metric)
        self._long.pay(amount + rounding, now_ms)
        self._short.pay(max(0, amount - rounding), now_ms)
        self._sent[number] = now_ms, self._long.charged(now_ms), self._short.charged(now_ms)
        if len(self._sent) > REMEMBERED_MAX:
            del self._sent[next(iter(self._sent))]

    def refused(self, amount: int, number: int, now_ms: int) -> None:
        """The server refused call `number`, and took nothing for it; it counts no more."""
        rounding = _rounding(self.metric)
        if number not in self._sent:
            return
        sent_ms, long, short = self._sent[number]
        self._long.give_back(amount + rounding, sent_ms)
        self._short.give_back(max(0, amount - rounding), sent_ms)
        self._sent[number] = sent_ms, long, short - amount

    def repriced(self, sends: SentCalls) -> None:
        """Every call took more, or less, than it was paid: they are counted again."""
        self._count(sends, sends.sent_ms[-1] if sends.sent_ms else 0)

    def follow(self, capacity: int, number: int, now_ms: int) -> bool:
        """An answer names this capacity."""
        self.capacity = capacity
        return True

    def observe(self, remaining: int, hearing: AdmissionOrder, sends: SentCalls) -> int | None:
        """An answer has come: so much was left when its call was admitted. Returns what Mirror.observe returns."""
        known, place = self._sent.pop(hearing.number, None), hearing.place
        if known is None or place < 0:
            return None
        sent_ms, long, short = known
        amounts = sends.amounts[self.metric]
        before = sum(amounts[bisect_right(sends.sent_ms, sent_ms - hearing.way_ms) : place])
        after = sum(amounts[place + 1 : hearing.last])
        used = self.capacity - remaining
        low, high = used - 1 - long - after, used - (short - before)
        if low <= self._others_high and self._others_low <= high:
            self._others_low, self._others_high = max(low, self._others_low), min(high, self._others_high)
            return 0
        error = self._others_high - low if low > self._others_high else self._others_low - high
        self._others_low, self._others_high = low, high
        self.corrections += 1
        self.last_error = error
        return error

    def _count(self, sends: SentCalls, now_ms: int) -> None:
        """Everything sent within a period, at its present price."""
        self._long = SlidingSum(self.period_ms + WAY_MAX_MS)
        self._short = SlidingSum(max(SLOT_MS, self.period_ms - WAY_MAX_MS))
        for place in range(bisect_left(sends.sent_ms, now_ms - self.period_ms), len(sends.sent_ms)):
            self.pay(sends.amounts[self.metric][place], sends.forgotten + place, sends.sent_ms[place])


def _rounding(metric: Metric) -> int:
    return ROUNDING_TOKENS if metric is Metric.TOKENS else 0
