"""Prices of some models, in micro-dollars a token; at flex half of that, where it exists."""

from typing import Final, NamedTuple

from headrace.schemas.outcome import Cost, Usage


class Rate(NamedTuple):
    """Micro-dollars a token."""

    input: float
    cached: float
    output: float
    has_flex: bool


RATES: Final = {
    "gpt-4": Rate(30, 30, 60, has_flex=False),
    "gpt-4o": Rate(2.5, 1.25, 10, has_flex=False),
    "gpt-4o-mini": Rate(0.15, 0.075, 0.6, has_flex=False),
    "gpt-4.1": Rate(2, 0.5, 8, has_flex=False),
    "gpt-4.1-mini": Rate(0.4, 0.1, 1.6, has_flex=False),
    "gpt-4.1-nano": Rate(0.1, 0.025, 0.4, has_flex=False),
    "gpt-5": Rate(1.25, 0.125, 10, has_flex=True),
    "gpt-5-mini": Rate(0.25, 0.025, 2, has_flex=True),
}


def price(model: str, tier: str, usage: Usage) -> Cost | None:
    """Return what a call costs; None for another model."""
    rate = RATES.get(model)
    if rate is None:
        return None
    plain = usage.input_tokens - usage.cached_tokens
    micro_usd = plain * rate.input + usage.cached_tokens * rate.cached + usage.output_tokens * rate.output
    return Cost(micro_usd=micro_usd / (2 if tier == "flex" and rate.has_flex else 1), price_list="benchmarks.advice")
