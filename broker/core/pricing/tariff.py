"""What calls cost at one limit: by which law each endpoint's calls are priced, and how sure that is.

Calls of several endpoints may draw on one limit. Each endpoint has its own law and its own evidence; between two of its
answers, another endpoint's call makes the span say nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low

from broker.core.answers.rate_limit_headers import MINUTE_MS, Metric
from broker.core.answers.verdict import OK, Meaning, Verdict
from broker.core.pricing.law_identification import LawIdentification, Remaining, Sent, Usage
from broker.core.pricing.laws import Law, Prices


@dataclass(frozen=True, slots=True)
class LawStatus:
    """How the law of one endpoint stands, to be shown.

    Attributes:
        endpoint: As in `Prices`.
        law: What calls are priced by; None: the dearest law for each call, since nothing is known yet.
        identified: Whether answers support it.
        pieces: Answers that told laws apart.
        error_tokens: Our charge minus the server's, a call: the median of the last answers that tell; None: none did.
        errors: The last errors, the newest at the end.
        errors_seen: How many there ever were.
        charged_tokens: What its calls have been charged so far by that law, or by the dearest; refusals took nothing.
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
    """Every endpoint's law at one limit. `version` changes whenever a price may have."""

    def __init__(
        self, laws: Mapping[str, Law] | None = None, *, period_ms: int = MINUTE_MS, refusals_charged: bool = False
    ) -> None:
        """`laws` are those that a predecessor believed, by endpoint; `period_ms` holds until headers tell another."""
        self._inherited = dict(laws or {})
        self._period_ms = period_ms
        self._refusals_charged = refusals_charged
        self._witnesses: dict[str, LawIdentification] = {}
        self._sent: dict[int, tuple[LawIdentification, Sent]] = {}
        self._shown: dict[str, tuple[Law | None, int]] = {}
        self._settles = False
        self.version = 0

    def price(self, prices: Prices) -> int:
        """What to pay for a call before it is sent."""
        witness = self._witnesses.get(prices.endpoint) or self._witness(prices)
        law = witness.evidence.believed
        if law is None:
            return max(prices.tokens)
        return prices.tokens[prices.laws.index(law)] + (witness.output_held if law is Law.USAGE else 0)

    def least(self, prices: Prices) -> int:
        """What it costs at least, by any law that is not refuted."""
        witness = self._witnesses.get(prices.endpoint) or self._witness(prices)
        return min(prices.tokens[place] for place in witness.evidence.possible())

    def least_of(self, attempt: int) -> int:
        """The same, of a call in flight."""
        return self.least(self._sent[attempt][1].prices)

    @property
    def doubts(self) -> int:
        """Another number whenever another law may hold, so that `least` may say something else."""
        return len(self._witnesses) + sum(witness.evidence.turns for witness in self._witnesses.values())

    def settles(self, endpoint: str) -> bool:
        """Whether the endpoint's calls are believed to be charged for their output when they end."""
        witness = self._witnesses.get(endpoint)
        return self._settles and witness is not None and witness.settles

    def outstanding(self) -> int:
        """What the calls in flight will still take when they end."""
        if not self._settles:
            return 0
        return sum(each.open * each.output_held for each in self._witnesses.values() if each.settles)

    def sent(self, attempt: int, prices: Prices, now_ms: int) -> None:
        """A call leaves now."""
        mine = self._witnesses.get(prices.endpoint) or self._witness(prices)
        if len(self._witnesses) > 1:
            for witness in self._witnesses.values():
                if witness is not mine:
                    witness.passed(now_ms)
        self._sent[attempt] = mine, mine.sent(prices, now_ms)

    def heard(self, attempt: int, verdict: Verdict, usage: Usage | None, now_ms: int) -> tuple[int | None, bool]:
        """It ended like this: the charge that the server named, if it did, and whether a law explains it."""
        if verdict.meaning is OK:
            is_due = self._sent[attempt][0].is_due(now_ms)
            remaining = self._remaining(verdict) if is_due else None
            self.answered(attempt, remaining, usage, now_ms, early=verdict.early)
        elif verdict.meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE}:
            stated = verdict.snapshot
            requested = stated.requested if stated is not None and stated.metric is Metric.TOKENS else None
            return requested, self.refused(attempt, requested)
        else:
            self.lost(attempt)
        return None, True

    def _remaining(self, verdict: Verdict) -> Remaining | None:
        """What headers say of the tokens; those of a bucket that is nearly full leave out in which time it fills."""
        for reading in verdict.readings:
            if reading.metric is Metric.TOKENS:
                self._period_ms = reading.period_ms or self._period_ms
                return Remaining(reading.remaining, reading.capacity, self._period_ms)
        return None

    def answered(
        self, attempt: int, remaining: Remaining | None, usage: Usage | None, now_ms: int, *, early: bool = False
    ) -> None:
        """It was answered: what remained and what it used, if the answer tells; `early`: as of its admission."""
        witness, sent = self._sent.pop(attempt)
        witness.answered(sent, remaining, usage, now_ms, early=early)
        self._compare(sent.prices.endpoint, witness)

    def refused(self, attempt: int, requested: int | None) -> bool:
        """It was refused, and the server may have named its charge; whether a law explains that."""
        witness, sent = self._sent.pop(attempt)
        witness.refused(sent, charged=self._refusals_charged)
        explained = requested is None or witness.stated(sent.prices, requested)
        self._compare(sent.prices.endpoint, witness)
        return explained

    def lost(self, attempt: int) -> None:
        """It ended in a way that does not tell whether it was charged."""
        witness, sent = self._sent.pop(attempt)
        witness.lost(sent)

    def laws(self) -> dict[str, Law]:
        """What a successor may believe, by endpoint."""
        found = {name: witness.evidence.believed for name, witness in self._witnesses.items() if witness.chosen}
        return self._inherited | {name: law for name, law in found.items() if law is not None}

    def standings(self) -> tuple[LawStatus, ...]:
        """How each law stands."""
        return tuple(
            LawStatus(
                endpoint=endpoint,
                law=witness.evidence.believed,
                identified=witness.evidence.identified,
                pieces=witness.evidence.pieces,
                error_tokens=median_low(witness.errors) if witness.errors else None,
                errors=tuple(witness.errors),
                errors_seen=witness.errors_seen,
                charged_tokens=witness.charged_tokens,
            )
            for endpoint, witness in self._witnesses.items()
        )

    def _witness(self, prices: Prices) -> LawIdentification:
        """The first call of an endpoint has one made for all."""
        witness = self._witnesses[prices.endpoint] = LawIdentification(prices, self._inherited.get(prices.endpoint))
        self._shown[prices.endpoint] = witness.evidence.believed, witness.output_held
        self._settles = self._settles or witness.settles
        return witness

    def _compare(self, endpoint: str, witness: LawIdentification) -> None:
        """Whether its calls cost something else now."""
        believed = witness.evidence.believed
        shown = believed, witness.output_held if believed is Law.USAGE else 0
        if self._shown[endpoint] != shown:
            self._shown[endpoint] = shown
            self._settles = any(each.settles for each in self._witnesses.values())
            self.version += 1
