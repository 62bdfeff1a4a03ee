"""Whether levels of a window of a second or two are those of a bucket, whatever times are stated beside them.

Times in whole seconds, or levels in tenths, look alike under every way of refilling. Then the window is taken for a
sliding one, which allows least. But what is left after a call differs: a sliding window counts all that was sent in the
period, and a bucket has refilled meanwhile. So a level counts for a bucket if our calls leave it in a bucket, and a
sliding window could not leave so much even if it counted half of what they paid. A level that they do not leave in a
bucket counts against one, and weighs more: a counter that begins anew leaves some levels of a bucket by chance, while
others' spending lowers few levels of a bucket.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import Reading
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

SURE: Final = 24  # the balance at which it is a bucket
BALANCE_MAX: Final = 48
MISFIT_WEIGHT: Final = 3  # of a counter's levels a third are a bucket's by chance
LOOKED_BACK_TIMES: Final = 3  # periods: one that has not been full for so long is rare
LOOKED_BACK_MAX: Final = 256  # calls
USED_PARTS: Final = 2  # one part in so many of the limit: after less, all windows leave about as much
OVERPRICED_TIMES: Final = 2  # calls may pay so many times what a sliding window counts of them
WIDE_PARTS: Final = 2  # of the limit: a level that may be anything within one part in so many of it tells nothing


class BucketFit:
    """The levels of one short window, compared with those of a bucket.

    Attributes:
        balance: Positive: they are a bucket's.
        is_sure: It is a bucket: once the balance has reached `SURE`, and until it is negative.
    """

    __slots__ = ("balance", "is_sure")

    def __init__(self, *, known: bool = False) -> None:
        """`known`: levels have shown before that it is a bucket."""
        self.is_sure, self.balance = known, SURE if known else 0

    def observe(self, reading: Reading, period_ms: int, step: int, order: AdmissionOrder, sends: SentCalls) -> None:
        """Compare the level that an answer states, in multiples of `step`, with what our calls leave in either."""
        index, capacity = order.index, reading.capacity
        if index < 0 or not sends.amounts[reading.metric][index]:
            return
        amounts, delay_ms = sends.amounts[reading.metric], order.delay_ms
        slack = capacity * delay_ms // period_ms + charge_rounding(reading.metric) + 1
        after, before = sum(amounts[index + 1 : order.last]), sum(amounts[order.first : index])
        if (after + before + 2 * slack + step) * WIDE_PARTS > capacity:
            return
        left = self._left(reading, period_ms, index, sends)
        if not left - after - slack - step < reading.remaining <= left + before + slack:
            self.balance = max(-BALANCE_MAX, self.balance - MISFIT_WEIGHT)
            self.is_sure = self.is_sure and self.balance >= 0
            return
        counted = amounts[index] + sends.sent_between(
            reading.metric, order.sent_ms - period_ms + delay_ms, order.sent_ms - delay_ms
        )
        is_used = counted * USED_PARTS >= capacity
        if is_used and reading.remaining > capacity - counted // OVERPRICED_TIMES + slack:
            self.balance = min(BALANCE_MAX, self.balance + 1)
            self.is_sure = self.is_sure or self.balance >= SURE

    @staticmethod
    def _left(reading: Reading, period_ms: int, index: int, sends: SentCalls) -> int:
        """Return what our calls leave in a bucket once that of an index is charged."""
        amounts, times_ms, capacity = sends.amounts[reading.metric], sends.sent_ms, reading.capacity
        left, spent, at_ms = capacity, 0, times_ms[index]
        for earlier in range(index, max(-1, index - LOOKED_BACK_MAX), -1):
            passed_ms = at_ms - times_ms[earlier]
            if passed_ms > LOOKED_BACK_TIMES * period_ms:
                break
            spent += amounts[earlier]
            left = min(left, capacity + capacity * passed_ms // period_ms - spent)
        return left
