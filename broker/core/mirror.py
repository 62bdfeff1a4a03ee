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
Leaving out the refill costs 6 to 43 % of the quota with calls of seconds to a minute; leaving out the calls still on
their way costs refusals at high rates. Between two sends the sum is linear in `taken`, so only sends are looked at.

Left out: a full server refills nothing until the first call has come in. That is one way's worth of refill, less than
the rounding of the calls that a full bucket pays for, unless calls are few and the way is long.

Levels are "after all that is on its way": the server will have at least `low` left when the last call has come in.
All sums are exact, in tokens times `period_ms` (see bucket.py).
"""

from bisect import bisect_left, bisect_right
from typing import Final

from broker.core.bucket import Bucket
from broker.core.extremes import Extremes
from broker.core.reading import Metric
from broker.core.refill import Refill
from broker.core.sends import Sends

ROUNDING_TOKENS: Final = 2  # laws and recorded debits differ by at most so much (facts/openai.md §2)


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
        self._low = Bucket(capacity, period_ms, capacity, now_ms)
        self._high = Bucket(capacity, period_ms, capacity, now_ms)
        self._rounding = ROUNDING_TOKENS if metric is Metric.TOKENS else 0
        self._silent = True  # nobody has ever said what is there
        self._anchor: int | None = None  # the newest call whose answer set the interval instead of narrowing it
        self._named_by = -1  # the newest call whose answer named the limit
        self._extremes = Extremes()
        self._forgotten = 0

    def low(self, now_ms: int) -> int:
        """What is surely there."""
        return self._low.level(now_ms)

    def high(self, now_ms: int) -> int:
        """What is there at most."""
        return self._high.level(now_ms)

    def inherit(self, low: int, now_ms: int) -> None:
        """A predecessor's checkpoint: at least so much is there, and answers may only narrow that."""
        self._low.set_level(low, now_ms)
        self._anchor, self._silent = -1, False

    def trust_no_more_than(self, amount: int, now_ms: int) -> None:
        """Less may be there than believed, yet enough for this; the next answer tells."""
        self._low.set_level(min(amount + self._rounding, self._low.level(now_ms)), now_ms)

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """When the lower end can pay so much and keep so much."""
        return self._low.payable_at(amount + self._rounding, keep, now_ms)

    def pay(self, amount: int, number: int, now_ms: int) -> None:
        """Call `number` is sent; the server may charge a little more or less for it."""
        self._low.pay(amount + self._rounding, now_ms)
        self._high.pay(max(0, amount - self._rounding), now_ms)

    def refused(self, amount: int, number: int, now_ms: int) -> None:
        """The server refused a call that was paid, and took nothing for it.

        The lower end waits for an answer that says so: one that came in between may have given it back already.
        """
        self._high.pay(-max(0, amount - self._rounding), now_ms)
        self._retrace(number)

    def repriced(self, sends: Sends) -> None:
        """The calls sent were dearer than they were paid: what was believed is worth nothing until the next answer."""
        self._forget_level()
        if self._silent and sends.sent_ms and not sends.forgotten:  # nor will there be one: pay all of them anew
            capacity, period_ms = self.capacity, self.period_ms
            self._low, self._high = (Bucket(capacity, period_ms, capacity, sends.sent_ms[0]) for _ in range(2))
            for sent_ms, amount in zip(sends.sent_ms, sends.amounts[self.metric], strict=True):
                self.pay(amount, 0, sent_ms)

    def _forget_level(self) -> None:
        self._anchor = None
        self._retrace(0)

    def follow(self, capacity: int, period_ms: int, number: int, now_ms: int) -> bool:
        """The answer to call `number` names this limit; False if the answer to a newer call named another one."""
        if capacity != self.capacity or period_ms != self.period_ms:
            if number < self._named_by:
                return False
            self.capacity, self.period_ms = capacity, period_ms
            self._low.resize(capacity, period_ms, now_ms)
            self._high.resize(capacity, period_ms, now_ms)
            self._forget_level()
        self._named_by = max(self._named_by, number)
        return True

    def doubt(self, remaining: int, number: int, sends: Sends, now_ms: int, way_ms: int) -> None:
        """Call `number` was refused although the lower end could pay it: that was too high, if ever so little.

        What the refusal says may still agree with the interval, which is wider than what was missing. So the lower end
        begins anew from what it says.
        """
        seen = self._seen(remaining, number, sends, now_ms, way_ms)
        if seen is not None:
            self._low.set_units(min(seen[0], self._low.units(now_ms)), now_ms)

    def observe(self, remaining: int, number: int, sends: Sends, now_ms: int, way_ms: int) -> int | None:
        """The answer to call `number`: so much was left right after the server had admitted it.

        What agrees with the interval narrows it. What contradicts it replaces it: somebody else spends too, the law is
        wrong, the way is longer than believed, or the server forgot. The answer to a call older than the one that set
        the interval knows less of that.

        Returns:
            0 if it agreed, by how many units it contradicted (negative: the server had less than believed), or None
            if it told nothing: the first answer, or one too old.
        """
        seen = self._seen(remaining, number, sends, now_ms, way_ms)
        if seen is None:
            return None
        self._silent = False
        low, high = self._low.units(now_ms), self._high.units(now_ms)
        error: int | None = None
        if self._anchor is not None and seen[0] <= high and low <= seen[1]:
            seen = max(low, seen[0]), min(high, seen[1])
            error = 0
        elif self._anchor is not None:
            if number < self._anchor:
                return None
            error = (seen[0] - high if seen[0] > high else seen[1] - low) // self.period_ms
            self.corrections += 1
            self.last_error = error
            self._anchor = number
        else:
            self._anchor = number
        self._low.set_units(seen[0], now_ms)
        self._high.set_units(seen[1], now_ms)
        return error

    def _seen(self, remaining: int, number: int, sends: Sends, now_ms: int, way_ms: int) -> tuple[int, int] | None:
        """The least and the most that may be there now, in units; None if the call lies too far back.

        The course rises with time and falls with each send, so it is highest before a send and lowest after one. From
        any instant until now the level has changed as the course has.
        """
        place = sends.place(number)
        if place is None:
            return None
        sent_ms = sends.sent_ms
        # Calls before `first` were admitted when ours was: sent long before, or answered by then.
        first = max(bisect_right(sent_ms, sent_ms[place] - way_ms), sends.oldest_open[place] - sends.forgotten)
        if first <= 0 and sends.forgotten:
            return None
        if len(self._extremes) < len(sent_ms) or self._forgotten != sends.forgotten:
            self._trace(sends)
        capacity, period_ms = self.capacity, self.period_ms
        last = bisect_right(sent_ms, sent_ms[place] + way_ms, lo=place)
        own = self._dear(sends.amounts[self.metric][place]) * period_ms  # is in `remaining` already
        dear, cheap = self._spent(sends, len(sent_ms))
        refilled = capacity * now_ms
        # Seen from a way before `taken`, which is between the sending and now.
        end_ms = min(now_ms - way_ms, sent_ms[place])
        stop = min(bisect_right(sent_ms, end_ms), place + 1)
        spent, _ = self._spent(sends, max(first, bisect_left(sent_ms, end_ms)))
        highest = capacity * end_ms - spent
        if first < stop:
            highest = max(highest, self._extremes.highest(first, stop))
        lowest = self._extremes.lowest(place, last)
        return (
            min(capacity * period_ms, remaining * period_ms - capacity * way_ms + (refilled - dear + own) - highest),
            (remaining + 1) * period_ms + (refilled - cheap) - lowest,
        )

    def _trace(self, sends: Sends) -> None:
        """Continue the course to the last send."""
        extremes = self._extremes
        extremes.forget(sends.forgotten - self._forgotten)
        self._forgotten = sends.forgotten
        dear, cheap = self._spent(sends, len(extremes))
        amounts = sends.amounts[self.metric]
        for place in range(len(extremes), len(amounts)):
            refilled = self.capacity * sends.sent_ms[place]
            cheap += max(0, amounts[place] - self._rounding) * self.period_ms
            extremes.append(refilled - dear, refilled - cheap)
            dear += self._dear(amounts[place]) * self.period_ms

    def _retrace(self, number: int) -> None:
        """The course has changed from that call on."""
        self._extremes.cut(max(0, number - self._forgotten))

    def _spent(self, sends: Sends, place: int) -> tuple[int, int]:
        """What the sends before `place` took, in units, rounded up and down."""
        if place == 0:
            return 0, 0
        refilled = self.capacity * sends.sent_ms[place - 1]
        dear = self._dear(sends.amounts[self.metric][place - 1]) * self.period_ms
        return refilled - self._extremes.peaks[place - 1] + dear, refilled - self._extremes.dips[place - 1]

    def _dear(self, amount: int) -> int:
        return amount + self._rounding if amount else 0
