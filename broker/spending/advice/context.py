"""What analyses need beside their workload: prices, thresholds, the length of the period."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.broker.spending.advice.finding import (
    AdviceFinding,
    AdviceRules,
    CountTokens,
    Price,
    SavingEffect,
    Subject,
    Waste,
)
from headrace.broker.spending.advice.groups import CallSums
from headrace.broker.spending.advice.records import pico_usd_of
from headrace.schemas.money import micro_usd_of
from headrace.schemas.outcome import Usage


class Pricing:
    """What calls would cost if they used other tokens, or another tier or model."""

    def __init__(self, price: Price | None) -> None:
        self._price = price

    def pico_usd(self, model: str, tier: str, usage: Usage) -> int | None:
        """Return the price of one call; None if it is not known."""
        return None if self._price is None else pico_usd_of(self._price(model, tier, usage))

    def paid(self, sums: CallSums, model: str) -> float | None:
        """Return what calls have cost: as their outcomes say, else by the list at their mean usage."""
        if sums.paid is not None:
            return sums.paid
        each = self.pico_usd(model, "default", sums.mean())
        return None if each is None else each * sums.metered

    def remaining(
        self, model: str, before: tuple[str, Usage], after: tuple[str, Usage], other: str = ""
    ) -> float | None:
        """Return the share of its price that a call of a tier and usage still costs with another tier and usage."""
        old = self.pico_usd(model, *before)
        new = self.pico_usd(other or model, *after)
        return None if old is None or new is None or old <= 0 else new / old


@dataclass(frozen=True, slots=True)
class AdviceContext:
    """What analyses need beside their view."""

    pricing: Pricing
    rules: AdviceRules
    days: float
    count: CountTokens | None
    lane_deadlines_s: Mapping[str, float]
    show_prompts: bool = False

    def a_day(self, amount: float) -> int:
        """Return an amount of the whole period as one of a day."""
        return round(amount / self.days)

    def micro_usd_a_day(self, pico_usd: float | None) -> float | None:
        """Return money of the whole period as micro-dollars a day."""
        return None if pico_usd is None else micro_usd_of(pico_usd / self.days)

    def finding(  # noqa: PLR0913 — keyword-only: the fields of a finding
        self,
        kind: Waste,
        subject: Subject,
        *,
        what: str,
        how: str,
        tokens: float,
        effect: SavingEffect,
        pico_usd: float | None,
        sample: int = 0,
        lane: str | None = None,
        evidence: Mapping[str, int | float | str] | None = None,
        excerpts: tuple[str, ...] = (),
    ) -> AdviceFinding:
        """Make a finding of tokens and money of the whole period; it has excerpts only if prompts are shown."""
        return AdviceFinding(
            kind=kind,
            template=subject.template,
            instructions=subject.instructions,
            model=subject.model,
            what=what,
            how=how,
            tokens_a_day=self.a_day(tokens),
            effect=effect,
            micro_usd_a_day=self.micro_usd_a_day(pico_usd),
            calls=subject.calls,
            sample=sample,
            lane=lane,
            evidence=evidence or {},
            excerpts=excerpts if self.show_prompts else (),
        )

    def matters(self, tokens: float, of: float, pico_usd: float | None) -> bool:
        """Return whether tokens of a period, their share of all, and their money are enough for a finding."""
        if tokens / self.days < self.rules.tokens_a_day or tokens < self.rules.share * of:
            return False
        return pico_usd is None or micro_usd_of(pico_usd / self.days) >= self.rules.micro_usd_a_day
