"""Detection of a limit's refill pattern from headers: a bucket, counters between clock marks, or a sliding window.

Headers state how much is used and how long until nothing is. Each way of refilling relates the two differently
(facts/openai.md §3 for the first; the others are those of gateways):

- BUCKET: `reset = used / limit * period`. Every answer bounds the period: `used` and `reset` are whole numbers, so the
  true values lie within one unit of them. While some period agrees with all answers, it is a bucket of that period.
  Levels may also be stated in coarse steps, and `reset` in whole seconds: `CoarseBucket`.
- FIXED: a counter that begins anew at a mark. `reset` counts down to the mark, whatever is used.
- TWO: two such counters, this window's and the former's, weighted by its remaining overlap (an approximate sliding
  window). `reset` looks like that of one counter; only levels after a mark tell them apart (`rule_out`).
- SLIDING: each charge counts for one period. `reset`, right after a charge, is the period, whatever is used; in a
  refusal, which charges nothing, it is what is left of the period since the last charge.

A full bucket in its steady state looks like the others too, so the limit is taken for a bucket as long as it can be
one. An unusual period is believed only when several answers agree: a single answer of a counter computes to any period.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from headrace.broker.core.answers.coarse_bucket import CoarseBucket
from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    REQUESTS,
    RESET_MS_MAX,
    SECOND_MS,
    USUAL_PERIODS_MS,
    Reading,
)
from headrace.broker.core.answers.rising_level import RisingLevel
from headrace.broker.core.answers.window_phase import NewestMarks, Phase, WindowPhase

WINDOWS_MS: Final = (SECOND_MS, 2_000, 6_000, 10_000, 30_000, MINUTE_MS, HOUR_MS, DAY_MS)
LENGTHS_MS: Final = tuple(
    sorted({*WINDOWS_MS, 15_000, *(each * MINUTE_MS for each in (2, 3, 5, 10, 15, 30, 120, 180, 360, 720))})
)
"""Lengths that a window is taken to have: above ten seconds, each is at most twice the one before.

