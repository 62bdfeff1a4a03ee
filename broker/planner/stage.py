"""Setup of a run: the core's rules and budget as the dispatcher has them, and the pricing of requests.

All of it comes from the same settings by the same functions as in the service, so that a plan and the dispatcher cannot
disagree about the meaning of a setting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from headrace.broker.core.config import DispatchRules
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import prices
from headrace.broker.core.requests.predecessor import MakeBudget
from headrace.broker.core.ticket import Candidate
from headrace.broker.core.value import value
from headrace.broker.planner.arrivals import Arrival
from headrace.broker.service.core_config import budget_maker, dispatch_rules
from headrace.broker.service.intake.pricer import fixed_law
from headrace.broker.settings.whole import Settings
from headrace.schemas.ids import template_mark

_PRICES_MAX = 16_384  # cached prices: requests of a stream share a few hundred sizes
_FINGERPRINT = b"planned."  # no id comes twice with another content

Recognise = Callable[[Arrival, int, int, int], Candidate]
"""Builds the core's view of a request: of this arrival, with its number, its attempt and its failures so far."""


@value
class Times:
    """Assumptions of a run about the world around the dispatcher, and the seed of its chance.

    Attributes:
        way_ms: Time of a call to OpenAI, and of its answer back, each: any value between the two numbers.
        commit_ms: Duration of a transaction.
        timeout_s: Time-out of a call.
        seed: Same seed, same run.
    """

    way_ms: tuple[float, float] = (1.0, 4.0)
    commit_ms: float = 8.0
    timeout_s: float = 600.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Stage:
    """The core's side of a run; `partitions` is the number of each lane topic's partitions."""

    rules: DispatchRules
    make_budget: MakeBudget
    recognise: Recognise
    partitions: int = 6

    @classmethod
    def of(cls, settings: Settings) -> "Stage":
        """Set up the run of a dispatcher with these settings."""
        return cls(
            dispatch_rules(settings), budget_maker(settings), recogniser(settings), settings.topics.requests.partitions
        )


def recogniser(settings: Settings) -> Recognise:
    """Build the function that attributes and prices arrivals as the dispatcher's `Pricer` does requests.

    But for long contexts: `Plan.left_out` names their limits.
    """
    limits: dict[str, str] = {}
    laws = {limit: fixed_law(settings, limit) for limit in settings.limits}
    priced = lru_cache(_PRICES_MAX)(prices)

    def recognise(arrival: Arrival, number: int, attempt: int, failures: int) -> Candidate:
        model = arrival.model
        limit = limits.get(model)
        if limit is None:
            limit = limits[model] = settings.limit_for(model)
        identity = Identity(number.to_bytes(16, "big"), 0, _FINGERPRINT)
        template = template_mark(model, arrival.template)
        known = priced(arrival.endpoint, arrival.size, laws.get(limit), arrival.references, template)
        return Candidate(identity, attempt, model, limit, known, arrival.deadline_ms, None, failures, tier=arrival.tier)

    return recognise
