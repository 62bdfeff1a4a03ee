"""The greatest sums that admitted calls have found lately."""

import pytest

from headrace.broker.core.budget.greatest_sums import REMEMBERED, GreatestSums
from headrace.broker.core.budget.recent_spending import SPANS_MS, Sums
from headrace.broker.core.units import PPM


def found(tokens: int, calls: int = 1) -> Sums:
    return Sums((tokens,) * len(SPANS_MS), (calls,) * len(SPANS_MS))


def test_the_greatest_of_each_metric_counts_whichever_call_found_it() -> None:
    sums = GreatestSums()
    assert sums.of(0, of_calls=False) == 0
    sums.record_admission(found(900, 2))
    sums.record_admission(found(100, 7))
    assert (sums.of(0, of_calls=False), sums.of(5, of_calls=True)) == (900, 7)


@pytest.mark.parametrize(("later", "left"), [(2 * REMEMBERED - 1, 900), (2 * REMEMBERED, 100)])
def test_it_is_forgotten_after_so_many_calls(later: int, left: int) -> None:
    sums = GreatestSums()
    sums.record_admission(found(900))
    for _ in range(later):
        sums.record_admission(found(100))
    assert sums.of(0, of_calls=False) == left


def test_other_prices_hold_for_those_of_long_ago_as_well() -> None:
    sums = GreatestSums()
    sums.record_admission(found(900, 4))
    for _ in range(REMEMBERED):
        sums.record_admission(found(100))
    sums.reprice(PPM // 2)
    assert (sums.of(0, of_calls=False), sums.of(0, of_calls=True)) == (450, 4)
