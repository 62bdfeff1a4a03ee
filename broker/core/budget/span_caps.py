"""Caps on what is sent within a span, learned from refusals alone.

A server that counts by short windows refuses a call although the mean rate is right. What distinguishes such a refusal
is that the sum over one span stood as high as it seldom does: calls with lower sums were admitted all the time. So each
refusal leaves the sums that its call found, and each admission too. If most of the recent refusals found a sum of one
span and metric that few admitted calls reached, so few that chance would do it once in ten thousand times, that span is
capped just below the least of these sums. (Chance has many tries: any of twelve sums, and any so many of the
refusals. Both are counted.)

But no span is capped at less than a third of a sum that was admitted lately: whatever counts a span lets through at
most twice its limit within one. A rate that other refusals have lowered makes all sums low.

A cap that was wrong, or that is no longer enforced, is raised little by little while no refusal comes, and dropped in
the end.
"""

from bisect import bisect_left
from collections import deque
from math import comb, log
from typing import Final, NamedTuple

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.greatest_sums import GreatestSums
from headrace.broker.core.budget.hold import Hold
from headrace.broker.core.budget.recent_spending import JITTER_MS, SPANS_MS, RecentSpending, Sums
from headrace.broker.core.units import PPM

REFUSALS_REMEMBERED: Final = 10
REFUSALS_MIN: Final = 3
EXPLAINED_PPM: Final = 700_000  # the part of the remembered refusals that a cap must explain
ADMISSIONS_REMEMBERED: Final = 400
ADMISSIONS_MIN: Final = 30
COMMON_PPM: Final = 200_000  # a sum that more of the admitted calls found explains nothing
EVIDENCE_MIN: Final = 11.7  # ten thousand to one for each of the twelve sums, as a natural logarithm
BELOW_PPM: Final = 980_000  # of the least sum of tokens that was refused; chosen by `make bench-limiters`
GREATEST_TIMES: Final = 3  # two windows that begin anew lie within one span; and prices have not always been right
OBSERVED_TIMES: Final = 2  # a span must have passed so often before it is capped
RAISED_EVERY: Final = 20  # admitted calls
RAISED_PPM: Final = 2_400  # each time, while few calls were admitted since; chosen by `make bench-limiters`
RAISED_TIMES_MAX: Final = 9  # the pace grows with the calls since the last refusal, up to this multiple
STEADY_CALLS: Final = 200  # admitted since the cap was set, after which it rises twice as fast
DROPPED_TIMES: Final = 16  # a cap raised to this multiple of what was refused is none

EVENLY_PPM: Final = 900_000  # of the mean gap under a cap of calls

_METRICS: Final = (False, True)  # tokens; calls


class _Cap(NamedTuple):
    """A cap that explains refusals: how well, the least sum that was refused, and how many it explains."""

    evidence: float
    of_calls: bool
    span: int
    least: int
    refusals: int


