"""Our model of one bucket of the server: an interval in which its level must lie.

Paying moves both ends of the interval, time refills both, every answer narrows it. The lower end is what we spend
from; it must not lie above the truth, and should lie little below it.

What an answer tells (facts/openai.md §3): `remaining` was the server's level right after it had admitted that call, at
some instant `taken`. So the level now is

    remaining + refill(now - taken) - charges of our calls that the server admits after `taken`

and the interval is the least and the most of that over every possible `taken`. A call reaches the server's limiter
within a *way* of being sent (way.py learns how long it is), so `taken` lies in the first way after the sending. Which
calls come after it is not known either: those sent after `taken` surely do, those sent up to a way before may, unless
they had been answered when ours was sent. The lower end counts all that may, the upper end what must.
A server that was full in between refilled nothing then: from that instant on it has at least a full bucket less what
our calls took. So the lower end is no higher than that, or an answer that took a minute would hide what was spent.
Leaving out the refill costs 6 to 43 % of the quota with calls of seconds to a minute; leaving out the calls still on
their way costs refusals at high rates. Between two sends the sum is linear in `taken`, so only sends are looked at.

Left out: a full server goes on refilling nothing until a call that was sent has come in. That is one way's worth of
refill, less than the rounding of the calls that a full bucket pays for, unless calls are few and the way is long.

Levels are "after all that is on its way": the server will have at least `low` left when the last call has come in.
All sums are exact, in tokens times `period_ms` (see interval.py).
"""

from bisect import bisect_right
from typing import Final

from broker.core.answers.rate_limit_headers import Metric
from broker.core.budget.bounded_bucket import BoundedTokenBucket
from broker.core.budget.extremes import RangeExtremes
from broker.core.budget.refill_detection import Refill
from broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from broker.core.units import ROUNDING_TOKENS


