"""Model of one bucket of the server: an interval that contains its level.

A payment moves both ends of the interval, time refills both, every answer narrows it. Calls are paid from the lower
end; it must not lie above the true level, and should lie little below it.

The content of an answer (facts/openai.md §3): `remaining` was the server's level right after it had admitted that call,
at some instant `taken`. So the level now is

    remaining + refill(now - taken) - charges of our calls that the server admits after `taken`

and the interval spans the least and the most of that over every possible `taken`. A call reaches the server's limiter
within one admission delay of being sent (admission_delay.py learns how long it is), so `taken` lies within the first
admission delay after the sending. Which calls come after it is not known either: those sent after `taken` certainly do;
those sent up to one admission delay earlier may, unless they had been answered when the call was sent. The lower end
counts all that may, the upper end only those that must. A server whose bucket was full in between refilled nothing
then: from that instant on it has at least a full bucket less the charges of our calls. So the lower end is no higher
than that; otherwise an answer that took a minute would hide what was spent. Leaving out the refill costs 6 to 43 % of
the quota with calls of seconds to a minute; leaving out the calls still on their way costs refusals at high rates.
Between two sends the sum is linear in `taken`, so only the instants of sends are examined.

One effect is left out: a full server goes on refilling nothing until a call that was sent has arrived. That is the
refill of one admission delay, less than the rounding of the calls that a full bucket pays for, unless calls are few and
the delay is long.

Levels are "after all that is on its way": the server will have at least `low` left when the last call has arrived. All
sums are exact, in tokens times `period_ms` (see bounded_bucket.py).
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bounded_bucket import BoundedTokenBucket
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.extremes import RangeExtremes
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

RETRACED_AT_ONCE: Final = 256
RETRACE_EVERY_MS: Final = 100
"""The level curve follows a corrected call at once, or at most this often if very many were sent since: one call does
not matter among them, and each answer would take its time from all."""
_NONE: Final = 1 << 62

Corrections = Sequence[tuple[int, int]]
"""Calls by number, and the tokens that each was counted with beyond its charge; negative: too few."""


class Mirror:
    """Mirror of one bucket of one metric.

    Attributes:
        metric: The unit that the bucket counts.
        capacity: The level of a full bucket.
        period_ms: The time an empty bucket takes to fill.
        project: It is a project's.
        corrections: The number of answers that contradicted the interval.
        step: What is left is stated in multiples of it, rounded down.
        room: What no call spends, since others may have taken it (`headrace.broker.core.budget.room_for_others`).
    """

    refill: Final = Refill.BUCKET
    is_spent_evenly, has_long_delay, by_others = False, False, False  # only of windows: see `SlidingWindowMirror`
    contested_until_ms = 0  # see `FixedWindowMirror`

    def __init__(
        self, metric: LimitMetric, capacity: int, period_ms: int, now_ms: int, *, project: bool = False
    ) -> None:
        """Create a full bucket of which nothing has been reported: the first answer sets it, whatever it says."""
        self.metric = metric
        self.project = project
        self.capacity = capacity
        self.period_ms = period_ms
        self.corrections, self.step = 0, 1
        self._level = BoundedTokenBucket(capacity, period_ms, now_ms)
        self.room = 0
        self._rounding = charge_rounding(metric)
        self._silent = True  # no answer or checkpoint has ever stated the level
        self._anchor: int | None = None  # the newest call whose answer set the interval instead of narrowing it
        self._stated_by = -1  # the newest call whose answer set an end of the interval
        self._doubted = -1  # the newest call that was refused although the lower end could pay it
        self._named_by = -1  # the newest call whose answer named the limit
        self._extremes = RangeExtremes()
        self._stated_at = 0  # number of calls sent when an answer last stated the level
        self._followed = 0  # number of sends that the level curve includes
        self._forgotten = 0
        self._retraced = False
        self._mispriced_from = _NONE  # the first call that the curve includes at another amount than it was charged
        self._retrace_at_ms = now_ms
        self._dear = self._cheap = 0  # the charges of those sends, in units, rounded up and down

    def low(self, now_ms: int) -> int:
        """Return the level that is certainly left."""
        self._level.refill(now_ms)
        return self._level.low // self.period_ms

    def high(self, now_ms: int) -> int:
        """Return the highest possible level."""
        self._level.refill(now_ms)
        return self._level.high // self.period_ms

    def inherit(self, low: int, now_ms: int) -> None:
        """Adopt a predecessor's checkpoint: at least `low` is left, and answers may only narrow that."""
        self._level.refill(now_ms)
        self._level.set(low * self.period_ms, self._level.high)
        self._anchor, self._silent = -1, False

    def is_half_full(self, now_ms: int) -> bool:
        """Return whether at least half of it is certainly left."""
        return 2 * self.low(now_ms) >= self.capacity

    def trust_no_more_than(self, amount: int, now_ms: int) -> None:
        """Lower the estimate to just what one probe call needs; its answer will correct it."""
        low = min(amount + self._rounding, self.low(now_ms))
        self._level.set(low * self.period_ms, self._level.high)
        self.room = 0  # what others took is what is doubted

    def payable_at(self, amount: int, reserved: int, now_ms: int) -> int:
        """Return when the lower end can pay `amount` and still hold `reserved`, and the room for others.

        The room is at most half of what the call would leave of a full bucket: a large call would otherwise wait for a
        bucket that is nearly full, which never comes while a lane above its own spends.
        """
        if self.room:
            reserved += min(self.room, max(0, (self.capacity - amount - reserved) // 2))
        return self._level.payable_at(amount + self._rounding, reserved, now_ms)

    def spare(self, reserved: int, now_ms: int) -> int:
        """Return what the lower end holds beyond `reserved` and the room for others; negative if it holds less."""
        return self.low(now_ms) - reserved - self.room

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`; the server may charge a little more or less than `amount`."""
        most, least = amount + self._rounding, amount - self._rounding if amount > self._rounding else 0
        self._level.pay(most, least, now_ms)
        if number == self._followed:  # otherwise `_trace` catches up when an answer comes
            refilled, period_ms, extremes = self.capacity * now_ms, self.period_ms, self._extremes
            extremes.peaks.append(refilled - self._dear)
            self._dear += most * period_ms
            self._cheap += least * period_ms
            extremes.dips.append(refilled - self._cheap)
            self._followed += 1

    def refund(self, amount: int, number: int, now_ms: int) -> None:
        """Give back a paid call that the server refused and did not charge.

        Only the upper end rises. The lower end waits for an answer that shows it: one that came in between may have
        given the amount back already.
        """
        level = self._level
        level.refill(now_ms)
        level.set(level.low, level.high + max(0, amount - self._rounding) * self.period_ms)
        self._retrace(number)

    def refund_unprocessed(self, amount: int, number: int, now_ms: int) -> None:
        """Give back a paid call that the server turned away: at both ends, unless an answer has come since it was sent.

        Where answers state levels, the next one knows better; where none ever does, nothing else would give the amount
        back.
        """
        self.refund(amount, number, now_ms)
        if number >= self._stated_at:
            level = self._level
            level.set(level.low + (amount + self._rounding) * self.period_ms, level.high)

    def correct(self, corrections: Corrections, now_ms: int, sends: SentCalls) -> None:
        """Give back what each of these calls paid beyond its charge, or take what it paid too little.

        The answer to a later call has counted it by its charge already. Where such an answer has set one end of the
        interval, and perhaps not the other, the interval only widens. Nor does a bucket know a charge that was full
        since: what would have overflowed is lost.
        """
        level = self._level
        level.refill(now_ms)
        if self._followed < sends.count or self._forgotten < sends.forgotten:
            self._trace(sends)
        oldest = self._mispriced_from
        for number, excess in corrections:
            certain, possible = self._corrected(number, excess * self.period_ms, now_ms)
            level.set(level.low + min(certain, possible), level.high + max(certain, possible))
            oldest = min(number, oldest)
        if self._followed - oldest <= RETRACED_AT_ONCE or now_ms >= self._retrace_at_ms:
            self._retrace(oldest)
            oldest, self._retrace_at_ms = _NONE, now_ms + RETRACE_EVERY_MS
        self._mispriced_from = oldest

    def _corrected(self, number: int, units: int, now_ms: int) -> tuple[int, int]:
        """Return what the excess of a call changes certainly, and what it may change at the upper end."""
        certain = units if number > self._stated_by else 0
        possible = units if self._anchor is None or number > self._anchor else 0
        first, count = max(0, number + 1 - self._forgotten), len(self._extremes)
        if first < count and (certain or possible):
            risen = self._extremes.highest(first, count) - (self.capacity * now_ms - self._dear)
            full = self.capacity * self.period_ms
            room, room_above = full - (self._level.low + risen), full - (self._level.high + risen)
            if units > 0:
                certain = min(certain, max(0, room))
            else:
                certain, possible = certain if room > 0 else 0, possible if room_above > 0 else 0
        return certain, possible

    def reprice(self, sends: SentCalls, *, owes: bool = False) -> None:
        """Let the next answer set the interval: the calls sent were charged differently from what they paid.

        If no answer will come, all of them pay again. The server admitted each, so none has left less than nothing,
        unless the bucket `owes` what calls are charged when they end.
        """
        self._forget_level()
        if self._silent and sends.sent_ms and not sends.forgotten:
            self._level = BoundedTokenBucket(self.capacity, self.period_ms, sends.sent_ms[0])
            for number, (sent_ms, amount) in enumerate(zip(sends.sent_ms, sends.amounts[self.metric], strict=True)):
                self.pay(amount, number, sent_ms)
                if self._level.low < 0 and not owes:
                    self._level.set(0, max(0, self._level.high))

    def _forget_level(self) -> None:
        self._anchor, self._doubted = None, -1
        self._retrace(0)

    def adopt_capacity(self, capacity: int, number: int, now_ms: int) -> bool:
        """Adopt the capacity that the answer to call `number` states.

        Returns:
            False if the answer to a newer call stated another one.
        """
        if capacity != self.capacity:
            if number < self._named_by:
                return False
            self.room = self.room * capacity // self.capacity
            self.capacity = capacity
            self._level.resize(capacity, now_ms)
            self._forget_level()
        if number > self._named_by:
            self._named_by = number
        return True

    def doubt(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> None:
        """Lower the lower end after the refusal of a call that it could pay: it was too high, however slightly.

        What the refusal states may still agree with the interval, which is wider than the shortfall. So the lower end
        starts again from that statement.
        """
        bounds = self._seen(remaining, order, sends)
        if bounds is not None:
            self._level.refill(order.now_ms)
            self._level.set(min(bounds[0], self._level.low), self._level.high)
            self._doubted = max(self._doubted, order.number)
            self._stated_by = max(self._stated_by, order.number)

    def observe(self, remaining: int, order: AdmissionOrder, sends: SentCalls) -> int | None:
        """Process an answer: `remaining` was left right after the server had admitted its call.

        An answer that agrees with the interval narrows it. One that contradicts it replaces it: another client spends
        too, the law is wrong, the admission delay is longer than believed, or the server lost its state. The answer to
        a call older than the one that set the interval knows less of the level; nor does one older than a refusal know
        of more tokens than that refusal stated.

        Returns:
            0 if it agreed, the size of the contradiction in units (negative: the server had less than believed), or
            None if it taught nothing: the first answer, or one too old.
        """
        level, self._stated_at = self._level, sends.count
        if order.now_ms > level.at_ms:
            level.refill(order.now_ms)
        if self._anchor is not None:
            rough = self._seen(remaining, order, sends, known=level)
            if rough is not None and rough[0] <= level.high and level.low <= rough[1]:
                if rough[0] > level.low or rough[1] < level.high:
                    level.narrow(*rough)
                    self._stated_by = max(self._stated_by, order.number)
                return 0
        bounds = self._seen(remaining, order, sends)
        if bounds is None:
            return None
        self._silent = False
        least, most = bounds
        error: int | None = None
        if self._anchor is not None:
            if order.number < self._anchor or (order.number < self._doubted and least > level.high):
                return None
            error = (least - level.high if least > level.high else most - level.low) // self.period_ms
            self.corrections += 1
        self._anchor = self._stated_by = order.number
        level.set(least, most)
        return error

    def _seen(
        self, remaining: int, order: AdmissionOrder, sends: SentCalls, *, known: BoundedTokenBucket | None = None
    ) -> tuple[int, int] | None:
        """Return the least and the greatest possible level now, in units; None if the call lies too far back.

        The level curve (refill less our charges, uncapped) rises with time and falls with each send, so it is highest
        right before a send and lowest right after one. From any instant until now the level has changed as the curve
        has. An end that would leave the `known` interval unchanged need not be exact: one peak, or one dip, shows that
        it would, and that is so for nearly all answers.
        """
        extremes, index, first = self._extremes, order.index, order.first
        if index < 0 or (first <= 0 and sends.forgotten):
            return None
        if self._followed < sends.count or self._forgotten < sends.forgotten:
            self._trace(sends)
        capacity, period_ms = self.capacity, self.period_ms
        left = remaining * period_ms
        own_charge = 0 if order.age_ms else sends.amounts[self.metric][index]  # already deducted in `remaining`
        dear = self._dear - (own_charge + self._rounding) * period_ms if own_charge else self._dear
        above_peak = left - dear + capacity * (order.now_ms - order.delay_ms)
        # As of one admission delay before `taken`, which lies between the sending and now.
        least = above_peak + capacity * order.ahead_ms - extremes.peaks[order.early]
        if least > (full := capacity * period_ms):
            least = full
        if first < order.stop and (known is None or least > known.low):
            least = min(least, above_peak - extremes.highest(first, order.stop))
        elapsed_ms = order.now_ms - order.sent_ms + order.age_ms
        if left + capacity * elapsed_ms > full and (known is None or least > known.low):
            least = min(least, self._left_of_full(order, sends.sent_ms))
        above_dip = left + self.step * period_ms + capacity * order.now_ms - self._cheap
        most = above_dip - extremes.dips[index]
        if known is None or most < known.high:
            most = above_dip - extremes.lowest(order.since, order.last)
        return least, most

    def _left_of_full(self, order: AdmissionOrder, times_ms: list[int]) -> int:
        """Return the least level, in units, if the server's bucket was full at some instant after the admission.

        A call arrived up to one admission delay after its sending: until then a full server had refilled nothing.
        """
        capacity, peaks = self.capacity, self._extremes.peaks
        after = order.since if order.age_ms else order.index + 1
        least = full = capacity * self.period_ms
        arrived_ms = order.now_ms - order.delay_ms
        late = bisect_right(times_ms, arrived_ms, after)
        if late < len(peaks):
            least = full - self._dear + capacity * times_ms[late] - peaks[late]
        if after < late:
            least = min(least, full - self._dear + capacity * arrived_ms - self._extremes.highest(after, late))
        return least

    def _trace(self, sends: SentCalls) -> None:
        """Extend the level curve to the last send."""
        extremes, capacity, period_ms, rounding = self._extremes, self.capacity, self.period_ms, self._rounding
        if self._forgotten < sends.forgotten:
            extremes.forget(sends.forgotten - self._forgotten)
            self._forgotten = sends.forgotten
        amounts, peaks, dips = sends.amounts[self.metric], extremes.peaks, extremes.dips
        index = len(peaks)
        if self._retraced:
            self._retraced = False
            self._dear = self._cheap = 0
            if index:
                refilled, last_amount = capacity * sends.sent_ms[index - 1], amounts[index - 1]
                self._dear = refilled - peaks[-1] + (last_amount + rounding if last_amount else 0) * period_ms
                self._cheap = refilled - dips[-1]
        dear, cheap = self._dear, self._cheap
        for sent_ms, amount in zip(sends.sent_ms[index:], amounts[index:], strict=True):
            refilled = capacity * sent_ms
            peaks.append(refilled - dear)
            if amount > rounding:
                cheap += (amount - rounding) * period_ms
            if amount:
                dear += (amount + rounding) * period_ms
            dips.append(refilled - cheap)
        self._followed = sends.count
        self._dear, self._cheap = dear, cheap

    def _retrace(self, number: int) -> None:
        """Cut the level curve at that call, from which on it has changed."""
        self._retraced = True
        self._extremes.cut(max(0, number - self._forgotten))
        self._followed = min(self._followed, number)
