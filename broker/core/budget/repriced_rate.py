"""A measured rate after a change of prices.

Either the calls so far were priced wrongly: then the rate lets through as many of them as before, at their new prices.
Or the server charges them otherwise from now on: then what it states is still as many tokens, and so many calls more or
fewer. No answer tells which of the two it is. So dearer prices raise no rate beyond what is stated, and cheaper ones
lower no rate below it that had reached it.
"""

from typing import Final

from headrace.broker.core.units import PPM

AS_HIGH_PPM: Final = 940_000  # of the stated rate: measured ones come to so much of it


def repriced_rate(rate: int, ppm: int, stated: int | None) -> int:
    """Return a rate at other prices, at which calls pay `ppm` of what they paid; `stated` None: no rate is stated."""
    repriced = rate * ppm // PPM
    if stated is None:
        return repriced
    if ppm > PPM:
        return min(repriced, max(rate, stated))
    is_as_high = rate * PPM >= stated * AS_HIGH_PPM
    return max(repriced, min(rate, stated)) if is_as_high else repriced
