"""Prices of one model's tokens, and what a call costs by them: whole numbers, so that nothing is lost in a sum.

A price is in US dollars per million tokens, which is micro-dollars per token. Here it is a whole number of 10^-18 of
that, so a price with up to eighteen decimals is exact. Only the cost of a whole call is rounded, to a millionth of a
micro-dollar, and a half to the even neighbour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final, NamedTuple

from headrace.schemas.money import PICO_PER_MICRO
from headrace.schemas.outcome import Usage

_PLACES: Final = 18
_UNITS_PER_PICO: Final = 10**_PLACES // PICO_PER_MICRO
_FACTOR_PARTS: Final = 10**6
TOKENS_MAX: Final = 10_000_000
"""Largest count of tokens that is priced: no model reads or writes a tenth of it."""

WHOLE_OF_PART: Final[Mapping[str, str]] = {
    "cached_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "image_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
}
"""Counts of a usage that are parts of another one, in the order in which they are taken out of it."""


def units(price: Decimal) -> int:
    """Return a price in units, rounded half to even beyond eighteen decimals."""
    with localcontext() as exact:
        exact.prec = 60
        return int(price.scaleb(_PLACES).to_integral_value(rounding=ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Prices by the counts of a usage, in units per token. A part without a price is billed as its whole is."""

    of: Mapping[str, int]

    @classmethod
    def from_dollars(cls, prices: Mapping[str, Decimal | None]) -> "TokenRates":
        """Make them of prices per million tokens, by the names of a usage's counts; None: no price of its own."""
        return cls({name: units(price) for name, price in prices.items() if price is not None})

    def scaled(self, factor: Decimal) -> "TokenRates":
        """Return them times a factor of at most six decimals."""
        parts = int(factor * _FACTOR_PARTS)
        return TokenRates({name: _halved_to_even(rate * parts, _FACTOR_PARTS) for name, rate in self.of.items()})


@dataclass(frozen=True, slots=True)
class CallRates:
    """Prices of a call.

    Attributes:
        rates: For an input up to the first threshold.
        above: Thresholds in ascending order, each with the prices of all tokens of a call whose input is above it.
        per_call: Units that each call costs besides.
        note: What a cost by these prices says of itself; None: nothing.
    """

    rates: TokenRates
    above: Sequence[tuple[int, TokenRates]] = ()
    per_call: int = 0
    note: str | None = None

    def scaled(self, factor: Decimal) -> "CallRates":
        """Return them times a factor; what each call costs besides stays."""
        above = tuple((threshold, rates.scaled(factor)) for threshold, rates in self.above)
        return replace(self, rates=self.rates.scaled(factor), above=above)

    def plus(self, per_call: int) -> "CallRates":
        """Return them with so much more for each call."""
        return replace(self, per_call=self.per_call + per_call)


class Priced(NamedTuple):
    """Result of pricing: millionths of a micro-dollar, or None; the threshold passed; what is to be said of it."""

    pico_usd: int | None
    band: str = ""
    note: str | None = None


def priced(call: CallRates, usage: Usage) -> Priced:
    """Price a usage, whatever it says."""
    counts = {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", *WHOLE_OF_PART)}
    if min(counts.values()) < 0:
        return Priced(None, note="The usage has a negative count.")
    if max(counts.values()) > TOKENS_MAX:
        return Priced(None, note=f"The usage has more than {TOKENS_MAX:,} tokens of a kind.")
    rates, band = call.rates, ""
    for threshold, higher in call.above:
        if counts["input_tokens"] > threshold:
            rates, band = higher, f">{threshold}"
    parts, note = _parts(rates, counts)
    total = call.per_call + parts
    for name in ("input_tokens", "output_tokens"):
        rate = rates.of.get(name)
        if rate is None and counts[name]:
            return Priced(None, band, f"The list has no price for {name.replace('_', ' ')} of this model.")
        total += (rate or 0) * counts[name]
    return Priced(_halved_to_even(total, _UNITS_PER_PICO), band, note or call.note)


def _parts(rates: TokenRates, counts: dict[str, int]) -> tuple[int, str | None]:
    """Take the parts that have prices of their own out of their wholes; return what they cost, and a note."""
    total, note = 0, None
    for part, whole in WHOLE_OF_PART.items():
        rate = rates.of.get(part)
        if rate is None:
            continue
        count = min(counts[part], counts[whole])
        if count < counts[part]:
            note = f"The parts of {whole.replace('_', ' ')} add up to more than the whole: the rest is left out."
        counts[whole] -= count
        total += rate * count
    return total, note


def _halved_to_even(amount: int, by: int) -> int:
    """Divide and round to the nearest whole number, a half to the even one."""
    quotient, rest = divmod(amount, by)
    return quotient + (2 * rest > by or (2 * rest == by and quotient % 2 == 1))