class Mirror:
    """One metric of a limit.

    Attributes:
        metric: What the bucket counts.
        capacity: What it holds when full.
        period_ms: How long it takes to fill.
        corrections: How often an answer contradicted the interval.
        last_error: By how many units of the metric it did last; negative: the server had less than believed.
    """

    refill: Final = Refill.BUCKET

    def __init__(self, metric: Metric, capacity: int, period_ms: int, now_ms: int) -> None:
        """A full bucket that nobody has heard of yet: the first answer sets it, whatever it says."""
        self.metric = metric
        self.capacity = capacity
        self.period_ms = period_ms
        self.corrections = 0
        self.last_error = 0
        self._level = BoundedTokenBucket(capacity, period_ms, now_ms)
        self._rounding = ROUNDING_TOKENS if metric is Metric.TOKENS else 0
        self._silent = True  # nobody has ever said what is there
        self._anchor: int | None = None  # the newest call whose answer set the interval instead of narrowing it
        self._doubted = -1  # the newest call that was refused although the lower end could pay it
        self._named_by = -1  # the newest call whose answer named the limit
        self._extremes = RangeExtremes()
        self._told = 0  # so many calls had been sent when an answer last told something
        self._followed = 0  # so many of the sends has the course followed
        self._forgotten = 0
        self._retraced = False
        self._dear = self._cheap = 0  # what all sends that the course has followed took, in units, rounded up and down

    def low(self, now_ms: int) -> int:
        """What is surely there."""
        self._level.refill(now_ms)
        return self._level.low // self.period_ms

    def high(self, now_ms: int) -> int:
        """What is there at most."""
        self._level.refill(now_ms)
        return self._level.high // self.period_ms

    def inherit(self, low: int, now_ms: int) -> None:
        """A predecessor's checkpoint: at least so much is there, and answers may only narrow that."""
        self._level.refill(now_ms)
        self._level.set(low * self.period_ms, self._level.high)
        self._anchor, self._silent = -1, False

    def trust_no_more_than(self, amount: int, now_ms: int) -> None:
        """Less may be there than believed, yet enough for this; the next answer tells."""
        low = min(amount + self._rounding, self.low(now_ms))
        self._level.set(low * self.period_ms, self._level.high)

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """When the lower end can pay so much and keep so much."""
        return self._level.payable_at(amount + self._rounding, keep, now_ms)

    def spare(self, keep: int, now_ms: int) -> int:
        """What the lower end has beside so much; less than nothing if it has not even that."""
        return self.low(now_ms) - keep

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Call `number` is sent; the server may charge a little more or less for it."""
        most, least = amount + self._rounding, amount - self._rounding if amount > self._rounding else 0
        self._level.pay(most, least, now_ms)
        if number == self._followed:  # else `_trace` makes up for it, when an answer has come
            refilled, period_ms, extremes = self.capacity * now_ms, self.period_ms, self._extremes
            extremes.peaks.append(refilled - self._dear)
            self._dear += most * period_ms
            self._cheap += least * period_ms
            extremes.dips.append(refilled - self._cheap)
            self._followed += 1

    def refused(self, amount: int, number: int, now_ms: int) -> None:
        """The server refused a call that was paid, and took nothing for it.

        The lower end waits for an answer that says so: one that came in between may have given it back already.
        """
        level = self._level
        level.refill(now_ms)
        level.set(level.low, level.high + max(0, amount - self._rounding) * self.period_ms)
        self._retrace(number)

    def untaken(self, amount: int, number: int, now_ms: int) -> None:
        """The server turned a call away that was paid: both ends have it back, unless an answer told since it was sent.

        Where answers tell, the next one knows better; where none ever does, nothing else would give it back.
        """
        self.refused(amount, number, now_ms)
        if number >= self._told:
            level = self._level
            level.set(level.low + (amount + self._rounding) * self.period_ms, level.high)

    def repriced(self, sends: SentCalls) -> None:
        """The calls sent were dearer than they were paid: what was believed is worth nothing until the next answer."""
        self._forget_level()
        if self._silent and sends.sent_ms and not sends.forgotten:  # nor will there be one: pay all of them anew
            self._level = BoundedTokenBucket(self.capacity, self.period_ms, sends.sent_ms[0])
            for number, (sent_ms, amount) in enumerate(zip(sends.sent_ms, sends.amounts[self.metric], strict=True)):
                self.pay(amount, number, sent_ms)

    def _forget_level(self) -> None:
        self._anchor, self._doubted = None, -1
        self._retrace(0)

    def follow(self, capacity: int, number: int, now_ms: int) -> bool:
        """The answer to call `number` names this capacity; False if the answer to a newer call named another one."""
        if capacity != self.capacity:
            if number < self._named_by:
                return False
            self.capacity = capacity
            self._level.resize(capacity, now_ms)
            self._forget_level()
        if number > self._named_by:
            self._named_by = number
        return True

    def doubt(self, remaining: int, hearing: AdmissionOrder, sends: SentCalls) -> None:
        """A call was refused although the lower end could pay it: that was too high, if ever so little.

        What the refusal says may still agree with the interval, which is wider than what was missing. So the lower end
        begins anew from what it says.
        """
        seen = self._seen(remaining, hearing, sends)
        if seen is not None:
            self._level.refill(hearing.now_ms)
            self._level.set(min(seen[0], self._level.low), self._level.high)
            self._doubted = max(self._doubted, hearing.number)

    def observe(self, remaining: int, hearing: AdmissionOrder, sends: SentCalls) -> int | None:
        """An answer has come: so much was left right after the server had admitted its call.

        What agrees with the interval narrows it. What contradicts it replaces it: somebody else spends too, the law is
        wrong, the way is longer than believed, or the server forgot. The answer to a call older than the one that set
        the interval knows less of that; nor does one older than a refusal know that more is there than that one said.

        Returns:
            0 if it agreed, by how many units it contradicted (negative: the server had less than believed), or None
            if it told nothing: the first answer, or one too old.
        """
        level, self._told = self._level, sends.count
        if hearing.now_ms > level.at_ms:
            level.refill(hearing.now_ms)
        if self._anchor is not None:
            glimpse = self._seen(remaining, hearing, sends, known=level)
            if glimpse is not None and glimpse[0] <= level.high and level.low <= glimpse[1]:
                if glimpse[0] > level.low or glimpse[1] < level.high:
                    level.narrow(*glimpse)
                return 0
        seen = self._seen(remaining, hearing, sends)
        if seen is None:
            return None
        self._silent = False
        least, most = seen
        error: int | None = None
        if self._anchor is not None:
            if hearing.number < self._anchor or (hearing.number < self._doubted and least > level.high):
                return None
            error = (least - level.high if least > level.high else most - level.low) // self.period_ms
            self.corrections += 1
            self.last_error = error
        self._anchor = hearing.number
        level.set(least, most)
        return error

    def _seen(
        self, remaining: int, hearing: AdmissionOrder, sends: SentCalls, *, known: BoundedTokenBucket | None = None
    ) -> tuple[int, int] | None:
        """The least and the most that may be there now, in units; None if the call lies too far back.

        The course rises with time and falls with each send, so it is highest before a send and lowest after one. From
        any instant until now the level has changed as the course has. An end that leaves what is `known` as it is need
        not be exact: one peak, or one dip, shows that it does, and so it is with nearly all.
        """
        extremes, place, first = self._extremes, hearing.place, hearing.first
        if place < 0 or (first <= 0 and sends.forgotten):
            return None
        if self._followed < sends.count or self._forgotten < sends.forgotten:
            self._trace(sends)
        capacity, period_ms = self.capacity, self.period_ms
        left = remaining * period_ms
        own = sends.amounts[self.metric][place]  # is in `remaining` already
        dear = self._dear - (own + self._rounding) * period_ms if own else self._dear
        above_peak = left - dear + capacity * (hearing.now_ms - hearing.way_ms)
        # Seen from a way before `taken`, which is between the sending and now.
        least = above_peak + capacity * hearing.ahead_ms - extremes.peaks[hearing.early]
        if least > (full := capacity * period_ms):
            least = full
        if first < hearing.stop and (known is None or least > known.low):
            least = min(least, above_peak - extremes.highest(first, hearing.stop))
        if left + capacity * (hearing.now_ms - hearing.sent_ms) > full and (known is None or least > known.low):
            least = min(least, self._left_of_full(hearing, sends.sent_ms))
        above_dip = left + period_ms + capacity * hearing.now_ms - self._cheap
        most = above_dip - extremes.dips[place]
        if known is None or most < known.high:
            most = above_dip - extremes.lowest(place, hearing.last)
        return least, most

    def _left_of_full(self, hearing: AdmissionOrder, times_ms: list[int]) -> int:
        """What is there at least, in units, if the server was full at some instant after it had admitted the call.

        A call came to it up to a way after its sending: until then a full server had refilled nothing.
        """
        capacity, peaks, after = self.capacity, self._extremes.peaks, hearing.place + 1
        least = full = capacity * self.period_ms
        arrived_ms = hearing.now_ms - hearing.way_ms
        late = bisect_right(times_ms, arrived_ms, after)
        if late < len(peaks):
            least = full - self._dear + capacity * times_ms[late] - peaks[late]
        if after < late:
            least = min(least, full - self._dear + capacity * arrived_ms - self._extremes.highest(after, late))
        return least

    def _trace(self, sends: SentCalls) -> None:
        """Continue the course to the last send."""
        extremes, capacity, period_ms, rounding = self._extremes, self.capacity, self.period_ms, self._rounding
        if self._forgotten < sends.forgotten:
            extremes.forget(sends.forgotten - self._forgotten)
            self._forgotten = sends.forgotten
        amounts, peaks, dips = sends.amounts[self.metric], extremes.peaks, extremes.dips
        place = len(peaks)
        if self._retraced:
            self._retraced = False
            self._dear = self._cheap = 0
            if place:
                refilled, last = capacity * sends.sent_ms[place - 1], amounts[place - 1]
                self._dear = refilled - peaks[-1] + (last + rounding if last else 0) * period_ms
                self._cheap = refilled - dips[-1]
        dear, cheap = self._dear, self._cheap
        for sent_ms, amount in zip(sends.sent_ms[place:], amounts[place:], strict=True):
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
        """The course has changed from that call on."""
        self._retraced = True
        self._extremes.cut(max(0, number - self._forgotten))
        self._followed = min(self._followed, number)
