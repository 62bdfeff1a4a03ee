"""The price list of a process: the operator's file over the library's list.

What a model costs at a tier is looked up once a minute, since prices change at an instant, and some with the time of
day; each call after that takes a few microseconds.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from headrace.broker.adapters.prices.price_file import PriceFile, read_price_file
from headrace.broker.adapters.prices.price_shapes import STANDARD_TIERS, ModelPrices
from headrace.broker.adapters.prices.rates import CallRates, Priced, priced
from headrace.broker.price_ports import PriceList
from headrace.broker.settings.whole import Settings
from headrace.schemas.money import PICO_PER_MICRO
from headrace.schemas.outcome import Cost, Usage

LOOKED_UP_MAX: Final = 2_048
"""Models, tiers and minutes whose prices are kept; a server may answer with any name."""
NO_INPUT_NOTE: Final = "The usage states no input tokens, which every call has."
"""An answer may leave its usage empty, or state a number that is not believed: that must not make its call free."""
_SCALE: Final = "scale"


class ModelList(Protocol):
    """Prices by model, without the operator's file."""

    def rates(self, model: str, tier: str, at: datetime) -> CallRates | str:
        """Return the prices of a call at a tier (empty: the standard one) and an instant, or why there are none."""


class LayeredPrices:
    """A list under the operator's file. Its note on a missing price is one sentence."""

    def __init__(self, models: ModelList, version: str, file: PriceFile | None = None) -> None:
        """`version` is that of `models`."""
        self._models = models
        self._file = file
        self._version = version if file is None else f"{version} + {file.version}"
        self._looked_up = lru_cache(LOOKED_UP_MAX)(self._look_up)

    @property
    def version(self) -> str:
        """Version of the list and of the file."""
        return self._version

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        """Return what one call costs, as `PriceList` says."""
        if not usage.input_tokens:
            return Cost(price_list=self._version, note=NO_INPUT_NOTE)
        rates = self._looked_up(model, "" if tier in STANDARD_TIERS else tier, at.replace(second=0, microsecond=0))
        found = Priced(None, note=rates) if isinstance(rates, str) else priced(rates, usage)
        micro_usd = None if found.pico_usd is None else found.pico_usd / PICO_PER_MICRO
        return Cost.model_construct(micro_usd=micro_usd, price_list=self._version, band=found.band, note=found.note)

    def _look_up(self, model: str, tier: str, at: datetime) -> CallRates | str:
        try:
            entry = None if self._file is None else self._file.prices(model, at.astimezone(UTC).date())
            if entry is None:
                return self._of_the_list(model, tier, at, None)
            return self._of_the_file(entry, model, tier, at)
        except (OverflowError, ValueError):  # within a day of the year 1 or 9999
            return "There are no prices at such an instant."

    def _of_the_file(self, entry: ModelPrices, model: str, tier: str, at: datetime) -> CallRates | str:
        own = entry.tiers.get(tier) if tier else entry
        if own is not None and own.input is not None:
            return own.call_rates()
        if entry.input is not None:
            return f"The price file has no price for this model at the tier {tier}."
        listed = self._of_the_list(entry.like or model, tier, at, entry.factor)
        return listed if isinstance(listed, str) else listed.plus(entry.per_call_units)

    def _of_the_list(self, model: str, tier: str, at: datetime, factor: Decimal | None) -> CallRates | str:
        found = self._models.rates(model, tier, at)
        if factor is None and self._file is not None:
            factor = self._file.factor
        if isinstance(found, str):
            return f"{found} The tier scale is paid for in advance." if tier == _SCALE else found
        return found if factor is None else found.scaled(factor)


def price_list(settings: Settings) -> PriceList | None:
    """Return the price list that the settings ask for; None if they ask for none. It takes a quarter of a second.

    Raises:
        SettingsError: The provider is not known, or the price file has mistakes.
    """
    if not settings.costs.enabled:
        return None
    return list_with(settings, settings.costs.prices_file)


def list_with(settings: Settings, prices_file: str | Path | None) -> PriceList:
    """Return the price list with another file than that of the settings, as for a calculation after the fact.

    Raises:
        SettingsError: As `price_list`.
    """
    file = None if prices_file is None else read_price_file(Path(prices_file))
    from headrace.broker.adapters.prices.listed import VERSION, ListedPrices  # noqa: PLC0415 — 23 MB; see the package

    return LayeredPrices(ListedPrices(settings.costs.provider, settings.openai.base_url), VERSION, file)
