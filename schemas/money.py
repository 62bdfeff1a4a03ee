"""Units of money: whole pico-dollars where costs are added up, micro-dollars in records, dollars in text."""

from typing import Final

MICRO_PER_USD: Final = 1_000_000
PICO_PER_MICRO: Final = 1_000_000
PICO_PER_USD: Final = MICRO_PER_USD * PICO_PER_MICRO
MICRO_USD_MAX: Final = 10**12
"""A million dollars: the largest cost of one call that is believed."""


def micro_usd_of(pico_usd: float) -> float:
    """Return pico-dollars as micro-dollars, to six decimals."""
    return round(pico_usd / PICO_PER_MICRO, 6)
