"""Tables of the operator's price file: prices in US dollars per million tokens, checked one table at a time."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.broker.adapters.prices.rates import CallRates, TokenRates, units
from headrace.schemas.money import MICRO_PER_USD

STANDARD_TIERS: Final = frozenset({"", "auto", "default", "on_demand", "standard"})
"""Names of the tier whose prices are those given without a tier; `on_demand` is Groq's."""
PRICE_MAX: Final = 100_000
FACTOR_MAX: Final = 100
_DECIMALS_MAX: Final = 12
_FACTOR_DECIMALS_MAX: Final = 6
_COUNTS: Final[Mapping[str, str]] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached_input": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "image_input": "image_tokens",
}
"""Count of a usage by the key of its price."""


def _number(given: object, *, most: int, decimals_max: int) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004 — pydantic reports a ValueError, and lets a TypeError pass
    number = Decimal(given)
    if not number.is_finite() or not 0 <= number <= most:
        raise ValueError(f"must be a number from 0 to {most:,}")
    if number != number.quantize(Decimal(1).scaleb(-decimals_max)):
        raise ValueError(f"must have at most {decimals_max} decimals")
    return number


def _price(given: object) -> Decimal:
    return _number(given, most=PRICE_MAX, decimals_max=_DECIMALS_MAX)


def _factor(given: object) -> Decimal:
    return _number(given, most=FACTOR_MAX, decimals_max=_FACTOR_DECIMALS_MAX)


def _day(given: object) -> date:
    if isinstance(given, datetime) or not isinstance(given, date):
        raise ValueError("must be a date such as 2026-12-01, without quotation marks")  # noqa: TRY004 — as above
    return given


Price = Annotated[Decimal, BeforeValidator(_price)]
Factor = Annotated[Decimal, BeforeValidator(_factor)]
Day = Annotated[date, BeforeValidator(_day)]
Word = Annotated[str, Field(min_length=1, max_length=40)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class _PriceTable(BaseModel):
    """A table of prices; the price of a part of the input that is not given is that of the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=False)

    input: Price | None = None
    output: Price | None = None
    cached_input: Price | None = None
    cache_write: Price | None = None
    image_input: Price | None = None

    def token_rates(self) -> TokenRates:
        """Return the prices by the counts of a usage."""
        return TokenRates.from_dollars({count: getattr(self, key) for key, count in _COUNTS.items()})

    def stated(self) -> list[str]:
        """Return the keys whose prices are given."""
        return [key for key in _COUNTS if getattr(self, key) is not None]


class LongInputPrices(_PriceTable):
    """Prices of all tokens of a call whose input has more than `above` tokens."""

    above: int = Field(ge=1, le=10_000_000, strict=True)
    input: Price


class TierPrices(_PriceTable):
    """Prices at one service tier. `per_call` is in US dollars, and is added to each call."""

    per_call: Price | None = None
    long_input: LongInputPrices | None = None

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        others = [*self.stated(), *(["long_input"] if self.long_input is not None else [])]
        if self.input is None and others:
            raise ValueError(f"states {others[0]} without input: give that price too")
        return self

    def call_rates(self) -> CallRates:
        """Return the prices of a call; `input` is given."""
        long = self.long_input
        above = () if long is None else ((long.above, long.token_rates()),)
        return CallRates(self.token_rates(), above, self.per_call_units)

    @property
    def per_call_units(self) -> int:
        """What each call costs besides, in units of `rates`."""
        return 0 if self.per_call is None else units(self.per_call * MICRO_PER_USD)


class ModelPrices(TierPrices):
    """Prices of one model from a day on (UTC): its own, or those of the list under a factor or another name."""

    from_: Day | None = Field(None, alias="from")
    factor: Factor | None = None
    like: ModelName | None = None
    tiers: Mapping[Word, TierPrices] = Field(default_factory=dict, max_length=20)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        of_the_list = [key for key in ("factor", "like") if getattr(self, key) is not None]
        if self.input is not None and of_the_list:
            raise ValueError(
                f"has prices of its own and {of_the_list[0]}, which is for those of the list: leave one out"
            )
        if self.input is None and not of_the_list and self.per_call is None and not self.tiers:
            raise ValueError("states no price: give it input, or a factor for the prices of the list")
        for name, tier in self.tiers.items():
            if name in STANDARD_TIERS:
                raise ValueError(f"has a table for the tier {name}: prices without a tier are that one's")
            if tier.input is None:
                raise ValueError(f"has no input price for the tier {name}")
        return self


class PriceHead(BaseModel):
    """What stands above the models: the file's own version, and a factor on all prices of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Word | None = None
    factor: Factor | None = None
    models: Any = None
