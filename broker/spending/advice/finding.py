"""Findings: one thing that a workload could do differently, what was seen of it, and what it would save a day."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.schemas.outcome import Cost, Usage

Price = Callable[[str, str, Usage], Cost | None]
"""Price of a call by model, tier and usage; None, or a Cost without an amount, if the list does not have it."""
CountTokens = Callable[[str, str], int | None]
"""Tokens of a text for a model; None if they cannot be counted."""


def percent(share: float) -> str:
    """Return a share as a sentence has it: `12 %`."""
    return f"{100 * share:.0f} %"


class Waste(StrEnum):
    """What a finding is about."""

    UNCACHED_PREFIX = "uncached_prefix"
    BROKEN_PREFIX = "broken_prefix"
    REPEATED_PART = "repeated_part"
    CONSTANT_PART = "constant_part"
    OPTIONAL_PART = "optional_part"
    CAP_TOO_HIGH = "cap_too_high"
    CUT_OFF = "cut_off"
    DUPLICATES = "duplicates"
    RETRIES = "retries"
    LATE = "late"
    PAID_FAILURES = "paid_failures"
    CHEAPER_TIER = "cheaper_tier"
    CHEAPER_MODEL = "cheaper_model"


class SavingEffect(StrEnum):
    """What would become of the tokens that a finding counts."""

    SAVED = "saved"
    """They would not be used."""

    CACHED = "cached"
    """They would be billed at the price of cached input; rate limits count them all the same."""

    QUOTA = "quota"
    """They would no longer be charged to the rate limit in advance; they were never billed."""

    IN_VAIN = "in_vain"
    """They were paid for answers that were of no use, or of less."""

    CHEAPER = "cheaper"
    """They would be billed at a lower price."""

    AT_STAKE = "at_stake"
    """A question: it takes knowledge of the work to say whether any of them could be spared."""


@dataclass(frozen=True, slots=True)
class AdviceRules:
    """Thresholds below which there is no finding.

    Attributes:
        share: Of the tokens of its group that a finding must concern.
        tokens_a_day: Tokens a day that it must concern.
        micro_usd_a_day: Money a day that it must save, where its saving is money and has a price.
        samples: Requests with an outcome that a finding about prompts needs.
    """

    share: float = 0.05
    tokens_a_day: int = 20_000
    micro_usd_a_day: int = 10_000
    samples: int = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """The workload that a finding is about: a template and a model, or the same instructions and a model."""

    template: str | None
    model: str
    calls: int
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class AdviceFinding:
    """One line of advice.

    Attributes:
        template: The requests' template; None if they name none.
        instructions: Of requests without a template: a digest of the beginning of their instructions.
        lane: Where only one lane is meant.
        what: One sentence on what was seen.
        evidence: Counts, shares and tokens behind it; nothing of a prompt.
        tokens_a_day: Tokens a day that `effect` speaks of.
        micro_usd_a_day: What it would save; None if a price is missing, or if no money is saved for sure.
        calls: Answered calls of the group in the period.
        sample: Requests that were looked at; 0 if the figures come from all outcomes.
        how: What to do about it.
        excerpts: Parts of prompts; empty unless asked for.
    """

    kind: Waste
    template: str | None
    model: str
    what: str
    how: str
    tokens_a_day: int
    effect: SavingEffect
    micro_usd_a_day: float | None = None
    calls: int = 0
    sample: int = 0
    instructions: str | None = None
    lane: str | None = None
    evidence: Mapping[str, int | float | str] = field(default_factory=dict)
    excerpts: tuple[str, ...] = ()

    @property
    def is_question(self) -> bool:
        """Whether it asks instead of claiming a saving."""
        return self.effect is SavingEffect.AT_STAKE

    def as_json(self) -> dict[str, Any]:
        """Return its fields as JSON values; `excerpts` only where there are some."""
        fields: dict[str, Any] = {
            "kind": self.kind.value,
            "template": self.template,
            "instructions": self.instructions,
            "model": self.model,
            "lane": self.lane,
            "what": self.what,
            "how": self.how,
            "tokens_a_day": self.tokens_a_day,
            "effect": self.effect.value,
            "micro_usd_a_day": self.micro_usd_a_day,
            "calls": self.calls,
            "sample": self.sample,
            "evidence": dict(self.evidence),
        }
        return fields | ({"excerpts": list(self.excerpts)} if self.excerpts else {})
