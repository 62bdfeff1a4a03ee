"""Prices of one provider's models as genai-prices lists them, with nothing asked of the network.

The library finds a model's prices at an instant; its arithmetic is not used, for it takes 90 µs a call, refuses a usage
that does not add up, and keeps each name that it is asked for. A property test compares ours with it, model by model.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Final

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from headrace.broker.adapters.prices.rates import CallRates, TokenRates, units
from headrace.broker.errors import SettingsError
from headrace.schemas.nearest import nearest

VERSION: Final = f"genai-prices {genai_prices.__version__}"
DEFAULT_PROVIDER: Final = "openai"
_KEYS: Final[Mapping[str, str]] = {
    "input_tokens": "input_mtok",
    "output_tokens": "output_mtok",
    "cached_tokens": "cache_read_mtok",
    "cache_write_tokens": "cache_write_mtok",
    "image_tokens": "input_image_mtok",
    "reasoning_tokens": "output_reasoning_mtok",
}
"""Name of the library's price by our count."""
_CALL_KEY: Final = "requests_kcount"
_AUDIO_KEYS: Final = ("input_audio_mtok", "output_audio_mtok")
_AUDIO_NOTE: Final = "Audio tokens are priced as text."
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class ListedPrices:
    """Price list of one provider."""

    def __init__(self, provider: str | None = None, base_url: str | None = None) -> None:
        """Find the provider: by its name, else by the server's address, else OpenAI.

        Raises:
            SettingsError: The library knows no provider of that name.
        """
        self._providers = get_snapshot().providers
        self._provider = self._named(provider) if provider else self._at(base_url) or self._named(DEFAULT_PROVIDER)

    def _named(self, name: str) -> Provider:
        known = {each.id: each for each in self._providers}
        if name not in known:
            near = nearest(name, known)
            meant = f"the nearest is {near}" if near else f"name one such as {DEFAULT_PROVIDER}, azure or groq"
            raise SettingsError(f"costs.provider {name!r} is no provider of the price list ({VERSION}): {meant}.")
        return known[name]

    def _at(self, base_url: str | None) -> Provider | None:
        """Return the provider at an address; None: the list names none there, as where a proxy is."""
        if not base_url:
            return None
        return next((each for each in self._providers if re.match(each.api_pattern, base_url)), None)

    def rates(self, model: str, tier: str, at: datetime) -> CallRates | str:
        """Return the prices of a call at a tier (empty: the standard one) and an instant, or why there are none.

        A dated snapshot that the list does not know has the prices of its model, and their note says so.
        """
        found, note = self._provider.find_model(model, all_providers=self._providers), None
        if found is None and (undated := _DATE.sub("", model)) != model and not model.startswith("ft:"):
            found = self._provider.find_model(undated, all_providers=self._providers)
            note = f"Priced as {undated}: the list does not have this snapshot."
        if found is None:
            return "The list has no such model."
        if not tier:
            prices = found.get_prices(at)
        elif self._has_tier(found, tier, at):
            prices = found.get_prices(at, {"service_tier": tier})
        else:
            return f"The list has no price for this model at the tier {tier} at that time."
        return _rates_of(prices, note)

    def _has_tier(self, model: ModelInfo, tier: str, at: datetime) -> bool:
        """Whether a tier has prices of its own; another provider's model is listed here without its tiers."""
        if not any(model is own for own in self._provider.models):
            return False
        return any(
            variant.when == {"service_tier": tier} and (variant.constraint is None or variant.constraint.active(at))
            for variant in model.price_variants or ()
        )


def _rates_of(prices: ModelPrice, note: str | None) -> CallRates | str:
    stated = {name: getattr(prices, key) for name, key in _KEYS.items()}
    if stated["input_tokens"] is None:
        return "The list prices this model by something other than its tokens."
    if note is None and any(getattr(prices, key) is not None for key in _AUDIO_KEYS):
        note = _AUDIO_NOTE
    per_call = getattr(prices, _CALL_KEY)
    return CallRates(
        rates=TokenRates.from_dollars({name: _at_input(price, 0) for name, price in stated.items()}),
        above=tuple(
            (start, TokenRates.from_dollars({name: _at_input(price, start + 1) for name, price in stated.items()}))
            for start in _thresholds(stated.values())
        ),
        per_call=units(per_call * 1_000) if isinstance(per_call, Decimal) else 0,
        note=note,
    )


def _thresholds(prices: Iterable[Decimal | TieredPrices | None]) -> list[int]:
    tiered = (price.tiers for price in prices if isinstance(price, TieredPrices))
    return sorted({tier.start for tier in chain.from_iterable(tiered)})


def _at_input(price: Decimal | TieredPrices | None, input_tokens: int) -> Decimal | None:
    """Return a price for an input of so many tokens: it holds for all tokens of the call."""
    if not isinstance(price, TieredPrices):
        return price
    return next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)
