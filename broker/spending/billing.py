"""Costs found after the fact: of outcomes that carry none, or of all, without touching them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from headrace.broker.price_ports import PriceList
from headrace.broker.spending.sums import tier_of
from headrace.schemas.spending import AnySpent

_STEP_S: Final = 900
"""Prices change with the day, or with the quarter of an hour: so a list looks a model up once in each."""


class CostFinder:
    """Finds costs by one price list.

    Attributes:
        reprices: Whether costs that outcomes carry are replaced.
    """

    def __init__(self, load: Callable[[], PriceList], *, reprices: bool = False) -> None:
        """`load` is called at the first outcome without a cost: a price list takes a third of a second and 20 MB."""
        self.reprices = reprices
        self._load = load
        self._prices: PriceList | None = None

    @property
    def version(self) -> str:
        """The price list's name and version; empty if it was not needed."""
        return "" if self._prices is None else self._prices.version

    def priced(self, outcome: AnySpent, at_s: float) -> AnySpent:
        """Return an outcome that has usage, with its cost by this list at the instant of its answer."""
        if self._prices is None:
            self._prices = self._load()
        assert outcome.usage is not None  # noqa: S101 — programmer error
        at = datetime.fromtimestamp(at_s // _STEP_S * _STEP_S, UTC)
        cost = self._prices.cost(outcome.model or "", outcome.usage, tier=tier_of(outcome), at=at)
        return outcome.model_copy(update={"cost": cost})
