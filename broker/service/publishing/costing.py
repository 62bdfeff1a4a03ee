"""Cost of an outcome: what its last call cost, where that was paid.

Only a call whose answer arrived is known to be paid. One that was interrupted may have been, and has no usage.
"""

from collections.abc import Callable

from headrace.broker.price_ports import PriceList
from headrace.broker.service.payloads import Payload
from headrace.schemas.outcome import Cost
from headrace.schemas.request_codec import DecodedRequest

Observed = Callable[[str, BaseException], None]
"""Reports an exception that costs an outcome its cost, and nothing else."""


class Costing:
    """Calculator of the costs of one dispatcher's outcomes; without a price list no outcome has one."""

    def __init__(self, prices: PriceList | None, observed: Observed) -> None:
        self._prices = prices
        self._observed = observed

    def cost(self, cargo: Payload) -> Cost | None:
        """Return what the payload's last call cost, and note it there; None: it was not paid, or nothing is priced."""
        cargo.cost = self._cost(cargo)
        return cargo.cost

    def _cost(self, cargo: Payload) -> Cost | None:
        if self._prices is None or not cargo.paid or cargo.finished_at is None:
            return None
        if cargo.usage is None:
            return Cost(price_list=self._prices.version, note="The answer's usage is not known.")
        try:
            tier = cargo.tier_served or _tier_asked(cargo)
            return self._prices.cost(cargo.model_served, cargo.usage, tier=tier, at=cargo.finished_at)
        except Exception as error:  # noqa: BLE001 — a defect in a price costs the outcome its cost, not the request
            self._observed("cost", error)
            return None


def _tier_asked(cargo: Payload) -> str:
    return cargo.content.request.tier if isinstance(cargo.content, DecodedRequest) else ""
