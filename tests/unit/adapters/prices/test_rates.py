"""The arithmetic of prices: exact, and rounded once."""

from decimal import Decimal
from typing import Any

import pytest

from headrace.broker.adapters.prices.rates import TOKENS_MAX, CallRates, TokenRates, priced, units
from headrace.schemas.outcome import Usage

PICO = 1_000_000


def rates(**prices: str) -> TokenRates:
    return TokenRates.from_dollars({name: Decimal(price) for name, price in prices.items()})


USUAL = rates(input_tokens="2", output_tokens="8")
PARTED = rates(
    input_tokens="2",
    output_tokens="8",
    cached_tokens="0.5",
    cache_write_tokens="2.5",
    image_tokens="4",
    reasoning_tokens="3",
)


def pico(call: CallRates, **counts: int) -> int | None:
    return priced(call, Usage(**counts)).pico_usd


def test_a_price_per_million_tokens_is_micro_dollars_a_token() -> None:
    assert pico(CallRates(USUAL), input_tokens=1_000, output_tokens=10) == (1_000 * 2 + 10 * 8) * PICO


@pytest.mark.parametrize(
    ("part", "whole", "price"),
    [
        ("cached_tokens", "input_tokens", 500_000),
        ("cache_write_tokens", "input_tokens", 2_500_000),
        ("image_tokens", "input_tokens", 4_000_000),
        ("reasoning_tokens", "output_tokens", 3_000_000),
    ],
)
def test_a_part_with_a_price_of_its_own_is_taken_out_of_its_whole(part: str, whole: str, price: int) -> None:
    per_whole = {"input_tokens": 2, "output_tokens": 8}[whole] * PICO
    assert pico(CallRates(PARTED), **{whole: 10, part: 4}) == 6 * per_whole + 4 * price
    assert pico(CallRates(USUAL), **{whole: 10, part: 4}) == 10 * per_whole


def test_all_parts_together_are_taken_out_once() -> None:
    counts = {"input_tokens": 100, "cached_tokens": 50, "cache_write_tokens": 20, "image_tokens": 10}
    assert pico(CallRates(PARTED), **counts) == 20 * 2_000_000 + 50 * 500_000 + 20 * 2_500_000 + 10 * 4_000_000


def test_parts_beyond_their_whole_are_left_out_and_said() -> None:
    found = priced(CallRates(PARTED), Usage(input_tokens=10, cached_tokens=8, cache_write_tokens=5))
    assert found.pico_usd == 8 * 500_000 + 2 * 2_500_000
    assert found.note == "The parts of input tokens add up to more than the whole: the rest is left out."
    assert priced(CallRates(PARTED), Usage(input_tokens=10, cached_tokens=10)).note is None


@pytest.mark.parametrize(
    ("tokens", "price", "band"),
    [(0, 2, ""), (1_000, 2, ""), (1_001, 4, ">1000"), (5_000, 4, ">1000"), (5_001, 6, ">5000")],
)
def test_an_input_above_a_threshold_has_the_higher_price_for_all_its_tokens(tokens: int, price: int, band: str) -> None:
    call = CallRates(USUAL, ((1_000, rates(input_tokens="4")), (5_000, rates(input_tokens="6"))))
    found = priced(call, Usage(input_tokens=tokens))
    assert (found.pico_usd, found.band) == (tokens * price * PICO, band)


def test_output_without_a_price_is_no_cost_of_nothing() -> None:
    call = CallRates(rates(input_tokens="2"))
    assert pico(call, input_tokens=1) == 2 * PICO
    found = priced(call, Usage(input_tokens=1, output_tokens=1))
    assert (found.pico_usd, found.note) == (None, "The list has no price for output tokens of this model.")


def test_what_each_call_costs_besides_is_added_once() -> None:
    call = CallRates(USUAL).plus(units(Decimal("150.25")))
    assert pico(call) == 150_250_000
    assert pico(call.plus(units(Decimal(1))), input_tokens=1) == 153_250_000


@pytest.mark.parametrize(
    ("price", "expected"),
    [("0.0000005", 0), ("0.0000015", 2), ("0.0000025", 2), ("0.00000050001", 1), ("0.000001", 1), ("0.0000004", 0)],
)
def test_half_a_millionth_of_a_micro_dollar_is_rounded_to_the_even_neighbour(price: str, expected: int) -> None:
    assert pico(CallRates(rates(input_tokens=price)), input_tokens=1) == expected


def test_a_cost_is_rounded_as_a_whole_and_not_token_by_token() -> None:
    assert pico(CallRates(rates(input_tokens="0.0000005")), input_tokens=1_000) == 500


@pytest.mark.parametrize(("factor", "expected"), [("1", 1_000_000), ("0.9", 900_000), ("0", 0), ("1.1", 1_100_000)])
def test_a_factor_scales_each_price_and_threshold_but_not_what_a_call_costs_besides(factor: str, expected: int) -> None:
    call = CallRates(rates(input_tokens="1"), ((10, rates(input_tokens="2")),), units(Decimal(7)))
    scaled = call.scaled(Decimal(factor))
    assert pico(scaled, input_tokens=1) == expected + 7 * PICO
    assert pico(scaled, input_tokens=11) == 22 * expected + 7 * PICO


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"])
@pytest.mark.parametrize("count", [-1, TOKENS_MAX + 1, 10**400])
def test_counts_that_no_model_has_are_not_priced(name: str, count: int) -> None:
    counts: dict[str, Any] = {"input_tokens": 5, "output_tokens": 5} | {name: count}
    found = priced(CallRates(PARTED), Usage(**counts))
    assert found.pico_usd is None
    assert found.note is not None
    assert ("negative" in found.note) == (count < 0)


def test_the_largest_counts_are_priced() -> None:
    assert pico(CallRates(USUAL), input_tokens=TOKENS_MAX, output_tokens=TOKENS_MAX) == 10 * TOKENS_MAX * PICO


def test_the_note_of_the_prices_stands_in_each_cost_unless_the_usage_needs_one() -> None:
    call = CallRates(PARTED, note="An estimate.")
    assert priced(call, Usage(input_tokens=1)).note == "An estimate."
    assert "add up" in (priced(call, Usage(cached_tokens=1)).note or "")