A window whose length is overestimated by more would not be spent again before many of its marks have passed.
"""
ANSWERS_MIN: Final = 4
"""Answers with different `used` before anything but a bucket of a usual period is believed; a limit of four calls shows
no more than three."""
SHORT_MS: Final = 2_000  # answers may take longer than a window of this period
CLOSE_MAX_MS: Final = 10_000  # of a longer window, the latest mark costs little
APART_MS: Final = 1_000  # and sent this far apart: answers of one instant look the same under all patterns
WIDE_PARTS: Final = 8  # of the period: marks that lie farther apart are told by answers that are not new
LATE_PARTS: Final = 10  # of the longest `reset`, which may be late
NARROW_PARTS: Final = 20  # an unusual period must be known to one part in this many
BOUNDLESS_MS: Final = 1 << 62
AGREEING_ANSWERS: Final = 64  # consecutive answers that agree with a bucket


class Refill(Enum):
    """The pattern in which used capacity returns."""

    BUCKET = "bucket"
    FIXED = "fixed window"
    SLIDING = "sliding window"
    TWO = "two counters"


BUCKET: Final = Refill.BUCKET  # module-level names for what every answer is compared with: faster before Python 3.12
FIXED: Final = Refill.FIXED
_COUNTERS: Final = frozenset({Refill.FIXED, Refill.TWO})


@dataclass(frozen=True, slots=True)
class RefillPattern:
    """A refill pattern with its period.

    `mark_ms` is the latest instant at which a FIXED window may end, and for TWO one at which a window may begin. A call
    sent up to `spread_ms` before that may come into the next window; None: the marks do not show it, and the admission
    delay tells. For TWO it is how far half of the newest marks differ. `loose`: charges cease to count within two
    periods, it is not known when; the pattern is TWO, or may as well be another short window of that period, of which a
    sliding one allows least.
    """

    refill: Refill
    period_ms: int
    mark_ms: int = 0
    spread_ms: int | None = None
    loose: bool = False


@dataclass(slots=True)
class _Span:
    """The interval that contains a number; empty once answers contradict each other."""

    low: int = 0
    high: int = BOUNDLESS_MS

    def narrow(self, low: int, high: int) -> None:
        self.low, self.high = max(self.low, low), min(self.high, high)

    @property
    def known(self) -> bool:
        return 0 < self.low <= self.high

    @property
    def empty(self) -> bool:
        return self.low > self.high


class RefillEvidence:
    """Evidence that the answers about one metric give.

    An answer that states another capacity starts it anew, but for what is ruled out, the named period and the marks.

    Attributes:
        has_risen: What is left has risen between two marks, so that it is not one counter.
        close_phase: The marks, if all of the last ones lie at one phase, as only those of counters do.
        fits_bucket: Levels have shown that a short window that may be any is a bucket.
    """

    def __init__(self) -> None:
        self._capacity = 0
        self._ruled_out: frozenset[Refill] = frozenset()
        self._used: set[int] = set()
        self._bucket, self._sliding, self._mark, self._late = _Span(), _Span(), _Span(), _Span()
        self._is_late = False  # levels are later than their calls' admissions, so that these calls may be paid off
        self._first_ms = self._last_ms = -1  # sending times of the first and the last answered call
        self._longest_ms = 0
        self._spaced_calls = 0  # of a limit of calls, answers to those that were sent `APART_MS` after one another
        self._passed_ms = 0  # the last mark passed
        self._phase: WindowPhase | None = None  # of the marks, once it is no bucket and may be a short window
        self._believed: RefillPattern | None = None
        self._agreed = 0  # answers in a row after which a bucket was believed
        self._newest: NewestMarks | None = None  # once it is no bucket
        self._newest_mark: Phase | None = None
        self._named_ms = 0  # the period that the header's name states
        self._coarse = CoarseBucket(0)
        self._is_inexact = False  # no period agrees with all figures as they are stated
        self._rising: RisingLevel | None = None  # what levels tell between marks, once it is no bucket
        self.has_risen = self._is_fine = False
        self.close_phase: Phase | None = None
        self.fits_bucket = False

    def observe(
        self, reading: Reading, sent_ms: int, now_ms: int, *, charged: bool = True, fine: bool = False
    ) -> RefillPattern | None:
        """Process an answer to a call sent at `sent_ms`; return the pattern believed now, or None while it is open.

        `charged`: that call was; otherwise it was refused. `fine`: the server states times in parts of a second.
        """
        self._is_fine = fine
        full_in_ms, used = reading.full_in_ms, reading.capacity - reading.remaining
        took_one = charged and reading.metric is REQUESTS and not self._is_late  # a whole call, and no debt
        if full_in_ms is None or used <= 0 or (reading.remaining <= 0 and not took_one):
            return None  # an empty limit may be in debt, a full one shows nothing
        if reading.capacity != self._capacity:
            self._capacity = reading.capacity
            self._coarse, self._is_inexact, self._rising = CoarseBucket(reading.capacity), False, None
            self._begin()
        self._coarse.observe(reading.remaining, full_in_ms)
        low = full_in_ms * reading.capacity // used
        least_used = max(used - 1, 1 if took_one else 0)
        most = _longest_ms(reading.capacity, full_in_ms, least_used)
        if self._agreed >= AGREEING_ANSWERS:
            if low <= self._bucket.low and self._bucket.high <= most:
                return self._believed
            if low > self._bucket.high or most < self._bucket.low:
                self._begin()
        if reading.named and reading.period_ms is not None:
            self._named_ms = reading.period_ms
        if len(self._used) < ANSWERS_MIN:
            self._used.add(used)
        self._bucket.narrow(low, most)
        self._late.narrow(low, _longest_ms(reading.capacity, full_in_ms, used - 1))
        self._allow_for_late()
        self._sliding.narrow(full_in_ms, full_in_ms if charged else BOUNDLESS_MS)
        if reading.metric is REQUESTS and (self._first_ms < 0 or sent_ms - self._last_ms >= APART_MS):
            self._spaced_calls += 1
        self._first_ms = sent_ms if self._first_ms < 0 else min(self._first_ms, sent_ms)
        self._last_ms = max(self._last_ms, sent_ms)
        self._longest_ms = max(self._longest_ms, full_in_ms)
        self._observe_rise(sent_ms, now_ms, full_in_ms, reading.remaining)
        self._observe_newest(sent_ms, full_in_ms, reading.remaining)
        self._observe_mark(sent_ms + full_in_ms, now_ms + full_in_ms + 1, sent_ms, now_ms)
        if self._bucket.empty:
            self._phase = self._phase or WindowPhase()
            self._phase.observe(sent_ms + full_in_ms)
        coarse, self.close_phase = self._coarse_bucket(), None
        self._believed = pattern = coarse or self._belief(now_ms)
        is_exact = coarse is None and not self._bucket.empty and pattern is not None and pattern.refill is BUCKET
        self._agreed = self._agreed + 1 if is_exact else 0
        return pattern

    def _allow_for_late(self) -> None:
        """Believe a bucket whose levels are as of the answers, if none is left in which each call took a whole one."""
        if self._bucket.empty and _usual(self._late) is not None:
            self._is_late, self._bucket = True, self._late

    def _coarse_bucket(self) -> RefillPattern | None:
        """Return the bucket that agrees with all figures as far as they are exact, if none does as they are stated."""
        self._is_inexact = self._is_inexact or self._bucket.empty
        period_ms = self._coarse.period_ms(WINDOWS_MS) if self._is_inexact else None
        return RefillPattern(BUCKET, period_ms) if period_ms is not None and period_ms > SHORT_MS else None

    @property
    def is_loose(self) -> bool:
        """Whether it is a short window that may be any: it is taken for a sliding one, which allows least."""
        believed = self._believed
        return believed is not None and believed.refill is Refill.SLIDING and believed.loose

    @property
    def is_open(self) -> bool:
        """Whether no pattern is believed."""
        return self._believed is None

    def rule_out(self, refill: Refill) -> None:
        """Exclude a pattern that the levels have disproved, whatever the times say."""
        self._ruled_out |= {refill}

    def believe_anew(self) -> None:
        """Exclude one counter no longer, nor a sliding window: levels of many windows fit the former."""
        self._ruled_out -= {FIXED, Refill.SLIDING}

    def _observe_newest(self, sent_ms: int, full_in_ms: int, remaining: int) -> None:
        if not self._bucket.empty and FIXED not in self._ruled_out:
            return
        self._newest = self._newest or NewestMarks()
        self._newest.observe(sent_ms, full_in_ms, remaining, self.window_ms)
        if FIXED in self._ruled_out:
            self._newest_mark = self._newest.middle(sent_ms + full_in_ms)

    @property
    def is_disproved(self) -> bool:
        """Whether levels have disproved all counters."""
        return self._ruled_out.issuperset(_COUNTERS)

    def judge_anew(self, kept: frozenset[Refill] = frozenset()) -> bool:
        """Exclude nothing but `kept`: the levels were compared with charges that were none. Return whether more was.

        Two counters stay what one is not, and what has risen between marks is not one, whatever calls were charged.
        """
        believed = self._believed
        if believed is not None and believed.refill is Refill.TWO and believed.period_ms > SHORT_MS:
            return False
        kept = kept | {FIXED} if self.has_risen else kept
        excluded, self._ruled_out = self._ruled_out - kept, self._ruled_out & kept
        return bool(excluded)

    def _observe_rise(self, sent_ms: int, now_ms: int, full_in_ms: int, remaining: int) -> None:
        """Rule one counter out once what is left has risen between its marks; of a short window, answers may be old."""
        window_ms, believed = self.window_ms, self._believed
        is_counter = self._bucket.empty or (believed is not None and believed.refill is FIXED)
        if not is_counter or self.has_risen or window_ms <= SHORT_MS:
            return
        if now_ms + full_in_ms - window_ms > sent_ms:
            return  # it may be of the former window
        self._rising = self._rising or RisingLevel()
        if self._rising.observe(sent_ms, full_in_ms, remaining, window_ms):
            self.has_risen = True
            self.rule_out(FIXED)

    def _observe_mark(self, low_ms: int, high_ms: int, sent_ms: int, now_ms: int) -> None:
        """Narrow down the end of the window, if there are windows.

        Answers to calls sent before a mark may come long after it.
        """
        mark = self._mark
        if sent_ms < self._passed_ms:
            return  # it may belong to the window before
        if sent_ms >= mark.high or (low_ms > mark.high and now_ms >= mark.low):
            self._passed_ms = mark.high
            mark = self._mark = _Span()
        if now_ms <= mark.high:  # otherwise it may have been charged on either side of the mark
            mark.narrow(low_ms, high_ms)

    def _belief(self, now_ms: int) -> RefillPattern | None:
        bucket = self._bucket
        if not bucket.empty:
            if (usual_ms := _usual(bucket)) is not None:
                return RefillPattern(BUCKET, usual_ms)
            narrow = (bucket.high - bucket.low) * NARROW_PARTS <= bucket.low <= RESET_MS_MAX
            if len(self._used) >= ANSWERS_MIN and narrow:
                return RefillPattern(BUCKET, (bucket.low + bucket.high) // 2)
            alike = self._sliding.low == self._sliding.high and self._sliding.high in WINDOWS_MS
            if not (narrow and alike and self._spaced_calls >= ANSWERS_MIN):
                return None  # otherwise it would be an odd bucket that every answer found at one level
        elif len(self._used) < min(ANSWERS_MIN, self._capacity - 1) and self._spaced_calls < 2 * ANSWERS_MIN:
            return None
        if self._last_ms - self._first_ms < APART_MS:
            return None
        pattern = None
        if self._sliding.low == self._sliding.high:
            pattern = self._steady(self._sliding.high)
        elif self.window_ms <= SHORT_MS:
            # any other window has a longer `reset` meanwhile, or passes its mark; a call may be a second on its way
            pattern = self._short_window(now_ms) if self._last_ms - self._first_ms > SHORT_MS + SECOND_MS else None
        else:
            pattern = self._counter(now_ms)
            if pattern is None:
                self._begin()  # no pattern fits; the next answers may be clearer
        return pattern

    def _steady(self, period_ms: int) -> RefillPattern:
        """Return what states that period each time: a sliding window, or any short one whose times are rounded up."""
        loose = period_ms <= SHORT_MS and period_ms % SECOND_MS == 0 and not self._is_fine
        if loose and self.fits_bucket:
            return RefillPattern(BUCKET, period_ms)
        return RefillPattern(Refill.SLIDING, period_ms, loose=loose)

    def _counter(self, now_ms: int) -> RefillPattern | None:
        """Return one counter, or two if one was disproved; None: neither.

        One counter's mark is that of the last calls by their sending, or else the latest that answers allow: it holds
        nothing before its mark. Two count on at theirs, so these are those of the newest levels.
        """
        period_ms = self.window_ms
        if FIXED not in self._ruled_out:
            phase = self._next_mark(period_ms, now_ms) if period_ms <= CLOSE_MAX_MS else None
            if phase is not None:
                return RefillPattern(FIXED, period_ms, phase.mark_ms, phase.spread_ms)
            return RefillPattern(FIXED, period_ms, self._mark.high) if self._mark.known else None
        newest = self._newest_mark
        if newest is None or Refill.TWO in self._ruled_out:
            return None
        return RefillPattern(Refill.TWO, period_ms, newest.mark_ms, newest.spread_ms)

    def _next_mark(self, period_ms: int, now_ms: int) -> Phase | None:
        """Return the next mark of one counter; None while marks lie anywhere.

        Where answers state what is some seconds old, or rounded, only those tell that were the first to state it.
        """
        assert self._phase is not None, "what is no bucket has marks"
        assert self._newest is not None, "what is no bucket has marks"
        self.close_phase = phase = self._phase.next_mark(period_ms, now_ms)
        is_close = phase is not None and (self._newest.is_whole or phase.spread_ms * WIDE_PARTS <= period_ms)
        return phase if is_close or FIXED in self._ruled_out else self._newest.next_mark(now_ms) or phase

    def _short_window(self, now_ms: int) -> RefillPattern:
        """Return one counter if its marks are known, else a sliding window: what that allows, any other allows too.

        Levels may disprove one pattern after another: one counter, then two, then a sliding window. What is left is a
        bucket, which is corrected by each answer.
        """
        period_ms = self.window_ms
        phase = self._next_mark(period_ms, now_ms)
        if Refill.SLIDING in self._ruled_out or self.fits_bucket:
            return RefillPattern(BUCKET, period_ms)
        if phase is None or self.is_disproved:
            return RefillPattern(Refill.SLIDING, period_ms, loose=True)
        if FIXED in self._ruled_out:
            return RefillPattern(Refill.TWO, period_ms, phase.mark_ms, phase.spread_ms, loose=True)
        return RefillPattern(FIXED, period_ms, phase.mark_ms, phase.spread_ms)

    @property
    def window_ms(self) -> int:
        """The period that is named, else the shortest usual one that is about as long as the longest `reset`.

        A header may be some seconds old. Of a window, its marks matter more than its length.
        """
        least_ms = self._longest_ms - self._longest_ms // LATE_PARTS
        return self._named_ms or next((period for period in LENGTHS_MS if period >= least_ms), self._longest_ms)

    def _begin(self) -> None:
        self._used.clear()
        self._bucket, self._sliding, self._mark, self._late = _Span(), _Span(), _Span(), _Span()
        self._first_ms = self._last_ms = -1
        self._longest_ms = self._agreed = self._spaced_calls = 0


def _longest_ms(capacity: int, full_in_ms: int, least_used: int) -> int:
    """Return the longest period of a bucket that so much was taken of."""
    return (full_in_ms + 1) * capacity // least_used + 1 if least_used else BOUNDLESS_MS


def _usual(bucket: _Span) -> int | None:
    """Return the only usual period that a bucket's may be; None: there are several, or none."""
    usual = [period for period in USUAL_PERIODS_MS if bucket.low <= period <= bucket.high]
    return usual[0] if len(usual) == 1 and bucket.high <= 3 * usual[0] else None
