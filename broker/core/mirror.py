"""Our model of one bucket of the server: an interval in which its level must lie.

Paying moves both ends of the interval, time refills both, every answer narrows it. The lower end is what we spend
from; it must not lie above the truth, and should lie little below it.

What an answer tells (facts/openai.md §3): `remaining` was the server's level right after it had admitted that call, at
some instant `taken` between sending and answer. So the level now is

    remaining + refill(now - taken) - charges of our calls that the server admits after `taken`

and the interval is the least and the most of that over every possible `taken`. Which calls come after `taken` is not
known either: a call reaches the server's limiter up to `ADMISSION_MS` after it was sent. The lower end therefore
counts as unpaid every call sent since `taken - ADMISSION_MS`, unless it had been answered when ours was sent; the upper
end counts only those sent after `taken`.
Leaving out the refill costs 6 to 43 % of the quota with calls of seconds to a minute; leaving out the calls still on
their way costs refusals at high rates. Between two sends the sum is linear in `taken`, so only sends are looked at.

Left out: a full server refills nothing until the first call has come in. That is one way's worth of refill, less than
the rounding of the calls that a full bucket pays for, unless calls are few and the way is long.

Levels are "after all that is on its way": the server will have at least `low` left when the last call has come in.
All sums are exact, in tokens times `period_ms` (see bucket.py).
"""

from bisect import bisect_right
from typing import Final

from broker.core.bucket import Bucket
from broker.core.reading import Metric
from broker.core.sends import Sends

ADMISSION_MS: Final = 1_000  # the longest way from sending to the server's limiter
ROUNDING_TOKENS: Final = 2  # laws and recorded debits differ by at most so much (facts/openai.md §2)


