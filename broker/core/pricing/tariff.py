"""Prices of calls at one limit: the law that prices each endpoint's calls, and how certain it is.

Calls of several endpoints may draw on one limit. Each endpoint has its own law and its own evidence; a call of another
endpoint between two of its answers makes the span between them useless as evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET, Refill, RefillPattern
from headrace.broker.core.answers.verdict import OK, Meaning, Verdict
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import LawIdentification, Remaining, Sent, TokenUsage
from headrace.broker.core.pricing.laws import PRICE_MAX, Prices
from headrace.broker.core.pricing.unshown_input import Bill, UnshownInput
from headrace.broker.core.units import PPM

REPRICE_EVERY_MS: Final = 2_000
"""Calls in flight are priced again at most this often when estimates of unshown input change: they may be thousands."""


@dataclass(frozen=True, slots=True)
class LawStatus:
    """State of the law of one endpoint, for display.

    Attributes:
        endpoint: As in `Prices`.
        law: The law that calls are priced by; None: the dearest law for each call, since nothing is known yet.
        identified: Whether answers support it.
        pieces: The number of answers that told laws apart.
        error_tokens: Our charge minus the server's, per call: the median of the last answers that show it; None: none
            did.
        errors: The last errors, the newest at the end.
        errors_seen: The number of errors so far.
        charged_tokens: The charges of its calls so far by that law, or by the dearest; refused calls were not charged.
    """

    endpoint: str
    law: Law | None
    identified: bool
    pieces: int
    error_tokens: int | None
    errors: tuple[int, ...]
    errors_seen: int
    charged_tokens: int = 0


class Tariff:
    """The law of every endpoint at one limit, and the input that bodies do not show.

    Attributes:
        version: A number that changes whenever a price may have changed by more than an estimate of unshown input.
        law_version: A number that changes whenever another law is believed.
        estimates_version: A number that changes whenever the calls in flight should be priced again, since estimates of
            unshown input have changed.
        disclosed: The prices of the call that `observe` has ended, if its answer has told input that its body does not
            show; None otherwise.
        charged: What that call was charged, if it carried such input or paid for its output in advance; None otherwise,
            or if its answer does not tell.
        unshown: What is known of such input.
        capacity: Only a bucket that holds so much shows charges; None: any does.
        age_ms: By how much the levels that answers state may be older than their calls.
    """

    def __init__(
        self,
        laws: Mapping[str, Law] | None = None,
        *,
        factors: Mapping[str, int] | None = None,
        period_ms: int = MINUTE_MS,
        refusals_charged: bool = False,
        unshown: UnshownInput | None = None,
    ) -> None:
        """`laws` and `factors` (millionths) are those that a predecessor believed, by endpoint; None: there was none.

        `period_ms` holds until headers state another.
        """
        self.unshown = UnshownInput() if unshown is None else unshown
        self.disclosed: Prices | None = None
        self.charged: int | None = None
        self._priced_at, self._reprice_at_ms = self.unshown.changes, 0
        self._inherited, self._is_first = dict(laws or {}), laws is None
        self._factors = dict(factors or {})
        self._period_ms = period_ms
        self._refusals_charged = refusals_charged
        self._identifications: dict[str, LawIdentification] = {}
        self._sent: dict[int, tuple[LawIdentification, Sent]] = {}
        self._shown: dict[str, tuple[Law | None, int, int, int]] = {}
        self._settles = False
        self._pattern: RefillPattern | None = None
        self.version = self.law_version = self.estimates_version = 0
        self.capacity: int | None = None
        self.age_ms = 0

    def refill_by(self, pattern: RefillPattern) -> None:
        """Learn how used tokens return, as headers have shown."""
        if pattern is self._pattern:
            return
        before, self._pattern = self._pattern, pattern
        anew = _window(before) != _window(pattern) and not _is_held_by(pattern, before)
        for endpoint, identification in self._identifications.items():
            identification.refill_by(pattern, anew=anew)
            if anew:
                self._compare(endpoint, identification)

    def price(self, prices: Prices) -> int:
        """Return the amount to pay for a call before it is sent."""
        identification = self._identifications.get(prices.endpoint) or self._identify(prices)
        return identification.price(prices.with_input(self._expected(prices)))

    def _expected(self, prices: Prices) -> int:
        """Return the estimate of the input that a body does not show."""
        return 0 if prices.unshown is None else self.unshown.estimate(prices.unshown.references)

    def least(self, prices: Prices) -> int:
        """Return the least charge of a call, by any law that is not refuted; unshown input is left out."""
        identification = self._identifications.get(prices.endpoint) or self._identify(prices)
        return identification.least(prices)

    def least_of(self, attempt: int) -> int:
        """Return the least charge of a call in flight."""
        return self.least(self._sent[attempt][1].prices)

    @property
    def doubts(self) -> int:
        """A number that changes whenever another law may hold, so that `least` may return another value."""
        return len(self._identifications) + sum(
            identification.evidence.turns for identification in self._identifications.values()
        )

    def settles(self, endpoint: str) -> bool:
        """Return whether the endpoint's calls are believed to be charged for their output when they end."""
        identification = self._identifications.get(endpoint)
        return self._settles and identification is not None and identification.settles

    @property
    def settles_any(self) -> bool:
        """Whether the calls of any endpoint are believed to be charged for their output when they end."""
        return self._settles

    def outstanding(self) -> int:
        """Return the tokens that the calls in flight are still to be charged when they end."""
        if not self._settles:
            return 0
        return sum(
            identification.outputs.outstanding()
            for identification in self._identifications.values()
            if identification.settles
        )

    def record_send(self, attempt: int, prices: Prices, now_ms: int) -> None:
        """Record the sending of a call."""
        own = self._identifications.get(prices.endpoint) or self._identify(prices)
        if len(self._identifications) > 1:
            for identification in self._identifications.values():
                if identification is not own:
                    identification.record_foreign_send(now_ms)
        self._sent[attempt] = own, own.record_send(prices, now_ms, self._expected(prices))

    def observe(self, attempt: int, verdict: Verdict, usage: TokenUsage | None, now_ms: int) -> tuple[int | None, bool]:
        """Record the end of a call; return the charge that the server named, if any, and whether a law explains it.

        What it named for a call with unshown input is not returned: it is no measure of other calls.
        """
        told: tuple[int | None, bool] = None, True
        self.disclosed = self.charged = None
        if verdict.meaning is OK:
            identification, sent = self._sent[attempt]
            identification.age_ms = self.age_ms
            remaining = self._remaining(verdict) if identification.is_due(now_ms) else None
            self.record_answer(attempt, remaining, usage, now_ms, early=verdict.early)
            if verdict.charge is not None and usage is not None and not verdict.early:
                if identification.charges_all_input(sent.prices):
                    identification.record_stated_charge(self._told(sent), verdict.charge, usage)
                self._compare(sent.prices.endpoint, identification)
        elif verdict.meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE}:
            stated = verdict.snapshot
            requested = stated.requested if stated is not None and stated.metric is LimitMetric.TOKENS else None
            is_shown = self._sent[attempt][1].prices.unshown is None
            explained = self.record_refusal(attempt, requested)
            told = (requested, explained) if is_shown else (None, True)
        else:
            self.record_loss(attempt)
        self._compare_estimates(now_ms)
        return told

    def _remaining(self, verdict: Verdict) -> Remaining | None:
        """Return what headers state of the tokens, of the first period if there are several.

        Those of a nearly full bucket do not show its period, and those of a window compute to any; many together do.
        None if the reset is farther away than the period believed so far: no level tells a charge then.
        """
        for reading in verdict.readings:
            if reading.metric is LimitMetric.TOKENS and self.capacity in {None, reading.capacity}:
                known_ms = None if self._pattern is None or reading.named else self._pattern.period_ms
                self._period_ms = known_ms or reading.period_ms or self._period_ms
                if (reading.full_in_ms or 0) > self._period_ms:
                    return None
                return Remaining(reading.remaining, reading.capacity, self._period_ms)
        return None

    def record_answer(
        self, attempt: int, remaining: Remaining | None, usage: TokenUsage | None, now_ms: int, *, early: bool = False
    ) -> None:
        """Record an answer: what remained and what the call used, if stated; `early`: as of its admission."""
        identification, sent = self._sent.pop(attempt)
        if usage is not None:
            sent = self._learn_unshown(identification, sent, usage)
            self.charged = self._charged(identification, usage)
        identification.record_answer(sent, remaining, usage, now_ms, early=early)
        self._compare(sent.prices.endpoint, identification)

    def record_refusal(self, attempt: int, requested: int | None) -> bool:
        """Record a refusal, which may name the server's own charge; return whether a law explains that charge."""
        identification, sent = self._sent.pop(attempt)
        identification.record_refusal(sent, charged=self._refusals_charged)
        explained = True
        if requested is not None and sent.prices.unshown is not None:
            self._learn_stated(identification, sent.prices, requested)
        elif requested is not None:
            explained = identification.record_stated_charge(sent.prices, requested)
        self._compare(sent.prices.endpoint, identification)
        return explained

    def _learn_unshown(self, identification: LawIdentification, sent: Sent, usage: TokenUsage) -> Sent:
        """Learn what a call carried beside its body, and what a later request carries that names its answer."""
        prices, bill = sent.prices, Bill(usage.input + max(0, usage.output - usage.reasoning), usage.mark)
        if prices.unshown is None:
            if bill.mark:
                self.unshown.record_answer((), 0, bill)
            return sent
        surplus = usage.input - prices.unshown.billed
        self.unshown.record_answer(prices.unshown.references, surplus, bill)
        self.disclosed = prices.with_input(max(0, surplus))
        return identification.disclose(sent, self.disclosed)

    def _charged(self, identification: LawIdentification, usage: TokenUsage) -> int | None:
        """Return what a call was charged that paid for more, or less, before its answer told."""
        if identification.settles:
            return max(1, min(PRICE_MAX, usage.input + usage.output))
        return None if self.disclosed is None else identification.price(self.disclosed)

    def _told(self, sent: Sent) -> Prices:
        """Return the prices of the call that has just ended, with the input that its answer has told."""
        return sent.prices if self.disclosed is None else self.disclosed

    def _learn_stated(self, identification: LawIdentification, prices: Prices, requested: int) -> None:
        """Learn from the server's own charge for a call how much of it the body does not show."""
        law = identification.evidence.believed
        if prices.unshown is not None and law is not None and requested > prices.tokens[prices.laws.index(law)]:
            surplus = requested - prices.unshown.inputs[prices.laws.index(law)]
            self.unshown.record_stated(prices.unshown.references, surplus)

    def _compare_estimates(self, now_ms: int) -> None:
        """Raise `estimates_version` if estimates of unshown input have changed."""
        if self.unshown.changes != self._priced_at and now_ms >= self._reprice_at_ms:
            self._priced_at = self.unshown.changes
            self._reprice_at_ms = now_ms + REPRICE_EVERY_MS
            self.estimates_version += 1

    def record_loss(self, attempt: int) -> None:
        """Record an end that does not tell whether the call was charged."""
        identification, sent = self._sent.pop(attempt)
        identification.record_loss(sent)

    def laws(self) -> dict[str, Law]:
        """Return the laws that a successor may believe, by endpoint."""
        believed = {
            name: identification.evidence.believed
            for name, identification in self._identifications.items()
            if identification.has_alternatives
        }
        return self._inherited | {name: law for name, law in believed.items() if law is not None}

    def factors(self) -> dict[str, int]:
        """Return the factors that a successor may believe, in millionths, by endpoint; those of 1 are left out."""
        found = {name: identification.factor_ppm for name, identification in self._identifications.items()}
        return {name: ppm for name, ppm in (self._factors | found).items() if ppm != PPM}

    def law_statuses(self) -> tuple[LawStatus, ...]:
        """Return the state of each law."""
        return tuple(
            LawStatus(
                endpoint=endpoint,
                law=identification.evidence.believed,
                identified=identification.evidence.identified,
                pieces=identification.evidence.pieces,
                error_tokens=median_low(identification.errors) if identification.errors else None,
                errors=tuple(identification.errors),
                errors_seen=identification.errors_seen,
                charged_tokens=identification.charged_tokens,
            )
            for endpoint, identification in self._identifications.items()
        )

    def _identify(self, prices: Prices) -> LawIdentification:
        """Create the identification of an endpoint's law, at its first call."""
        of_all = self._is_first and not self._identifications
        law, factor_ppm = self._inherited.get(prices.endpoint), self._factors.get(prices.endpoint, PPM)
        identification = LawIdentification(prices, law, of_all=of_all, factor_ppm=factor_ppm)
        self._identifications[prices.endpoint] = identification
        if self._pattern is not None:
            identification.refill_by(self._pattern, anew=False)
        self._shown[prices.endpoint] = (
            identification.evidence.believed,
            identification.outputs.reserved,
            identification.factor_ppm,
            0,
        )
        self._settles = self._settles or identification.settles
        return identification

    def _compare(self, endpoint: str, identification: LawIdentification) -> None:
        """Raise `version` if the endpoint's calls have another price now."""
        believed = identification.evidence.believed
        reserved = identification.outputs.reserved if believed is Law.USAGE else 0
        shown = believed, reserved, identification.factor_ppm, identification.uncapped_size()
        before = self._shown[endpoint]
        if before != shown:
            self._shown[endpoint] = shown
            self._settles = any(other.settles for other in self._identifications.values())
            self.version += 1
            self.law_version += before[:-1] != shown[:-1]


def _window(pattern: RefillPattern | None) -> tuple[Refill, int] | None:
    """Return what matters of a pattern for the evidence so far; None: it refills continuously."""
    return None if pattern is None or pattern.refill is BUCKET else (pattern.refill, pattern.period_ms)


def _is_held_by(pattern: RefillPattern, loose: RefillPattern | None) -> bool:
    """Return whether what was evidence while any short window of a period was possible is so of this one."""
    return loose is not None and loose.loose and pattern.period_ms == loose.period_ms and pattern.refill is not BUCKET
