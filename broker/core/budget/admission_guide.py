"""When a call may be sent: by the mirrors of what a server says, or by what the limit's own measurements show.

As a rule the mirrors are right, and followed at once. Where they are not (`headrace.broker.core.budget.mirror_trust`),
or where no limit is known but of requests, a rate is measured (`headrace.broker.core.budget.rate_control`): from the
first refusal on, whether or not it is followed.
"""

from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET, Refill
from headrace.broker.core.answers.verdict import UNSTATED_WAIT_MS, Meaning, Verdict
from headrace.broker.core.budget.achievement import Bound
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.burst_ramp import TAPERED_MS, BurstRamp, is_long
from headrace.broker.core.budget.calls_foresight import CallsForesight
from headrace.broker.core.budget.doubted_mirrors import DoubtedMirrors
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.mirror_trust import LATELY_MS, REMEMBERED_MS, MirrorTrust
from headrace.broker.core.budget.rate_control import RateControl
from headrace.broker.core.budget.refusals import spent_of
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.stated_waits import BACKOFF_LEAST_MS, BACKOFF_MAX_MS
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

REFUSED_FEW_PPM: Final = 100_000  # with more refusals, what was admitted is no measure of what could have been
STEADY_MS: Final = 20_000  # a shorter time may have spent what a full bucket held
HONOURED_MS: Final = 10_000  # a wait that the mirrors do not explain costs no more before one call tests it
TESTED_MAX_MS: Final = 120_000  # a longer wait is that of a limit of a day
TIMES_ACHIEVED: Final = 10  # a period that is mistaken for another usual one makes 30 times a rate or more
CALLS_MIN: Final = 30  # a few large calls may have spent any part of what could be spent
COMPARED_EVERY_MS: Final = 500  # doubts take minutes, and looking at those minutes takes longer than deciding a call
_NONE_DELAYED: Final[frozenset[AnyMirror]] = frozenset()
GUESS: Final = 100_000
"""Tokens a minute at which a rate begins where nothing states a limit; it grows fast."""


