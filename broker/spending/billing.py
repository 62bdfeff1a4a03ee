"""Costs found after the fact: of outcomes that carry none, or of all, without touching them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from headrace.broker.spending.sums import key_of
from headrace.schemas.outcome import Cost, Usage
from headrace.schemas.spending import SpentOutcome


class CallPrices(Protocol):
    """The part of a price list that is needed here."""

    @property
    def version(self) -> str:
        """Its name and version."""

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        """Return what a call costs; never raises."""


class CostFinder:
    """Finds costs by one price list.

    Attributes:
        reprices: Whether costs that outcomes carry are replaced.
    """

    def __init__(self, load: Callable[[], CallPrices], *, reprices: bool = False) -> None:
        """`load` is called at the first outcome without a cost: a price list takes a third of a second and 20 MB."""
        self.reprices = reprices
        self._load = load
        self._prices: CallPrices | None = None

    @property
    def version(self) -> str:
        """The price list's name and version; empty if it was not needed."""
        return "" if self._prices is None else self._prices.version

    def billed(self, outcome: SpentOutcome, at_s: float) -> SpentOutcome:
        """Return an outcome that has usage, with its cost by this list at the instant of its answer."""
        if self._prices is None:
            self._prices = self._load()
        assert outcome.usage is not None  # noqa: S101 — programmer error
        at = datetime.fromtimestamp(at_s, UTC)
        cost = self._prices.cost(outcome.model or "", outcome.usage, tier=key_of(outcome).tier, at=at)
        return outcome.model_copy(update={"cost": cost})