class Mirror:
    """One metric of a limit.

    Attributes:
        metric: What the bucket counts.
        period_assumed: The period is a guess, until an answer tells it.
        corrections: How often an answer contradicted the interval.
        last_error: By how many units of the metric it did last; negative: the server had less than believed.
    """

    def __init__(self, metric: Metric, capacity: int, period_ms: int, now_ms: int) -> None:
        """A full bucket that nobody has heard of yet: the first answer sets it, whatever it says."""
        self.metric = metric
        self.period_assumed = False
        self.corrections = 0
        self.last_error = 0
        self._low = Bucket(capacity, period_ms, capacity, now_ms)
        self._high = Bucket(capacity, period_ms, capacity, now_ms)
        self._rounding = ROUNDING_TOKENS if metric is Metric.TOKENS else 0
        self._anchor: int | None = None  # the newest call whose answer set the interval instead of narrowing it
        self._named_by = -1  # the newest call whose answer named the limit
        self._peaks: list[int] = []  # the course right before each send, every charge rounded up
        self._dips: list[int] = []  # the course right after each send, every charge rounded down
        self._forgotten = 0

    @property
    def capacity(self) -> int:
        """What the bucket holds when full."""
        return self._low.capacity

    @property
    def period_ms(self) -> int:
        """How long it takes to fill."""
        return self._low.period_ms

    def low(self, now_ms: int) -> int:
        """What is surely there."""
        return self._low.level(now_ms)

    def high(self, now_ms: int) -> int:
        """What is there at most."""
        return self._high.level(now_ms)

    def inherit(self, low: int, now_ms: int) -> None:
        """A predecessor's checkpoint: at least so much is there, and answers may only narrow that."""
        self._low.set_level(low, now_ms)
        self._anchor = -1

    def payable_at(self, amount: int, keep: int, now_ms: int) -> int:
        """When the lower end can pay so much and keep so much."""
        return self._low.payable_at(amount + self._rounding, keep, now_ms)

    def pay(self, amount: int, now_ms: int) -> None:
        """A call is sent; the server may charge a little more or less for it."""
        self._low.pay(amount + self._rounding, now_ms)
        self._high.pay(max(0, amount - self._rounding), now_ms)

    def refused(self, amount: int, number: int, now_ms: int) -> None:
        """The server refused a call that was paid, and took nothing for it.

        The lower end waits for an answer that says so: one that came in between may have given it back already.
        """
        self._high.pay(-max(0, amount - self._rounding), now_ms)
        self._retrace(number)

    def repriced(self) -> None:
        """The calls sent were dearer than they were paid: what was believed is worth nothing until the next answer."""
        self._anchor = None
        self._retrace(0)

    def follow(self, capacity: int, period_ms: int, number: int, now_ms: int) -> bool:
        """The answer to call `number` names this limit; False if the answer to a newer call named another one."""
        named = (capacity, period_ms)
        if named != (self.capacity, self.period_ms):
            if number < self._named_by:
                return False
            self._low.resize(*named, now_ms)
            self._high.resize(*named, now_ms)
            self.repriced()
        self._named_by = max(self._named_by, number)
        return True

    def observe(self, remaining: int, number: int, sends: Sends, now_ms: int) -> None:
        """The answer to call `number`: so much was left right after the server had admitted it.

        What agrees with the interval narrows it. What contradicts it replaces it: somebody else spends too, the law is
        wrong, or the server forgot. The answer to a call older than the one that set the interval knows less of that.
        """
        seen = self._seen(remaining, number, sends, now_ms)
        if seen is None:
            return
        low, high = self._low.units(now_ms), self._high.units(now_ms)
        if self._anchor is not None and seen[0] <= high and low <= seen[1]:
            seen = max(low, seen[0]), min(high, seen[1])
        elif self._anchor is not None:
            if number < self._anchor:
                return
            error = seen[0] - high if seen[0] > high else seen[1] - low
            self.corrections += 1
            self.last_error = error // self.period_ms
            self._anchor = number
        else:
            self._anchor = number
        self._low.set_units(seen[0], now_ms)
        self._high.set_units(seen[1], now_ms)

    def _seen(self, remaining: int, number: int, sends: Sends, now_ms: int) -> tuple[int, int] | None:
        """The least and the most that may be there now, in units; None if the call lies too far back.

        The course rises with time and falls with each send, so it is highest before a send and lowest after one. From
        any instant until now the level has changed as the course has.
        """
        place = sends.place(number)
        sent_ms = sends.sent_ms
        if place is None:
            return None
        # Calls before `first` were admitted when ours was sent: long ago sent, or answered by then.
        first = max(bisect_right(sent_ms, sent_ms[place] - ADMISSION_MS), sends.oldest_open[place] - sends.forgotten)
        if first <= 0 and sends.forgotten:
            return None
        self._trace(sends)
        last = max(first, bisect_right(sent_ms, now_ms - ADMISSION_MS))
        own = self._dear(sends.amounts[self.metric][place]) * self.period_ms  # is in `remaining` already
        dear, cheap = self._spent(sends, len(sent_ms))
        refilled = self.capacity * now_ms

        spent, _ = self._spent(sends, last)
        end = self.capacity * (now_ms - ADMISSION_MS) - spent - (own if place >= last else 0)
        highest = max(
            end,
            max(self._peaks[first : min(place + 1, last)], default=end + own) - own,
            max(self._peaks[place + 1 : last], default=end),
        )
        return (
            remaining * self.period_ms - self.capacity * ADMISSION_MS + (refilled - dear) - highest,
            (remaining + 1) * self.period_ms + (refilled - cheap) - min(self._dips[place:]),
        )

    def _trace(self, sends: Sends) -> None:
        """Continue the course to the last send."""
        del self._peaks[: sends.forgotten - self._forgotten], self._dips[: sends.forgotten - self._forgotten]
        self._forgotten = sends.forgotten
        dear, cheap = self._spent(sends, len(self._peaks))
        amounts = sends.amounts[self.metric]
        for place in range(len(self._peaks), len(amounts)):
            refilled = self.capacity * sends.sent_ms[place]
            cheap += max(0, amounts[place] - self._rounding) * self.period_ms
            self._peaks.append(refilled - dear)
            self._dips.append(refilled - cheap)
            dear += self._dear(amounts[place]) * self.period_ms

    def _retrace(self, number: int) -> None:
        """The course has changed from that call on."""
        place = max(0, number - self._forgotten)
        del self._peaks[place:], self._dips[place:]

    def _spent(self, sends: Sends, place: int) -> tuple[int, int]:
        """What the sends before `place` took, in units, rounded up and down."""
        if place == 0:
            return 0, 0
        refilled = self.capacity * sends.sent_ms[place - 1]
        dear = self._dear(sends.amounts[self.metric][place - 1]) * self.period_ms
        return refilled - self._peaks[place - 1] + dear, refilled - self._dips[place - 1]

    def _dear(self, amount: int) -> int:
        return amount + self._rounding if amount else 0
