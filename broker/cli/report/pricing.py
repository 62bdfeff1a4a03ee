"""The price list of a report, loaded when it is needed."""

from pathlib import Path

from headrace.broker.adapters.prices.price_list import list_with, price_list
from headrace.broker.price_ports import PriceList
from headrace.broker.settings.whole import Settings
from headrace.broker.spending.billing import CostFinder


def finder_from(settings: Settings, file: Path | None) -> CostFinder | None:
    """Return what finds costs: with a file of all calls, else of outcomes that carry none; None: costs are off.

    Raises:
        SettingsError: The file cannot be read, or has mistakes.
    """
    if file is not None:
        prices = list_with(settings, file)  # now, so that a mistake in it is said before anything is read
        return CostFinder(lambda: prices, reprices=True)
    if not settings.costs.enabled:
        return None
    return CostFinder(lambda: list_with(settings, settings.costs.prices_file))


def prices_from(settings: Settings, file: Path | None) -> PriceList | None:
    """Return the price list of the settings, or with another file; None: costs are off. Raises as `finder_from`."""
    return price_list(settings) if file is None else list_with(settings, file)
