"""The price list of a report, loaded when it is needed."""

from importlib import import_module
from pathlib import Path

from headrace.broker.errors import SettingsError
from headrace.broker.settings.whole import Settings
from headrace.broker.spending.billing import CallPrices, CostFinder

_LIST = "headrace.broker.adapters.prices.price_list"


def bill_from(settings: Settings, file: Path | None) -> CostFinder | None:
    """Return what prices outcomes: with a file all, else those that carry no cost; None: costs are switched off.

    Raises:
        SettingsError: The file cannot be read, or has mistakes.
    """
    try:
        door = import_module(_LIST)
    except ModuleNotFoundError as error:
        if file is None:
            return None
        raise SettingsError("--prices needs a price list, which this installation does not have.") from error
    if file is None:
        enabled = settings.costs.enabled  # type: ignore[attr-defined] # `costs` comes with the door
        return CostFinder(lambda: door.list_with(settings, settings.costs.prices_file)) if enabled else None  # type: ignore[attr-defined] # same
    prices: CallPrices = door.list_with(settings, file)  # now, so that a mistake in it is said before anything is read
    return CostFinder(lambda: prices, reprices=True)
