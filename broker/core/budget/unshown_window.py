"""Detection of a sliding window behind a limit that only the operator states.

No header shows how such a limit refills, so it is modelled as a bucket. Where the server counts what was sent within
the last period, that bucket refills in vain: calls are refused although enough has flowed in, until the oldest charges
expire. Both predict each answer, since all of our charges are known:

- A refusal is a *vote* for the window if what was sent within the period uses the limit up, and a bucket that could not
  pay the refusal before would hold enough again for this call and one part in 32 of its size.
- Two votes, and an admission after them soon after the window has room for the last refused call again, decide for it.
  A counter that begins anew admits calls before that, and so do two weighted counters: then nothing has been found.
  After a pause in traffic they all look the same.
- An admission beyond the limit, or two refusals though a tenth of the window was left, disprove it for good.

What others spend makes a limit refuse calls before ours use it up: that is no vote.
"""

from bisect import bisect_right
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import TOKENS
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
SOON_PARTS: Final = 4  # of a period: an admission decides if the window was used up one part in so many before it
LATE_MS: Final = 500  # by which charges may be counted later than they were sent


class UnshownWindow:
    """What answers tell of the tokens that an operator states and no header shows.

    Attributes:
        slides: They count in a sliding window.
        is_open: It is not disproved that they may.
    """

    __slots__ = (
        "_against",
        "_buckets",
        "_capacity",
        "_period_ms",
        "_refused",
        "_refused_ms",
        "_sends",
        "_votes",
        "is_open",
        "slides",
    )

    def __init__(self, settings: LimitBeliefs, buckets: BucketSet, sends: SentCalls) -> None:
        """`buckets` has the one that `settings` state; `sends` are all calls that draw on the limit."""
        self._capacity, self._period_ms = settings.tokens or 0, settings.period_ms
        self._buckets, self._sends = buckets, sends
        self._refused_ms = -1  # when the last refusal was known; -1: there was none
        self._refused = 0  # what its call would have taken
        self._votes = self._against = 0
        self.slides, self.is_open = False, settings.tokens is not None

    def observe(self, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Process an answer; return whether the limit is modelled otherwise from now on."""
        if not self.is_open:
            return False
        if verdict.side_readings or any(reading.metric is TOKENS for reading in verdict.readings):
            self.is_open = False  # headers tell better
            return False
        slid = self.slides
        if verdict.meaning is Meaning.RATE_LIMITED:
            if verdict.side_limit is None and (verdict.snapshot is None or verdict.snapshot.metric is TOKENS):
                self._record_refusal(call, now_ms)
        elif verdict.meaning in ADMITTED and (self._awaits_admission or (self.slides and call.held)):
            self._record_admission(call)
        return self.slides is not slid and self._buckets.slide(self._period_ms, now_ms, slides=self.slides)

    @property
    def _awaits_admission(self) -> bool:
        """Whether an admission decides, once the window has room for the refused call again."""
        return not self.slides and self._votes >= VOTES_MIN

    def _record_refusal(self, call: Reservation, now_ms: int) -> None:
        refused_ms, sent_ms = self._refused_ms, call.sent_ms
        if sent_ms < refused_ms:  # a consequence of the one before
            return
        sent = self._sent_within(call, self._period_ms)
        if sent is None:
            return
        self._refused_ms, self._refused = now_ms, call.paid
        used_ppm = (sent + call.paid) * PPM // self._capacity
        if self.slides:
            self._against += used_ppm < LEFT_PPM
            if self._against >= AGAINST_MAX:
                self._disprove()
        elif used_ppm < USED_UP_PPM:
            self._votes = 0
        elif refused_ms >= 0:
            since = self._sent_within(call, sent_ms - refused_ms) or 0
            flowed = self._capacity * (sent_ms - refused_ms) // self._period_ms - since
            if sent * PPM > self._capacity * BEYOND_PPM:  # which has been admitted: whatever was not is known by now
                self._disprove()
            elif flowed >= call.paid + self._capacity // FLOWED_PARTS:
                self._votes += 1

    def _record_admission(self, call: Reservation) -> None:
        sent = self._sent_within(call, self._period_ms - LATE_MS)
        if sent is None:
            return
        if (sent + call.paid) * PPM > self._capacity * BEYOND_PPM:
            self._disprove()
        elif self._awaits_admission and call.sent_ms >= self._refused_ms:
            needed, soon_ms = max(call.paid, self._refused), self._period_ms // SOON_PARTS
            since, before = (self._sent_within(call, span_ms) or 0 for span_ms in (soon_ms, self._period_ms + soon_ms))
            was_used_up = (before - since + needed) * PPM >= self._capacity * USED_UP_PPM
            self.slides = was_used_up and sent + needed <= self._capacity

    def _disprove(self) -> None:
        self.slides, self.is_open = False, False

    def _sent_within(self, call: Reservation, span_ms: int) -> int | None:
        """Return what calls before it took that were sent within so long before it; None: some are forgotten."""
        times_ms, index = self._sends.sent_ms, self._sends.index_of(call.number)
        if index is None or (self._sends.forgotten and times_ms[0] > call.sent_ms - span_ms):
            return None
        first = bisect_right(times_ms, call.sent_ms - span_ms, 0, index)
        return sum(self._sends.amounts[TOKENS][first:index])
