"""What is summed and sampled of all outcomes with one template and model, and of the requests beside them."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.spending.advice.finding import Subject
from headrace.broker.spending.advice.records import (
    OutcomeFacts,
    RequestFacts,
    facts_of_outcome,
    seconds,
)
from headrace.broker.spending.advice.sampling import HashSample
from headrace.broker.spending.sizes import bucket_of
from headrace.broker.spending.sums import UsageSums, tier_of
from headrace.schemas.outcome import Usage
from headrace.schemas.spending import AdvisedOutcome

SLOT_S: Final = 300
"""A prefix stays cached for five to ten minutes after its last use, so a call within the next slot still meets it."""
SLOTS_CACHED: Final = 1.5
"""The same in slots: the middle of what is known."""
SLOTS_MAX: Final = 10_000
LANES_MAX: Final = 32
OUTCOMES_SAMPLED: Final = 512
REQUESTS_SAMPLED: Final = 96
REQUESTS_LEAST: Final = 8
UNNAMED_FACTOR: Final = 4
"""Requests without a template are many workloads in one group, and so it may be this much larger."""
GROUP_BYTES_MAX: Final = 512 * 1024
"""Compressed text of prompts in one group."""


class CallSums(UsageSums):
    """Sums over answered calls, and their mean call."""

    __slots__ = ()

    def mean(self, **changed: float) -> Usage:
        """Return the usage of a mean call, with some of it changed."""
        calls = max(1, self.metered)
        names = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
        mean = {name: getattr(self, name) / calls for name in names} | changed
        whole = {name: max(0, round(tokens)) for name, tokens in mean.items()}
        whole["cached_tokens"] = min(whole["cached_tokens"], whole["input_tokens"])
        uncached = whole["input_tokens"] - whole["cached_tokens"]
        whole["cache_write_tokens"] = min(whole["cache_write_tokens"], uncached)
        return Usage(total_tokens=whole["input_tokens"] + whole["output_tokens"], **whole)

    @property
    def paid(self) -> int | None:
        """Pico-dollars; None if any of the calls has no price."""
        return None if self.unpriced or self.without_cost else self.pico_usd


@dataclass(slots=True)
class OutcomeGroup:
    """Outcomes of one template and one model.

    Attributes:
        price_model: The model's full name, as the last answer stated it.
        extra_attempts: HTTP calls beyond the first of each outcome.
        lanes: Sums of the answered calls by lane and tier asked for.
        slots: Spans of `SLOT_S` in which a call started.
    """

    template: str | None
    model: str
    price_model: str = ""
    outcomes: int = 0
    extra_attempts: int = 0
    retried: int = 0
    answered: CallSums = field(default_factory=CallSums)
    cut: CallSums = field(default_factory=CallSums)
    failed: dict[str, CallSums] = field(default_factory=dict)
    unmetered_late: int = 0
    reasoning: int = 0
    lanes: dict[tuple[str, str], CallSums] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)
    outputs: Counter[int] = field(default_factory=Counter)
    output_max: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    sample: HashSample[OutcomeFacts] = field(init=False)

    def __post_init__(self) -> None:
        factor = UNNAMED_FACTOR if self.template is None else 1
        self.sample = HashSample(OUTCOMES_SAMPLED * factor)

    def add(self, outcome: AdvisedOutcome, key: int) -> tuple[bool, int | None]:
        """Count an outcome; return whether it is sampled under its key, and the key that had to go for it."""
        self.outcomes += 1
        self.extra_attempts += max(0, outcome.attempts - 1)
        self.retried += outcome.attempts > 1
        if outcome.status == "failed":
            self._add_failed(outcome)
            return False, None
        if outcome.usage is None:
            return False, None
        self._add_answered(outcome)
        if not self.sample.wants(key):
            return False, None
        dropped = self.sample.put(key, facts_of_outcome(outcome, self.model))
        return True, None if dropped is None else dropped[0]

    def _add_failed(self, outcome: AdvisedOutcome) -> None:
        reason = (outcome.reason or "")[:64]
        if outcome.usage is not None and (len(self.failed) < LANES_MAX or reason in self.failed):
            self.failed.setdefault(reason, CallSums()).add_usage(outcome.usage, outcome.cost)
        elif reason == "deadline_exceeded" and outcome.attempts:
            self.unmetered_late += 1

    def _add_answered(self, outcome: AdvisedOutcome) -> None:
        usage = outcome.usage
        assert usage is not None  # noqa: S101 — programmer error: the caller has looked
        self.price_model = outcome.model or self.price_model
        self.answered.add_usage(usage, outcome.cost)
        self.reasoning += usage.reasoning_tokens
        self.outputs[bucket_of(usage.output_tokens)] += 1
        self.output_max = max(self.output_max, usage.output_tokens)
        if outcome.finish == "length":
            self.cut.add_usage(usage, outcome.cost)
        tier = tier_of(outcome)[:32]
        if len(self.tiers) < LANES_MAX or tier in self.tiers:
            self.tiers[tier] += 1
        lane = ((outcome.lane or "")[:256], (outcome.tier_asked or "")[:32])
        if len(self.lanes) < LANES_MAX or lane in self.lanes:
            self.lanes.setdefault(lane, CallSums()).add_usage(usage, outcome.cost)
        called_s = seconds(outcome.timings.called_at or outcome.timings.finished_at)
        if called_s is not None and len(self.slots) < SLOTS_MAX:
            self.slots.add(int(called_s // SLOT_S))

    @property
    def subject(self) -> Subject:
        """What a finding about it names."""
        return Subject(self.template, self.model, self.answered.metered)

    def hit_share(self, share: float) -> float:
        """Return the share of the calls that would find a prefix in the cache which `share` of the calls have.

        A prefix is gone after five to ten minutes without a call. So the first call of each run of occupied slots finds
        nothing, and in between a rare prefix finds something only by the chance that it was used just before.
        """
        if not self.slots or not self.answered.metered:
            return 1.0
        runs = sum(1 for slot in self.slots if slot - 1 not in self.slots)
        often = max(0.0, 1 - runs / self.answered.metered)
        if share >= 1:
            return often
        per_slot = share * self.answered.metered / len(self.slots)
        return often * (1 - math.exp(-SLOTS_CACHED * per_slot))


@dataclass(slots=True)
class RequestPool:
    """Sampled requests of one template and the model that they name."""

    template: str | None
    seen: int = 0
    packed_bytes: int = 0
    sample: HashSample[RequestFacts] = field(init=False)

    def __post_init__(self) -> None:
        self.sample = HashSample(REQUESTS_SAMPLED * self._factor)

    def put(self, key: int, facts: RequestFacts) -> None:
        """Keep a request that the sample wants, within the bytes that the pool may hold."""
        self.packed_bytes += len(facts.packed)
        dropped = self.sample.put(key, facts)
        self.packed_bytes -= 0 if dropped is None else len(dropped[1].packed)
        while self.packed_bytes > GROUP_BYTES_MAX * self._factor and len(self.sample) > REQUESTS_LEAST:
            self.packed_bytes -= len(self.sample.shrink()[1].packed)

    @property
    def _factor(self) -> int:
        return UNNAMED_FACTOR if self.template is None else 1
