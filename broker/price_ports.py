"""Port of a price list: what a call costs. Its contract suite is `tests/contract/price_list_contract.py`."""

from datetime import datetime
from typing import Protocol

from headrace.schemas.outcome import Cost, Usage


class PriceList(Protocol):
    """Prices of models' tokens.

    Attributes:
        version: Name and version of the list, with those of the operator's file that overrides it.
    """

    @property
    def version(self) -> str: ...  # noqa: D102  # see above

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        """Return what one call costs. Never raises: where the list has no price, the cost's note says why.

        Args:
            model: As the answer names it, such as `gpt-4o-mini-2024-07-18`.
            usage: As the answer reports it, whatever it says.
            tier: The service tier that served the call, else the one asked for; empty: the default one.
            at: The instant of the answer, which selects among prices that have changed.
        """