class SpanCaps:
    """Caps of each span, in tokens and in calls; None: not capped."""

    __slots__ = ("_admitted", "_calm", "_caps_ppm", "_greatest", "_holds", "_is_new", "_refused")

    def __init__(self) -> None:
        self._is_new = False  # one was found since `takes_new` was asked last
        self._caps_ppm: list[list[int | None]] = [[None] * len(SPANS_MS) for _ in _METRICS]
        self._holds = [[Hold() for _ in SPANS_MS] for _ in _METRICS]
        self._calm = [[0] * len(SPANS_MS) for _ in _METRICS]  # admitted calls since each cap was set
        self._admitted: deque[Sums] = deque(maxlen=ADMISSIONS_REMEMBERED)
        self._greatest = GreatestSums()
        self._refused: deque[Sums] = deque(maxlen=REFUSALS_REMEMBERED)

    def reprice(self, ppm: int) -> None:
        """Let each cap of tokens, and each sum of them, be this part of what it was."""
        self._caps_ppm[False] = [None if cap is None else cap * ppm // PPM for cap in self._caps_ppm[False]]
        for hold in self._holds[False]:
            hold.reprice(ppm)
        self._greatest.reprice(ppm)
        self._admitted = deque((sums.repriced(ppm) for sums in self._admitted), maxlen=ADMISSIONS_REMEMBERED)
        self._refused = deque((sums.repriced(ppm) for sums in self._refused), maxlen=REFUSALS_REMEMBERED)

    def record_admission(self, found: Sums) -> None:
        """Record the sums that a call found, itself included: an answer, or silence, shows that it was admitted."""
        self._admitted.append(found)

    def record_answer(self, found: Sums) -> None:
        """Record the sums that a call had found whose answer shows that it was admitted."""
        self._greatest.record_admission(found)

    def withdraw_admission(self, found: Sums) -> None:
        """Forget an admission that was recorded too early: the call was refused after all."""
        if found in self._admitted:
            self._admitted.remove(found)

    def raise_all(self, now_ms: int) -> None:
        """Raise each cap, since `RAISED_EVERY` calls were admitted: the longer ago it was set, the faster."""
        for caps_ppm, calm, holds in zip(self._caps_ppm, self._calm, self._holds, strict=True):
            for span, cap_ppm in enumerate(caps_ppm):
                if cap_ppm is not None and now_ms >= holds[span].until_ms:
                    calm[span] += RAISED_EVERY
                    times_ppm = min(RAISED_TIMES_MAX * PPM, PPM + (calm[span] * PPM // STEADY_CALLS) ** 2 // PPM)
                    raised_ppm = cap_ppm + cap_ppm * RAISED_PPM // PPM * times_ppm // PPM
                    caps_ppm[span] = raised_ppm if raised_ppm < DROPPED_TIMES * holds[span].figure * PPM else None

    def learn(self, found: Sums, now_ms: int, observed_ms: int) -> int:
        """Record the sums that a refused call had found; return how many refusals a cap explains, this one the last.

        `observed_ms`: how long calls have been sent. The sum over a span rises all the time until that is long enough.
        """
        self._refused.append(found)
        if len(self._admitted) < ADMISSIONS_MIN:
            return 0
        best = self._known(found)
        for of_calls in _METRICS:
            for span, span_ms in enumerate(SPANS_MS):
                if observed_ms < OBSERVED_TIMES * span_ms:
                    break
                cap = self._explained(found, span, of_calls=of_calls)
                if cap is not None and (best is None or cap.evidence > best.evidence):
                    best = cap
        if best is None:
            return 0
        self._is_new = self._is_new or self._caps_ppm[best.of_calls][best.span] is None
        self._caps_ppm[best.of_calls][best.span] = (best.least - 1) * PPM if best.of_calls else best.least * BELOW_PPM
        self._calm[best.of_calls][best.span] = 0
        self._holds[best.of_calls][best.span].begin(best.least, now_ms, isolated=True)
        return best.refusals

    def takes_new(self) -> bool:
        """Return whether refusals have shown a cap that was not known, since this was asked last."""
        is_new, self._is_new = self._is_new, False
        return is_new

    def _known(self, found: Sums) -> "_Cap | None":
        """Return the cap that was raised beyond the sum at which calls were refused once, and are again; None: none."""
        best: _Cap | None = None
        for of_calls in _METRICS:
            for span, cap_ppm in enumerate(self._caps_ppm[of_calls]):
                least = self._holds[of_calls][span].figure
                if (
                    cap_ppm is None
                    or found[of_calls][span] < least
                    or self._is_exceeded(least, span, of_calls=of_calls)
                ):
                    continue
                as_high = sum(sums[of_calls][span] >= least for sums in self._admitted)
                as_high_ppm = (as_high + 1) * PPM // (len(self._admitted) + 1)
                if as_high_ppm <= COMMON_PPM and (best is None or log(PPM / as_high_ppm) > best.evidence):
                    best = _Cap(log(PPM / as_high_ppm), of_calls, span, least, 1)
        return best

    def _explained(self, found: Sums, span: int, *, of_calls: bool) -> "_Cap | None":
        """Return the cap of this span that explains the refusals best; None: none does."""
        admitted = sorted(sums[of_calls][span] for sums in self._admitted)
        refused = sorted(sums[of_calls][span] for sums in self._refused)
        enough = max(REFUSALS_MIN, -(-len(refused) * EXPLAINED_PPM // PPM))
        best: _Cap | None = None
        for index, least in enumerate(refused[: len(refused) - enough + 1]):
            if least > found[of_calls][span]:
                break
            if self._is_exceeded(least, span, of_calls=of_calls):
                continue
            as_high_ppm = (len(admitted) - bisect_left(admitted, least) + 1) * PPM // (len(admitted) + 1)
            if as_high_ppm <= COMMON_PPM:
                above = len(refused) - index
                evidence = above * log(PPM / as_high_ppm) - log(comb(len(refused), above))
                if evidence >= EVIDENCE_MIN and (best is None or evidence > best.evidence):
                    best = _Cap(evidence, of_calls, span, least, above)
        return best

    def _is_exceeded(self, least: int, span: int, *, of_calls: bool) -> bool:
        """Return whether a call was admitted lately that found so much more that this can be no limit of the span."""
        return least * GREATEST_TIMES < self._greatest.of(span, of_calls=of_calls)

    @property
    def any(self) -> bool:
        """Whether any span is capped."""
        return any(cap_ppm is not None for caps_ppm in self._caps_ppm for cap_ppm in caps_ppm)

    @property
    def any_of_calls(self) -> bool:
        """Whether the calls of any span are capped."""
        return any(cap_ppm is not None for cap_ppm in self._caps_ppm[True])

    def per_minute(self, mean: int) -> int | None:
        """Return the thousandths of a token a minute that caps let calls of `mean` tokens spend; None: no span is."""
        rates = [
            cap_ppm // PPM * (mean if of_calls else 1) * MINUTE_MS * 1_000 // (SPANS_MS[span] + JITTER_MS)
            for of_calls in _METRICS
            for span, cap_ppm in enumerate(self._caps_ppm[of_calls])
            if cap_ppm is not None
        ]
        return min(rates, default=None)

    def gap_ms(self) -> int:
        """Return how far apart calls are sent that keep within the caps of calls evenly; 0: no span's calls are capped.

        Otherwise small calls, which a rate of tokens lets follow each other soon, use up a cap in one part of its span.
        """
        gap_ms = 0
        for span, cap_ppm in enumerate(self._caps_ppm[True]):
            if cap_ppm is not None:
                gap_ms = max(gap_ms, SPANS_MS[span] * EVENLY_PPM // cap_ppm)
        return gap_ms

    def payable_at(self, tokens: int, spending: RecentSpending, now_ms: int) -> int:
        """Return when a call of so many tokens keeps within every cap; `spending` must be settled."""
        at_ms, sums = now_ms, spending.sums()
        for of_calls in _METRICS:
            amount = 1 if of_calls else tokens
            for span, cap_ppm in enumerate(self._caps_ppm[of_calls]):
                if cap_ppm is None or not sums[of_calls][span]:
                    continue  # a call that alone exceeds a cap goes alone
                over = sums[of_calls][span] + amount - cap_ppm // PPM
                if over > 0:
                    over = min(over, sums[of_calls][span])
                    at_ms = max(at_ms, spending.falls_by_at(span, over, of_calls=of_calls) or now_ms)
        return at_ms
