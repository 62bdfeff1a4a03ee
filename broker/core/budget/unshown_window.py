"""Detection of a sliding window behind a limit that only the operator states.

No header shows how such a limit refills, so it is modelled as a bucket. Where the server counts what was sent within
the last period, that bucket refills in vain: calls are refused although enough has flowed in, until the oldest charges
expire. Both predict each answer, since all of our charges are known:

- A refusal is a *vote* for the window if what was sent within the period uses the limit up, and a bucket that could not
  pay the refusal before would hold enough again for this call and one part in 32 of its size.
- Two votes, and an admission after them when the window has room for the last refused call again, decide for it. A
  counter that begins anew admits calls before that, and so do two weighted counters: then nothing has been found.
- An admission beyond the limit, or two refusals though a tenth of the window was left, disprove it for good.

What others spend makes a limit refuse calls before ours use it up: that is no vote.
"""

from bisect import bisect_right
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.units import PPM

USED_UP_PPM: Final = 970_000  # of the limit, by what was sent within a period and the call that is refused
BEYOND_PPM: Final = 1_030_000  # of it, which no window lets through
LEFT_PPM: Final = 900_000  # of it, at which a window that is believed refuses nothing
FLOWED_PARTS: Final = 32  # a bucket that may have flowed in by one part more than it needs can pay
VOTES_MIN: Final = 2
AGAINST_MAX: Final = 2
LATE_MS: Final = 500  # by which charges may be counted later than they were sent


class UnshownWindow:
    """What answers tell of one limit that no header shows.

    Attributes:
        slides: It counts by a sliding window.
        is_open: It is not disproved that it may.
    """

    __slots__ = (
        "_against",
        "_capacity",
        "_metric",
        "_period_ms",
        "_refused",
        "_refused_ms",
        "_sends",
        "_votes",
        "is_open",
        "slides",
    )

    def __init__(self, metric: LimitMetric, capacity: int, period_ms: int, sends: SentCalls) -> None:
        """`sends` are all calls that draw on the limit of `capacity` in `period_ms`."""
        self._metric, self._capacity, self._period_ms, self._sends = metric, capacity, period_ms, sends
        self._refused_ms = -1  # when the last refusal was known; -1: there was none
        self._refused = 0  # what its call would have taken
        self._votes = self._against = 0
        self.slides, self.is_open = False, True

    @property
    def awaits_admission(self) -> bool:
        """Whether the next admission decides."""
        return self.is_open and not self.slides and self._votes >= VOTES_MIN

    def record_refusal(self, number: int, amount: int, sent_ms: int, now_ms: int) -> None:
        """Record the refusal of call `number`, which was not charged; `now_ms`: when it is known."""
        refused_ms = self._refused_ms
        if not self.is_open or sent_ms < refused_ms:  # a consequence of the one before
            return
        sent = self._sent_within(number, sent_ms, self._period_ms)
        if sent is None:
            return
        self._refused_ms, self._refused = now_ms, amount
        used_ppm = (sent + amount) * PPM // self._capacity
        if self.slides:
            self._against += used_ppm < LEFT_PPM
            if self._against >= AGAINST_MAX:
                self._disprove()
        elif used_ppm < USED_UP_PPM:
            self._votes = 0
        elif refused_ms >= 0:
            since = self._sent_within(number, sent_ms, sent_ms - refused_ms) or 0
            flowed = self._capacity * (sent_ms - refused_ms) // self._period_ms - since
            self._votes += flowed >= amount + self._capacity // FLOWED_PARTS

    def record_admission(self, number: int, amount: int, sent_ms: int) -> None:
        """Record that call `number` was admitted: needed while an admission decides, or if the window forbade it."""
        sent = self._sent_within(number, sent_ms, self._period_ms - LATE_MS)
        if sent is None:
            return
        if (sent + amount) * PPM > self._capacity * BEYOND_PPM:
            self._disprove()
        elif self.awaits_admission and sent_ms >= self._refused_ms:
            self.slides = sent + max(amount, self._refused) <= self._capacity

    def _disprove(self) -> None:
        self.slides, self.is_open = False, False

    def _sent_within(self, number: int, sent_ms: int, span_ms: int) -> int | None:
        """Return what calls before that one took that were sent within so long before it; None: some are forgotten."""
        times_ms, index = self._sends.sent_ms, self._sends.index_of(number)
        if index is None or (self._sends.forgotten and times_ms[0] > sent_ms - span_ms):
            return None
        first = bisect_right(times_ms, sent_ms - span_ms, 0, index)
        return sum(self._sends.amounts[self._metric][first:index])


class UnshownWindows:
    """The operator's limits of tokens and of calls that no header shows, and how they are modelled."""

    __slots__ = ("_buckets", "_period_ms", "_windows")

    def __init__(self, settings: LimitBeliefs, buckets: BucketSet, sends: SentCalls) -> None:
        """`buckets` has those that `settings` state; `sends` are all calls of the limit."""
        stated = {TOKENS: settings.tokens, REQUESTS: settings.requests}
        self._buckets, self._period_ms = buckets, settings.period_ms
        self._windows = {
            metric: UnshownWindow(metric, capacity, settings.period_ms, sends)
            for metric, capacity in stated.items()
            if capacity is not None
        }

    def observe(self, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Process an answer; return whether a limit is modelled otherwise from now on."""
        if not self._windows:
            return False
        for reading in verdict.readings:
            self._windows.pop(reading.metric, None)
        if verdict.side_readings or verdict.side_limit is not None:
            return False
        changed = False
        for metric, window in self._windows.items():
            slid = window.slides
            if verdict.meaning is Meaning.RATE_LIMITED:
                if verdict.snapshot is None or verdict.snapshot.metric is metric:
                    window.record_refusal(call.number, call.amount(metric), call.sent_ms, now_ms)
            elif verdict.meaning in ADMITTED and (window.awaits_admission or (window.slides and call.held)):
                window.record_admission(call.number, call.amount(metric), call.sent_ms)
            if window.slides is not slid:
                changed = self._buckets.slide(metric, self._period_ms, now_ms, slides=window.slides) or changed
        return changed