class AdmissionGuide:
    """The trust in one limit's mirrors, its measured rate, and the ramp of its bursts.

    Attributes:
        mirrors_hold_back: Whether the mirrors held back the call that was last asked about.
    """

    __slots__ = (
        "_buckets",
        "_capacities",
        "_charged",
        "_credible",
        "_delayed",
        "_doubted",
        "_foresight",
        "_held_by",
        "_is_guess",
        "_kept",
        "_next_compare_ms",
        "_overloaded_until_ms",
        "_ramp",
        "_rate",
        "_settings",
        "_sides",
        "_trust",
        "_windows_made",
        "mirrors_hold_back",
    )

    def __init__(  # noqa: PLR0913 — one of them keyword-only
        self,
        settings: LimitBeliefs,
        buckets: BucketSet,
        sides: SideLimits,
        charged: SlidingSum,
        now_ms: int,
        *,
        known: bool,
    ) -> None:
        """`known`: a predecessor has called this server; otherwise bursts begin small at first."""
        self._settings = settings
        self._buckets = buckets
        self._sides = sides
        self._charged = charged
        self._trust = MirrorTrust(now_ms)
        self._ramp = BurstRamp(None if known else now_ms)
        self._rate: RateControl | None = None
        self._capacities: dict[tuple[str, bool, Refill, int], int] = {}  # of what the mirrors were judged by
        self._foresight: CallsForesight | None = None  # until measurements are followed
        self._doubted: DoubtedMirrors | None = None  # until a trial begins
        self._delayed = _NONE_DELAYED  # mirrors whose delay was long, when this was asked last
        self._is_guess = False
        self._credible: int | None = None  # no more tokens a minute are believed
        self._overloaded_until_ms = self._next_compare_ms = now_ms
        self._windows_made = 0
        self._held_by: dict[AnyMirror, int] = {}  # the mirrors that have held calls back lately, and when last
        self._kept: dict[int, int] = {}  # the shares that held calls had to leave lately, and when last
        self.mirrors_hold_back = False

    @property
    def measures(self) -> bool:
        """Whether the measured rate is followed: the mirrors are wrong, or no limit is known but of requests."""
        if self._rate is None:
            return False
        return self.measures_since_ms is not None or (self._buckets.shortest() is None and not self._sides)

    @property
    def measures_since_ms(self) -> int | None:
        """Since when the mirrors have not been followed; None: they are, or no limit is known but of requests."""
        return self._trust.measures_since_ms

    @property
    def proven_rate(self) -> int | None:
        """The measured rate, where it has achieved more than the mirrors: no trial is under way."""
        return None if self.measures_since_ms is None or self._trust.tries else self.rate

    @property
    def rate(self) -> int | None:
        """The measured rate in tokens a minute; None: not followed."""
        return self._rate.rate // 1_000 if self._rate is not None and self.measures else None

    @property
    def rests_until_ms(self) -> int:
        """Until when no call is sent because the server has asked to wait, while the measured rate is followed."""
        return (
            self._overloaded_until_ms
            if self._rate is None
            else max(self._overloaded_until_ms, self._rate.rests_until_ms)
        )

    @property
    def is_free(self) -> bool:
        """Whether the mirrors alone decide, and allowed the call that was last asked about."""
        return not (self.measures or self.mirrors_hold_back or (self._rate is not None and self._rate.caps_any))

    def ramps(self, now_ms: int) -> bool:
        """Return whether bursts begin small."""
        return self._ramp.active(now_ms)

    def inherit(self, tokens_per_minute: int, now_ms: int) -> None:
        """Go on measuring at the rate that a predecessor has found."""
        self._is_guess = self._stated_rate(now_ms) is None
        self._rate = RateControl(tokens_per_minute, now_ms, found=True)
        self._trust.follow_measurements(now_ms)

    def payable_at(  # noqa: PLR0913 — the particulars of one call
        self,
        mirrored_ms: int,
        paid: int,
        prices: Prices | None,
        now_ms: int,
        reserved_ppm: int,
        *,
        believed: bool,
        only_mirrors: bool,
    ) -> int:
        """Return when a call may be sent that pays `paid` tokens, and that the mirrors allow at `mirrored_ms`.

        `reserved_ppm`: the share that it must leave, the reserves of idle lanes above it; `believed`: an answer has
        come; `only_mirrors`: nothing else may hold it back.
        """
        self.mirrors_hold_back = mirrored_ms > now_ms
        if self._rate is not None and not self._is_guess and self._stated_rate(now_ms) is None:
            self._begin_rate(0, now_ms)  # what was stated has been disproved
        if believed and self._rate is not None and self.measures:
            rate_ms = self._rate.payable_at(paid, now_ms, first=not reserved_ppm)
            if self._trust.sought is not None:  # the mirrors let through too little, and nothing that was refused
                rate_ms = min(rate_ms, max(mirrored_ms, self._rate.capped_at(paid, now_ms)))
            at_ms = max(self._overloaded_until_ms, rate_ms)
            at_ms = max(at_ms, self._ramp.may_send_at(now_ms))
            if self._foresight is not None:
                at_ms = max(at_ms, self._foresight.payable_at(now_ms))
        else:
            at_ms = max(mirrored_ms, self._ramped_at(paid, prices, now_ms)) if believed else mirrored_ms
            if believed and self._rate is not None and self._rate.caps_any:  # no mirror knows of such a window
                at_ms = max(at_ms, self._rate.capped_at(paid, now_ms))
        if not only_mirrors or now_ms < self._overloaded_until_ms:
            self._trust.forget_wait()
        elif at_ms > now_ms:
            long = not self.measures and self._holds_long(paid, prices, reserved_ppm, now_ms)
            self._trust.record_wait(at_ms, now_ms, long=long)
        return max(at_ms, now_ms)

    def _holds_long(self, paid: int, prices: Prices | None, reserved_ppm: int, now_ms: int) -> bool:
        """Return whether a limit of an hour or longer, or the reserve in it, holds a call back."""
        until_ms = self._buckets.payable_at(paid, reserved_ppm, now_ms, longer_than_ms=HOUR_MS)
        return until_ms > now_ms or self._sides.any_spent(prices, HOUR_MS, now_ms, reserved_ppm)

    def _ramped_at(self, paid: int, prices: Prices | None, now_ms: int) -> int:
        """Return when a burst may go on; first see whether windows make each burst begin small."""
        made = self._buckets.made + self._sides.made
        if self._windows_made != made:
            is_any = any(is_long(each) and each.refill is not BUCKET for each in self._buckets)
            self._windows_made, self._ramp.always = made, is_any or self._sides.any_window(TAPERED_MS)
        if not self._ramp.active(now_ms):
            return now_ms
        bounded = {now_ms < mirror.contested_until_ms for mirror in self._buckets.of(LimitMetric.TOKENS)} == {True}
        windows = self._sides.windows(prices, TAPERED_MS) if self._ramp.always else ()
        joins_ms = self._ramp.joins_at(paid, self._buckets, windows, now_ms)
        return max(self._ramp.may_send_at(now_ms, bounded=bounded), joins_ms)

    def compare(self, paid: int, now_ms: int, prices: Prices | None = None, reserved_ppm: int = 0) -> bool:
        """Begin a trial of measurements if the mirrors are in doubt; return whether one has begun.

        The call that is held back pays `paid` tokens, carries what `prices` say, and must leave a reserve.
        """
        self._kept[reserved_ppm] = now_ms
        if now_ms < max(self._next_compare_ms, self._overloaded_until_ms) or not self._trust.may_begin(now_ms):
            return False
        self._next_compare_ms = now_ms + COMPARED_EVERY_MS
        if self._rate is not None and self.measures:
            return False  # there is nothing to compare it with
        if self._changes():
            self._trust.judge_anew()
        lately = self._trust.lately(now_ms)
        bounds, told = self._bounds(paid, prices, reserved_ppm, now_ms)
        if not self._trust.begins_trial(bounds, now_ms, foreign=self._buckets.missing.total, told=told):
            return False
        self._buckets.missing.withdraw()
        self._doubted = DoubtedMirrors(self._buckets)
        if self._buckets.shows_tokens:
            self._trust.watch_mirrors()  # answers go on to correct them: what they foresee in a trial tells
        steady = lately.refused_ppm < REFUSED_FEW_PPM and lately.waited_ms >= STEADY_MS
        self._credible = TIMES_ACHIEVED * lately.per_minute if steady and lately.started >= CALLS_MIN else None
        self._begin_rate(self._trust.sought or (lately.per_minute if steady else 0), now_ms)
        return True

    def _changes(self) -> bool:
        """Return whether what a limit lets through has changed since this was asked last: its size, for example.

        The same holds for a window whose delay has turned out to be short: until that was learned, up to half of a
        window of a second stayed unused, which is no fault of what is believed.
        """
        former = self._capacities
        self._capacities = self._sides.capacities() | {
            (mirror.metric.value, mirror.project, mirror.refill, mirror.period_ms): mirror.capacity
            for mirror in self._buckets
        }
        delayed, self._delayed = self._delayed, frozenset(mirror for mirror in self._buckets if mirror.has_long_delay)
        return not delayed <= self._delayed or any(
            former.get(limit, capacity) != capacity for limit, capacity in self._capacities.items()
        )

    def _bounds(self, paid: int, prices: Prices | None, reserved_ppm: int, now_ms: int) -> tuple[list[Bound], bool]:
        """Return the limits that may hold a call back: first the one that does, or the shortest, then the others.

        Others are those that have held calls back within the last minute; of side limits, all shorter than an hour.
        What calls of any lane have left unused counts with the largest reserve of the time that is judged.
        Return as well whether headers or the operator state the first.
        """
        self._kept = {ppm: at_ms for ppm, at_ms in self._kept.items() if at_ms > now_ms - REMEMBERED_MS}
        kept_ppm = max(self._kept, default=0)
        binding = self._buckets.binding(paid, now_ms, reserved_ppm)
        self._held_by = {mirror: at_ms for mirror, at_ms in self._held_by.items() if at_ms > now_ms - LATELY_MS}
        if binding is not None:
            self._held_by[binding] = now_ms
        first = binding or self._buckets.shortest()
        others = (mirror for mirror in self._held_by if mirror is not first and mirror.period_ms < HOUR_MS)
        bounds = [Bound.of(mirror, paid, now_ms, kept_ppm) for mirror in (*([first] if first else []), *others)]
        if bounds and binding is None:  # a limit of an hour is not spent yet: something else holds calls back
            bounds[0] = replace(bounds[0], long=False)
        told = first is None or self._is_known(first)
        until_ms = now_ms
        if binding is not None:
            amount = paid if binding.metric is LimitMetric.TOKENS else 1
            until_ms = binding.payable_at(amount, binding.capacity * reserved_ppm // PPM, now_ms)
        for at_ms, bound, is_stated in self._sides.bounds(prices, reserved_ppm, now_ms, kept_ppm):
            if at_ms > until_ms or not bounds:
                bounds, told, until_ms = [bound, *bounds], is_stated, at_ms
            elif not bound.long:
                bounds.append(bound)
        return bounds, told

    def _is_known(self, mirror: AnyMirror) -> bool:
        """Return whether headers or the operator state a mirror's bucket: others were only named by a refusal."""
        stated = self._settings.tokens if mirror.metric is LimitMetric.TOKENS else self._settings.requests
        per_day = self._settings.per_day(mirror.metric)
        return self._buckets.is_stated(mirror) or mirror.capacity in {stated, per_day}

    def _begin_rate(self, achieved: int, now_ms: int) -> RateControl:
        """Begin at the rate that is stated, or else at a guess; no lower than what was achieved."""
        stated = self._stated_rate(now_ms)
        self._is_guess = stated is None
        start = max(GUESS, self._charged.charged(now_ms)) if stated is None else stated
        learned = None if self._rate is None else self._rate.learned
        self._rate = RateControl(max(start, achieved), now_ms, stated=stated is not None, learned=learned)
        return self._rate

    def _stated_rate(self, now_ms: int) -> int | None:
        """Return the tokens a minute that the operator states, or else the server; None: neither does.

        Where no limit of tokens is believed, one of input that the server shows states them instead, before the
        operator does, for calls like the last ones.

        What the server states is trusted up to `TIMES_ACHIEVED` times what the mirrors achieved, if `CALLS_MIN` calls
        in `STEADY_MS` of waiting show it: a period that was mistaken may make any rate of a capacity. A window of an
        hour or longer states none, since it may be spent at once; nor does a size that was shown too coarsely.
        """
        shortest, tokens = self._buckets.shortest(), self._settings.tokens
        if shortest is None:
            bounds = self._sides.bounds(None, 0, now_ms) if self._sides else ()
            rates = [bound.per_minute for _, bound, is_stated in bounds if is_stated and not bound.long]
        else:
            unstated = shortest.refill is not BUCKET and shortest.period_ms >= HOUR_MS
            unstated = unstated or shortest.capacity in self._buckets.coarse
            rates = [] if unstated else [shortest.capacity * MINUTE_MS // shortest.period_ms]
        if tokens is not None and (shortest is not None or not rates):
            return tokens * MINUTE_MS // self._settings.period_ms
        stated = min(rates, default=None)
        return stated if self._credible is None or stated is None else min(stated, self._credible)

    def record_send(self, attempt: int, paid: int, now_ms: int) -> None:
        """Record a call that is sent now."""
        self._ramp.record_send(paid, now_ms)
        if self._rate is not None:
            stated = self._stated_rate(now_ms)
            if stated is not None:
                self._rate.learn_stated(stated)
            self._rate.record_send(attempt, paid, now_ms)
        if self.measures:
            self._foresight = self._foresight or CallsForesight(self._buckets)
            self._foresight.record_send(attempt, now_ms)
        self._trust.record_send(attempt, paid, now_ms)

    def record_end(self, attempt: int, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Record an answer; return whether it is a refusal that has shown a new cap of a span, as others had."""
        if self._foresight is not None:
            self._foresight.record_end(attempt, verdict.meaning)
        if verdict.meaning is Meaning.RATE_LIMITED:
            self._record_refusal(attempt, call, verdict, now_ms)
        elif verdict.meaning in ADMITTED:
            self._ramp.record_admission(call.sent_ms, now_ms)
            if self._rate is not None:
                self._rate.record_admission(attempt, call.sent_ms, now_ms)
            self._trust.record_admission(attempt, held=call.held)
        else:
            self.record_loss(attempt)
        if verdict.meaning is Meaning.OVERLOADED and verdict.wait_ms is not None:
            self._overloaded_until_ms = max(self._overloaded_until_ms, now_ms + verdict.wait_ms)
        self._trust.end_trial(now_ms)
        if self.measures:
            self._buckets.missing.withdraw()
            if self._doubted is not None and self._doubted.are_replaced():
                self._trust.renew(explained=self._doubted.explained)
        else:
            self._buckets.missing.settle(now_ms)
        return self._rate is not None and self._rate.learned.caps.takes_new()

    def _record_refusal(self, attempt: int, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        rate, others = self._rate or self._begin_rate(0, now_ms), self._buckets.others
        before, metrics = rate.events, spent_of(call, verdict)
        lately = self._trust.lately(now_ms)
        theirs, known = (False, False) if self.measures else others.excuse(metrics, now_ms, lately)
        rate.record_refusal(attempt, call.paid, call.sent_ms, now_ms, verdict.wait_ms, known=known)
        self._ramp.record_refusal(now_ms, known=known)
        is_event = rate.events > before
        self._trust.record_refusal(attempt, call.sent_ms, now_ms, held=call.held, is_event=is_event, theirs=theirs)

    def wait_ms(self, stated_ms: int, payable_ms: int, now_ms: int, *, is_window: bool = False) -> int:
        """Return how long to wait after a refusal that states `stated_ms`, where the mirrors can pay at `payable_ms`.

        If the mirrors see no reason for a long wait, it is tested by a single call after `HONOURED_MS`; where such
        waits were disproved, as soon as they can pay. One that is kept is longer where calls were refused all the same
        after such a wait. `is_window`: a window is spent, whose mirror knows better than a second, the least that whole
        seconds state.
        """
        if self._rate is None:
            return stated_ms
        rest_ms = self._rate.rest_ms(now_ms)
        if is_window and payable_ms > now_ms:
            if stated_ms <= UNSTATED_WAIT_MS:
                return min(stated_ms, payable_ms - now_ms)
            if self._rate.learned.waits.are_disproved and stated_ms <= TESTED_MAX_MS:
                return min(stated_ms, max(payable_ms - now_ms, rest_ms))
        if payable_ms + HONOURED_MS >= now_ms + stated_ms or stated_ms > TESTED_MAX_MS:
            return max(stated_ms, min(BACKOFF_MAX_MS, rest_ms) if rest_ms > BACKOFF_LEAST_MS else 0)
        return stated_ms if self._buckets.shortest() is None else min(stated_ms, max(HONOURED_MS, rest_ms))

    def record_loss(self, attempt: int, *, sent: bool = True) -> None:
        """Record a call that ended without an answer: if it was `sent`, it may have been admitted."""
        if self._foresight is not None:
            self._foresight.record_end(attempt, None)
        if self._rate is not None:
            self._rate.record_loss(attempt)
        if sent:
            self._trust.record_loss(attempt)
        else:
            self._trust.record_unsent(attempt)

    def reprice(self, ppm: int) -> None:
        """Go on with other prices: calls like those so far pay this part of what they paid."""
        if ppm == PPM:
            return
        self._trust.reprice(ppm)
        if self._rate is not None:
            self._rate.reprice(ppm)
