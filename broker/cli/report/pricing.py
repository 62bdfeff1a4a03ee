"""The price list of a report, loaded when it is needed."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from headrace.broker.errors import SettingsError
from headrace.broker.settings.whole import Settings
from headrace.broker.spending.billing import CallPrices, CostFinder

_LIST: Final = "headrace.broker.adapters.prices.price_list"


def finder_from(settings: Settings, file: Path | None) -> CostFinder | None:
    """Return what finds costs: with a file of all calls, else of outcomes that carry none; None: costs are off.

    Raises:
        SettingsError: The file cannot be read, or has mistakes.
    """
    if file is not None:
        prices = prices_from(settings, file)  # now, so that a mistake in it is said before anything is read
        return None if prices is None else CostFinder(lambda: prices, reprices=True)
    door = _door()
    if door is None or not settings.costs.enabled:  # type: ignore[attr-defined] # the settings come with the door
        return None
    return CostFinder(lambda: door.list_with(settings, settings.costs.prices_file))  # type: ignore[attr-defined] # same


def prices_from(settings: Settings, file: Path | None) -> CallPrices | None:
    """Return the price list of the settings, or with another file; None: costs are off. Raises as `finder_from`."""
    door = _door()
    if door is None:
        if file is not None:
            raise SettingsError("--prices needs a price list, which this installation does not have.")
        return None
    prices: CallPrices | None = door.price_list(settings) if file is None else door.list_with(settings, file)
    return prices


def _door() -> Any:
    """Return the door to price lists; it loads no list."""
    try:
        return import_module(_LIST)
    except ModuleNotFoundError:
        return None
