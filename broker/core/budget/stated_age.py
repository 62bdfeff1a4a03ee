"""By how much the levels that headers state may be older than the calls whose answers state them.

A gateway may look its levels up once in a few seconds, and repeat them meanwhile. Then an answer states what was left
before calls that were sent, and even answered, before its own. No header tells. But a limiter that is asked for each
call never states the very same level and time of refill to two calls between which far more was spent than has flowed
in. Where that happens, the later one of the two was told a level that is as old as the time between them; unless a call
between them was told another one: then a window that is shorter than it seems has begun anew, and comes to the same
figures again.
"""

from bisect import bisect_right
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import Reading
from headrace.broker.core.answers.refill_detection import BUCKET, Refill
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

AGE_MAX_MS: Final = 10_000  # a figure that never changes says nothing, and is not older from call to call
FIGURES_MAX: Final = 8  # whose answers may still come
SPENT_PARTS: Final = 8  # of a limit, spent between two calls; servers that round state a tenth of it as one figure

_Figure = tuple[int, int, int]
"""A limit of tokens, what remains of it, and the time until nothing of it is used, in ms."""


class StatedAge:
    """The greatest age of the levels of tokens of one limit that its answers have shown.

    Attributes:
        ms: That age; 0 while none was shown.
    """

    __slots__ = ("_by", "_sends", "_told", "ms")

    def __init__(self, sends: SentCalls) -> None:
        """`sends` are the calls of the limit."""
        self.ms = 0
        self._sends = sends
        self._by: _Figure | None = None  # the figure that has shown the age
        self._told: dict[_Figure, tuple[int, int]] = {}  # the first and the last call that each figure was stated to

    def observe(self, reading: Reading, order: AdmissionOrder, mirror: AnyMirror) -> None:
        """Compare what an answer states of the mirrored bucket with what answers to other calls stated."""
        if reading.full_in_ms is None or not 0 < reading.remaining < reading.capacity:
            return  # an empty or a full bucket is stated to many calls alike
        figure = reading.capacity, reading.remaining, reading.full_in_ms
        self._forget_repeated(figure, order.number)
        known = self._told.get(figure)
        if known is None:
            if len(self._told) >= FIGURES_MAX:
                del self._told[next(iter(self._told))]
            self._told[figure] = order.number, order.number
            return
        first, last = self._told[figure] = min(known[0], order.number), max(known[1], order.number)
        if (first, last) != known and self.ms < AGE_MAX_MS:
            before_ms = self.ms
            self._compare(first, last, mirror)
            self._by = figure if self.ms != before_ms else self._by

    def _forget_repeated(self, figure: _Figure, number: int) -> None:
        """Forget each figure that was stated before and after another one: it has come again."""
        known = self._told.get(figure)
        first, last = (number, number) if known is None else (min(known[0], number), max(known[1], number))
        others = [(other, span) for other, span in self._told.items() if other != figure]
        again = [other for other, (begin, end) in others if begin < number < end]
        if any(first < begin < last or first < end < last for _, (begin, end) in others):
            again.append(figure)
        for each in again:
            self._told.pop(each, None)
            if each == self._by:
                self._by, self.ms = None, 0

    def _compare(self, first: int, last: int, mirror: AnyMirror) -> None:
        """Compare two calls that were told the same."""
        begin, end = self._sends.index_of(first), self._sends.index_of(last)
        if begin is None or end is None:
            return
        apart_ms = self._sends.sent_ms[end] - self._sends.sent_ms[begin]
        if apart_ms <= self.ms:
            return
        spent = sum(self._sends.amounts[mirror.metric][begin + 1 : end])
        refilled = mirror.capacity * apart_ms // mirror.period_ms if mirror.refill is BUCKET else 0
        if mirror.refill is Refill.SLIDING:
            times_ms, amounts = self._sends.sent_ms, self._sends.amounts[mirror.metric]
            from_ms, until_ms = (times_ms[index] - mirror.period_ms for index in (begin, end))
            refilled = sum(amounts[bisect_right(times_ms, from_ms) : bisect_right(times_ms, until_ms)])
        elif mirror.refill is Refill.TWO:  # of what two counters hold, a share of the period gives back that share
            times_ms, amounts = self._sends.sent_ms, self._sends.amounts[mirror.metric]
            held = sum(amounts[bisect_right(times_ms, times_ms[begin] - 2 * mirror.period_ms) : begin + 1])
            refilled = held * min(apart_ms, mirror.period_ms) // mirror.period_ms
        if spent - refilled > max(mirror.step, mirror.capacity // SPENT_PARTS):
            self.ms = min(AGE_MAX_MS, apart_ms)
