"""Budget of one limit: a mirror of each metric; a call pays all of them or none.

A budget knows the server's buckets as intervals (bucket_mirror.py), spends from their lower ends and is corrected by
every answer (calibration.py). Without a checkpoint it knows nothing: one call is sent first, and its answer sets the
levels.

A header describes one bucket of a metric; only its period tells which (per minute, per day). So a metric may have
several mirrors, all of them paid.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import OK, Meaning, Verdict
from headrace.broker.core.budget.admission_guide import AdmissionGuide
from headrace.broker.core.budget.blames import Blames
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.calibration import Calibration
from headrace.broker.core.budget.checkpoint import Checkpoint
from headrace.broker.core.budget.headroom import HeadroomCache
from headrace.broker.core.budget.inflow import Inflow, Least
from headrace.broker.core.budget.learned_limits import LearnedLimits
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.opening import FirstCalls
from headrace.broker.core.budget.own_cap import OwnCap
from headrace.broker.core.budget.refusals import was_turned_away
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.stated_pause import StatedPause
from headrace.broker.core.budget.tier_breaker import TierBreakers
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.pricing.unshown_input import KnownReferences
from headrace.broker.core.units import unreserved_slots

_REFUSED: Final = frozenset({Meaning.RATE_LIMITED, Meaning.TOO_LARGE})
_ASKED_TO_WAIT: Final = frozenset({Meaning.RATE_LIMITED, Meaning.OVERLOADED})

__all__ = ["Budget", "Checkpoint", "LearnedLimits", "LimitBeliefs"]


class Budget:
    """All that one limit counts. Every reservation ends exactly once, in `record_answer` or `abandon`.

    Attributes:
        settings: The operator's figures for the limit.
        believed: Whether an answer or a checkpoint has stated a level; until then one call goes first.
        breaker: The limit's circuit breaker.
        cap: The operator's own cap on its tokens; None: there is none.
        sides: Its limits that count neither tokens nor requests.
        blames: Its requests that have blamed the account.
        tiers: Those of service tiers that have refused calls lately.
        guide: Whether the mirrors are followed, or a measured rate.
        tariff: The prices of its calls.
        unstated: Whether its checkpoint may differ from the last one in the ledger, by more than the time since.
    """

    def __init__(
        self,
        settings: LimitBeliefs,
        now_ms: int,
        checkpoint: Checkpoint | None,
        known: KnownReferences | None = None,
    ) -> None:
        """`known` is what the references of requests carry, of all limits; None: of this one alone."""
        self.settings = settings
        self.believed, self.unstated = checkpoint is not None, True
        self._sends = SentCalls()
        self._buckets = BucketSet(self._sends)
        self._calls: dict[int, Reservation] = {}
        self._charged = SlidingSum()
        cap = settings.cap_tokens
        self.cap = None if cap is None else OwnCap(cap, settings.burst_ms, self._charged, now_ms)
        self._headroom = HeadroomCache()
        self._first_calls = FirstCalls(settings.tokens)
        self._asks_caps = settings.cap_tokens is not None or settings.inflight_max is not None
        self._granted: tuple[int, int, bool] | None = None  # the call that `payable_at` has just allowed
        self.breaker, self.blames, self.tiers = Breaker(), Blames(), TierBreakers()
        self._calibration = Calibration(settings, self._buckets, self._sends, checkpoint, now_ms, known=known)
        self.sides = self._calibration.sides
        self.guide = AdmissionGuide(settings, self._buckets, self.sides, self._charged, now_ms, known=self.believed)
        self._sizes, self._cooldown = self._calibration.sizes, self._calibration.cooldown
        self.tariff = self._calibration.tariff
        self._pause = StatedPause(self.guide, self._buckets, self._calibration, now_ms)
        if checkpoint is not None:
            self._charged.pay(checkpoint.charged_last_minute, now_ms)
            self.pause_until(now_ms + checkpoint.pause_ms)
            if checkpoint.measured_tokens_per_minute is not None:
                self.guide.inherit(checkpoint.measured_tokens_per_minute, now_ms)

    @property
    def inflight(self) -> int:
        """The number of reservations that have not ended."""
        return len(self._calls)

    @property
    def corrections(self) -> int:
        """The number of answers that contradicted the mirrors of tokens."""
        return sum(mirror.corrections for mirror in self._buckets.of(LimitMetric.TOKENS))

    def price(self, prices: Prices) -> int:
        """Return the tokens to expect that a call takes: no more than the buckets let one pay."""
        price, most = self.tariff.price(prices), self._buckets.payable_max
        return price if most is None or price <= most else most

    def fits(self, charge: int) -> bool:
        """Return whether a full bucket of every known metric, and the operator's cap, could ever pay this charge."""
        cap = self.settings.cap_tokens
        return (cap is None or charge <= cap) and self._buckets.can_hold(charge, self._calibration.unproven_sizes)

    def payable_at(  # noqa: PLR0913 — the particulars of one call
        self,
        charge: int,
        now_ms: int,
        *,
        reserved_ppm: int = 0,
        stated: bool = False,
        lane_order: int = 0,
        prices: Prices | None = None,
    ) -> int | None:
        """Return the first instant at which a call may be sent and every metric can pay; None: not before a call ends.

        Args:
            charge: Tokens, by our law; with `stated`, the server's own figure, which no markup applies to.
            now_ms: The caller's clock.
            reserved_ppm: The share of every bucket that is reserved for others.
            stated: The server itself has named this charge.
            lane_order: Its lane's position: before the first answer, calls of a higher lane may join lower ones.
            prices: What the call carries, for limits that count neither tokens nor requests.
        """
        paid = self._calibration.to_pay(charge, stated=stated)
        is_spare = self._headroom.covers(paid, reserved_ppm) and self.breaker.closed
        if is_spare and (not self.sides or self.sides.payable_at(prices, reserved_ppm, now_ms) <= now_ms):
            self._granted, self.guide.mirrors_hold_back = (charge, now_ms, stated), False
            return now_ms
        probe_ms = self.breaker.may_call_at(now_ms)
        first_ms: int | None = now_ms
        if not self.believed:
            calls, spent = self._calls.values(), self._charged.charged(now_ms)
            first_ms = self._first_calls.may_call_at(
                calls, spent=spent, paid=paid, reserved_ppm=reserved_ppm, lane_order=lane_order, now_ms=now_ms
            )
        if self._is_full(reserved_ppm) or probe_ms is None or first_ms is None:
            return None
        at_ms = max(now_ms, probe_ms, first_ms)
        if self.cap is not None:
            at_ms = max(at_ms, self.cap.payable_at(paid, reserved_ppm, now_ms))
        if not self.believed and not self._calls:
            # the answer to the first call sets the levels
            return max(at_ms, self._pause.until_ms, self._cooldown.may_call_at(now_ms))
        mirrored_ms = self._mirrored_at(paid, prices, reserved_ppm, now_ms)
        measured, only_mirrors = self.guide.measures, at_ms <= now_ms and self.breaker.closed
        if mirrored_ms > now_ms and only_mirrors and self.believed:
            self.guide.compare(paid, now_ms, prices, reserved_ppm)
        guided_ms = self.guide.payable_at(
            mirrored_ms, paid, prices, now_ms, reserved_ppm, believed=self.believed, only_mirrors=only_mirrors
        )
        at_ms = max(at_ms, guided_ms)
        if self.guide.measures is not measured:
            self._headroom.clear()
        if at_ms <= now_ms:
            self._granted = charge, now_ms, stated
            if self.guide.is_free and not self.guide.ramps(now_ms):
                self._cache_headroom(reserved_ppm, now_ms)
        return at_ms

    def _mirrored_at(self, paid: int, prices: Prices | None, reserved_ppm: int, now_ms: int) -> int:
        """Return when the mirrors allow a payment: pauses, bursts and levels."""
        at_ms = max(now_ms, self._pause.until_ms, self._cooldown.may_call_at(now_ms))
        at_ms = max(at_ms, self._buckets.payable_at(paid, reserved_ppm, now_ms, self._sizes.unproven_sizes))
        at_ms = max(at_ms, self.sides.payable_at(prices, reserved_ppm, now_ms)) if self.sides else at_ms
        burst = self._calibration.burst
        if burst is None:
            return at_ms
        burst_ms = burst.payable_at(paid, now_ms)
        if burst_ms > at_ms == now_ms and self._buckets.are_ample(now_ms):
            burst.hasten(now_ms)
        return max(at_ms, burst_ms)

    def inflow(self, least: Least, now_ms: int) -> Inflow:
        """Return the highest possible inflow; until a level is known it makes no request unreachable."""
        known = self.believed and not self.guide.measures
        rates, bars = self._buckets.refill_rates(now_ms, self._calibration.unproven_sizes) if known else ((), ())
        return Inflow(rates, bars, least, self.tariff.doubts)

    @property
    def measured_tokens_per_minute(self) -> int | None:
        """The measured rate that calls are sent at, whatever the mirrors say; None: the mirrors are followed."""
        return None if not self.believed or self.guide.rate is None else max(1, self.guide.rate)

    @property
    def paused_until_ms(self) -> int:
        """No call is sent earlier, unless a measured rate is followed."""
        return self._pause.until_ms

    @property
    def pause_kept_until_ms(self) -> int:
        """Until when no call is sent because the server has asked to wait; a measured rate that is followed rests."""
        return self.paused_until_ms if self.measured_tokens_per_minute is None else self.guide.rests_until_ms

    def pause_ms(self, now_ms: int) -> int:
        """Return for how long no call is sent because the server has asked to wait."""
        return max(0, self.pause_kept_until_ms - now_ms)

    def flow_ms(self, tokens: int) -> int:
        """Return how long `tokens` take to flow into the slowest bucket, or at the measured rate that is followed."""
        rate = self.measured_tokens_per_minute
        if rate is not None:
            return tokens * MINUTE_MS // rate
        return max(self._buckets.flow_ms(tokens), self.sides.flow_ms(tokens))

    def refill_beside_reserve(self, charge: int, reserved_ppm: int, *, stated: bool = False) -> int:
        """Return the longest period of buckets that cannot hold the charge beside the reserve; 0 if all can."""
        return self._buckets.refill_beside_reserve(self._calibration.to_pay(charge, stated=stated), reserved_ppm)

    def unavailable_until(self, charge: int, now_ms: int, *, stated: bool = False, prices: Prices | None = None) -> int:
        """Return until when a pause or a limit per hour or longer prevents the payment of this charge."""
        if self.measured_tokens_per_minute is not None:
            return self.pause_kept_until_ms
        paid = self._calibration.to_pay(charge, stated=stated)
        until_ms = self._buckets.payable_at(paid, 0, now_ms, self._sizes.unproven_sizes, longer_than_ms=HOUR_MS)
        side_ms = self.sides.payable_at(prices, 0, now_ms, longer_than_ms=HOUR_MS)
        return max(self.paused_until_ms, until_ms, side_ms)

    def pace_ms(self, charge: int) -> int:
        """Return how long the slowest bucket takes to refill such a call, or the measured rate to allow another one."""
        paid = self._calibration.to_pay(charge, stated=False)
        if self.measured_tokens_per_minute is not None:
            return self.flow_ms(paid)
        return max(self._buckets.pace_ms(paid), self.sides.flow_ms(paid))

    def reserve(  # noqa: PLR0913 — the particulars of one call
        self,
        attempt: int,
        charge: int,
        now_ms: int,
        *,
        stated: bool = False,
        prices: Prices | None = None,
        lane_order: int = 0,
    ) -> None:
        """Pay every metric for an attempt that is sent now; `payable_at` must allow the call at this instant."""
        assert attempt not in self._calls, "an attempt is reserved once"
        if self._granted != (charge, now_ms, stated):  # otherwise `payable_at` has just allowed it
            payable_at = self.payable_at(charge, now_ms, stated=stated, lane_order=lane_order, prices=prices)
            assert payable_at is not None, "no attempt is reserved while another must end first"
            assert payable_at <= now_ms, "no attempt is reserved before every metric can pay"
        self._granted, self.unstated = None, True
        paid = self._calibration.to_pay(charge, stated=stated)
        if self._cooldown.active and self._cooldown.record_send(now_ms):
            self._buckets.trust_no_more_than(paid, now_ms, again=self._cooldown.probe_refused)
        oldest = next(iter(self._calls.values()), None)
        self._first_calls.refused &= oldest is not None
        prices = Prices.flat(charge) if prices is None else prices
        number = self._sends.append(now_ms, paid, oldest.number if oldest else None, None if stated else prices)
        self.tariff.record_send(attempt, prices, now_ms)
        control, held = self._calibration.burst, self.guide.mirrors_hold_back
        burst = 0 if control is None or self.guide.measures else control.pay(paid, now_ms)
        unsettled = self.tariff.outstanding()
        self._calls[attempt] = Reservation(
            number, charge, paid, stated, now_ms, burst, prices.endpoint, unsettled, lane_order, held
        )
        self.guide.record_send(attempt, paid, now_ms)
        self._headroom.pay(paid)
        self._charged.pay(paid, now_ms)
        if self.cap is not None:
            self.cap.pay(paid, now_ms)
        self._buckets.pay(paid, number, now_ms)
        self.sides.record_send(prices, number, oldest.number if oldest else None, now_ms)

    def paid(self, attempt: int) -> int:
        """Return what was paid for an attempt in flight: its charge, marked up."""
        return self._calls[attempt].paid

    def record_answer(self, attempt: int, now_ms: int, verdict: Verdict, usage: TokenUsage | None = None) -> int:
        """Process an attempt's answer: correct every metric that it describes, up or down, and pause if it says so.

        Return the tokens of its charge that the server did not take, as far as the answer tells; it may be negative.
        """
        call = self._calls.pop(attempt)
        self._granted, self.unstated = None, True
        self._first_calls.refused = self._first_calls.refused or verdict.meaning is Meaning.RATE_LIMITED
        payable_ms = self._pause.payable_ms(call, now_ms)  # before it was refused
        verdict = self._calibration.believable(attempt, call, verdict, now_ms)
        if self._calibration.learn_charge(attempt, call, verdict, usage, now_ms):
            self._headroom.clear()
        self._correct_sums(call, now_ms)
        self.guide.reprice(self._calibration.repriced_ppm)
        untaken, taken = was_turned_away(verdict), None if call.stated else self.tariff.charged
        if untaken or (verdict.meaning in _REFUSED and not self.settings.refusals_charged):
            self._give_back(call, now_ms, untaken=untaken or verdict.meaning is Meaning.TOO_LARGE)
            taken = 0
        if not untaken:
            self._calibration.learn_burst(call, verdict, now_ms)
        agreed = self._calibration.correct_levels(call, verdict, now_ms) and verdict.meaning is OK
        if not agreed or not self._calibration.in_step:
            self._headroom.clear()
            self._calibration.keep_step(now_ms)
        self.believed = self.believed or verdict.states_limits or verdict.meaning is OK
        if self.guide.record_end(attempt, call, verdict, now_ms):
            self._calibration.take_back_cuts(now_ms)
        if verdict.meaning is Meaning.RATE_LIMITED and self.believed and self.breaker.closed:
            self.guide.compare(call.paid, now_ms)
        if self.guide.measures:
            self._headroom.clear()
        if verdict.wait_ms is not None and verdict.meaning in _ASKED_TO_WAIT:
            self._pause.record_wait(call, verdict, verdict.wait_ms, payable_ms, now_ms)
            self._headroom.clear()
        elif verdict.readings and self._pause.reconsider(now_ms):
            self._headroom.clear()
        return 0 if taken is None else call.charge - taken

    def abandon(self, attempt: int, now_ms: int, *, sent: bool = True) -> int:
        """End an attempt without an answer: if it was `sent`, it may have been admitted, and its charge is kept.

        Return the tokens of its charge that are given back.
        """
        call, self.unstated = self._calls.pop(attempt), True
        self.tariff.record_loss(attempt)
        self.guide.record_loss(attempt, sent=sent)
        if sent:
            return 0
        self._give_back(call, now_ms, untaken=True)
        return call.charge

    def pause_until(self, at_ms: int) -> None:
        """Allow no payment before that instant, or before the end of a longer pause."""
        self._pause.extend(at_ms)
        self._granted = None
        self._headroom.clear()

    def learned_limits(self) -> LearnedLimits:
        """Return what answers have taught about the server's tolerance."""
        return self._calibration.learned_limits()

    @property
    def foreign_tokens(self) -> int:
        """Tokens taken by other clients, as far as answers showed it and the mirrors have proved right since."""
        return self._buckets.missing.taken

    def levels(self, now_ms: int) -> tuple[LevelBounds, ...]:
        """Return the level bounds of each mirror of tokens and requests; one metric may have several periods."""
        return self._buckets.levels(now_ms)

    def charged_last_minute(self, now_ms: int) -> int:
        """Return the tokens paid within the last minute, without refused calls."""
        return self._charged.charged(now_ms)

    def checkpoint(self, now_ms: int) -> Checkpoint:
        """Return what a successor may believe, whatever the outcome of the calls in flight."""
        return Checkpoint(
            limit=self.settings.name,
            at_ms=now_ms,
            levels=self.levels(now_ms) or (self._calibration.operators_level() if self.sides else ()),
            charged_last_minute=self._charged.charged(now_ms),
            pause_ms=max(0, self.paused_until_ms - now_ms),
            markup_ppm=self._calibration.markup_ppm,
            laws=self.tariff.laws(),
            tolerated_burst_tokens=self.learned_limits().tolerated_burst_tokens,
            burst_ceiling_tokens=self.learned_limits().burst_ceiling_tokens,
            measured_tokens_per_minute=self.guide.proven_rate,
            unshown=self.tariff.unshown.by_kind(),
            factors=self.tariff.factors(),
            sides=self.sides.levels(now_ms),
        )

    def _cache_headroom(self, reserved_ppm: int, now_ms: int) -> None:
        """Cache the tokens and calls that can be spent beside the reserve, where only the buckets bound them."""
        burst = self._calibration.burst
        if self._asks_caps or burst is None or self._cooldown.active or not self.believed:
            return
        spare = self._buckets.spare(reserved_ppm, now_ms)
        if spare is not None:
            self._headroom.store(reserved_ppm, min(spare[0], burst.spare(now_ms)), spare[1])

    def _is_full(self, reserved_ppm: int) -> bool:
        """Return whether a call must end first to leave the reserved share of the slots free."""
        most = self.settings.inflight_max
        return most is not None and len(self._calls) >= unreserved_slots(most, reserved_ppm)

    def _correct_sums(self, call: Reservation, now_ms: int) -> None:
        """Count a call by what its answer has told of its charge."""
        excess = self._calibration.excess
        if excess:
            self._charged.refund(excess, call.sent_ms)
            if self.cap is not None:
                self.cap.refund(excess, now_ms)

    def _give_back(self, call: Reservation, now_ms: int, *, untaken: bool = False) -> None:
        self.sides.give_back(call.number, now_ms, untaken=untaken)
        counted = self._sends.strike(call.number)
        self._charged.refund(call.paid, call.sent_ms)
        if self.cap is not None:
            self.cap.refund(call.paid, now_ms)
        if self._calibration.burst is not None and call.burst:
            self._calibration.burst.refund(call.paid, now_ms)
        self._buckets.refund(call.paid if counted is None else counted, call.number, now_ms, untaken=untaken)
