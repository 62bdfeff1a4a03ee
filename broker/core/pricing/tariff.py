"""Prices of calls at one limit: the law that prices each endpoint's calls, and how certain it is.

Calls of several endpoints may draw on one limit. Each endpoint has its own law and its own evidence; a call of another
endpoint between two of its answers makes the span between them useless as evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET, Refill, RefillPattern
from headrace.broker.core.answers.verdict import OK, Meaning, Verdict
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import LawIdentification, Remaining, Sent, TokenUsage
from headrace.broker.core.pricing.laws import Prices


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
    """The law of every endpoint at one limit. `version` changes whenever a price may have changed."""

    def __init__(
        self, laws: Mapping[str, Law] | None = None, *, period_ms: int = MINUTE_MS, refusals_charged: bool = False
    ) -> None:
        """`laws` are those that a predecessor believed, by endpoint; None: there was none.

        `period_ms` holds until headers state another.
        """
        self._inherited, self._is_first = dict(laws or {}), laws is None
        self._period_ms = period_ms
        self._refusals_charged = refusals_charged
        self._identifications: dict[str, LawIdentification] = {}
        self._sent: dict[int, tuple[LawIdentification, Sent]] = {}
        self._shown: dict[str, tuple[Law | None, int]] = {}
        self._settles = False
        self._pattern: RefillPattern | None = None
        self.version = 0

    def refill_by(self, pattern: RefillPattern) -> None:
        """Learn how used tokens return, as headers have shown."""
        if pattern is self._pattern:
            return
        before, self._pattern = self._pattern, pattern
        anew = _window(before) != _window(pattern)
        for endpoint, identification in self._identifications.items():
            identification.refill_by(pattern, anew=anew)
            if anew:
                self._compare(endpoint, identification)

    def price(self, prices: Prices) -> int:
        """Return the amount to pay for a call before it is sent."""
        identification = self._identifications.get(prices.endpoint) or self._identify(prices)
        law = identification.evidence.believed
        if law is None:
            return max(prices.tokens)
        return prices.tokens[prices.laws.index(law)] + (identification.outputs.reserved if law is Law.USAGE else 0)

    def least(self, prices: Prices) -> int:
        """Return the least charge of a call, by any law that is not refuted."""
        identification = self._identifications.get(prices.endpoint) or self._identify(prices)
        return min(prices.tokens[index] for index in identification.evidence.possible())

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

    def outstanding(self) -> int:
        """Return the tokens that the calls in flight are still to be charged when they end."""
        if not self._settles:
            return 0
        return sum(
            identification.open * identification.outputs.reserved
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
        self._sent[attempt] = own, own.record_send(prices, now_ms)

    def observe(self, attempt: int, verdict: Verdict, usage: TokenUsage | None, now_ms: int) -> tuple[int | None, bool]:
        """Record the end of a call; return the charge that the server named, if any, and whether a law explains it."""
        if verdict.meaning is OK:
            identification, sent = self._sent[attempt]
            remaining = self._remaining(verdict) if identification.is_due(now_ms) else None
            self.record_answer(attempt, remaining, usage, now_ms, early=verdict.early)
            if verdict.charge is not None and usage is not None and not verdict.early:
                identification.record_stated_charge(sent.prices, verdict.charge, usage)
                self._compare(sent.prices.endpoint, identification)
        elif verdict.meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE}:
            stated = verdict.snapshot
            requested = stated.requested if stated is not None and stated.metric is LimitMetric.TOKENS else None
            return requested, self.record_refusal(attempt, requested)
        else:
            self.record_loss(attempt)
        return None, True

    def _remaining(self, verdict: Verdict) -> Remaining | None:
        """Return what headers state of the tokens, of the first period if there are several.

        Those of a nearly full bucket do not show its period.
        """
        for reading in verdict.readings:
            if reading.metric is LimitMetric.TOKENS:
                self._period_ms = reading.period_ms or self._period_ms
                return Remaining(reading.remaining, reading.capacity, self._period_ms)
        return None

    def record_answer(
        self, attempt: int, remaining: Remaining | None, usage: TokenUsage | None, now_ms: int, *, early: bool = False
    ) -> None:
        """Record an answer: what remained and what the call used, if stated; `early`: as of its admission."""
        identification, sent = self._sent.pop(attempt)
        identification.record_answer(sent, remaining, usage, now_ms, early=early)
        self._compare(sent.prices.endpoint, identification)

    def record_refusal(self, attempt: int, requested: int | None) -> bool:
        """Record a refusal, which may name the server's own charge; return whether a law explains that charge."""
        identification, sent = self._sent.pop(attempt)
        identification.record_refusal(sent, charged=self._refusals_charged)
        explained = requested is None or identification.record_stated_charge(sent.prices, requested)
        self._compare(sent.prices.endpoint, identification)
        return explained

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
        identification = LawIdentification(prices, self._inherited.get(prices.endpoint), of_all=of_all)
        self._identifications[prices.endpoint] = identification
        if self._pattern is not None:
            identification.refill_by(self._pattern, anew=False)
        self._shown[prices.endpoint] = identification.evidence.believed, identification.outputs.reserved
        self._settles = self._settles or identification.settles
        return identification

    def _compare(self, endpoint: str, identification: LawIdentification) -> None:
        """Raise `version` if the endpoint's calls have another price now."""
        believed = identification.evidence.believed
        shown = believed, identification.outputs.reserved if believed is Law.USAGE else 0
        if self._shown[endpoint] != shown:
            self._shown[endpoint] = shown
            self._settles = any(other.settles for other in self._identifications.values())
            self.version += 1


def _window(pattern: RefillPattern | None) -> tuple[Refill, int] | None:
    """Return what matters of a pattern for the evidence so far; None: it refills continuously."""
    return None if pattern is None or pattern.refill is BUCKET else (pattern.refill, pattern.period_ms)
