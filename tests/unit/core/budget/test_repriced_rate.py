import pytest

from headrace.broker.core.budget.repriced_rate import AS_HIGH_PPM, repriced_rate
from headrace.broker.core.units import PPM

STATED = 1_000
LOWER = STATED * AS_HIGH_PPM // PPM - 1


@pytest.mark.parametrize("rate", [100, STATED, 3 * STATED])
@pytest.mark.parametrize("ppm", [PPM // 2, PPM, 3 * PPM])
def test_where_nothing_is_stated_as_many_calls_go_on(rate: int, ppm: int) -> None:
    assert repriced_rate(rate, ppm, None) == rate * ppm // PPM


@pytest.mark.parametrize(("rate", "repriced"), [(400, 800), (500, 1_000), (600, 1_000), (1_000, 1_000), (1_200, 1_200)])
def test_dearer_prices_raise_a_rate_to_what_is_stated_at_most(rate: int, repriced: int) -> None:
    assert repriced_rate(rate, 2 * PPM, STATED) == repriced


@pytest.mark.parametrize(
    ("rate", "repriced"), [(LOWER, LOWER // 2), (LOWER + 1, LOWER + 1), (1_200, 1_000), (3_000, 1_500)]
)
def test_cheaper_prices_lower_none_below_what_is_stated_that_was_as_high(rate: int, repriced: int) -> None:
    assert repriced_rate(rate, PPM // 2, STATED) == repriced


def test_the_same_prices_change_nothing() -> None:
    assert [repriced_rate(rate, PPM, STATED) for rate in (LOWER, 990, 1_200)] == [LOWER, 990, 1_200]
