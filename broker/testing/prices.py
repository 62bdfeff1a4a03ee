"""Double of the price list: the same few prices for every model."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from headrace.broker.adapters.prices.rates import TOKENS_MAX
from headrace.schemas.outcome import Cost, Usage

INPUT_MICRO_USD: Final = 2.0
CACHED_MICRO_USD: Final = 0.5
OUTPUT_MICRO_USD: Final = 8.0
STANDARD: Final = frozenset({"", "auto", "default", "on_demand", "standard"})


class MemoryPrices:
    """Two dollars per million input tokens, half a dollar where they were cached, eight of the output; flex is half.

    `unknown` are models without a price.
    """

    version = "memory"

    def __init__(self, unknown: Collection[str] = ()) -> None:
        self.unknown = unknown

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        """Return what one call costs, as `PriceList` says."""
        counts = usage.input_tokens, usage.cached_tokens, usage.output_tokens
        factor = 1.0 if tier in STANDARD else {"flex": 0.5}.get(tier)
        is_possible = counts[0] > 0 and min(counts) >= 0 and max(counts) <= TOKENS_MAX
        if model in self.unknown or factor is None or not is_possible:
            return Cost(price_list=self.version, note="There is no price for it.")
        cached = min(usage.cached_tokens, usage.input_tokens)
        whole = (usage.input_tokens - cached) * INPUT_MICRO_USD + cached * CACHED_MICRO_USD
        return Cost(micro_usd=(whole + usage.output_tokens * OUTPUT_MICRO_USD) * factor, price_list=self.version)
