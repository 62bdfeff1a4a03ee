"""What a window of input tokens counts of its calls is learned from its levels, without one refusal."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.budget.test_side_limits import Limit, carries, names, shows
from tests.unit.core.budgets import answer

KIND = "input-tokens"
SIZE = 12_000
CARRIED = 500


def cached(counted: int, *, kind: str = KIND, size: int = SIZE, limit: Limit | None = None, calls: int = 16) -> Limit:
    """A sliding minute that counts so many of each call's 500; every call comes two seconds after the one before."""
    limit = Limit() if limit is None else limit
    first = limit.calls
    for number in range(first, first + calls):
        used = counted * (number - first + 1)
        limit.call(carries(CARRIED, images=CARRIED), 2_000 * number, shows(kind, size, size - used, "60s"))
    return limit


def amount(limit: Limit, kind: str = KIND) -> int:
    return limit.budget.sides.amount(kind, carries(1_000, images=1_000))


@pytest.mark.parametrize("counted", [23, 201, 371, 499])
def test_a_window_is_paid_by_what_it_counts(counted: int) -> None:
    """Before: a server that leaves out half of what calls carry was used to half, without a single refusal."""
    limit = cached(counted)
    assert amount(limit) == pytest.approx(2 * counted, abs=3)
    left = SIZE - counted * limit.calls
    assert limit.left(2_000 * limit.calls) == pytest.approx(left, abs=2 * ROUNDING_TOKENS * limit.calls)


def test_a_small_difference_prices_nothing_again() -> None:
    assert amount(cached(491)) == 1_000


def test_others_spending_makes_no_call_dearer() -> None:
    assert amount(cached(701)) == 1_000


def test_an_image_counts_whole() -> None:
    assert amount(cached(101, kind="input-images"), "input-images") == 1_000


@pytest.mark.parametrize(("reset", "price"), [("60s", 820), ("1s", 1_000)])
def test_of_two_windows_that_are_shown_by_turns_the_one_that_counts_most_sets_the_price(reset: str, price: int) -> None:
    """And while nothing is known of one of them, or it is a bucket, all that calls carry is paid.

    Each is shown by every other call, so that twice as much is in use as the calls that show it have carried.
    """
    limit = Limit()
    for number in range(18):
        used = 101 * (number + 1)
        small, large = shows(KIND, SIZE, SIZE - used, "60s"), shows(KIND, 15_000, 15_000 - 2 * used, reset)
        limit.call(carries(CARRIED), 2_000 * number, large if number % 2 else small)
    assert len(limit.budget.sides.levels(36_000)) == 2
    assert amount(limit) == pytest.approx(price, abs=20)


def test_what_refusals_name_is_believed_where_it_is_less() -> None:
    for requested, price in ((480, 480), (900, 742)):
        limit = cached(371)
        limit.call(carries(1_000), 40_000, names(KIND, used=11_900, limit=SIZE, requested=requested))
        assert amount(limit) == pytest.approx(price, abs=3)


def test_calls_without_an_answer_are_left_out() -> None:
    """They may not have been admitted, so they make no bound tighter; nor does a call whose charge was stated."""
    limit = Limit()
    limit.budget.reserve(1_000, 100, 0, stated=True)
    for number in range(6):
        limit.budget.reserve(2_000 + number, 100, 10, prices=carries(CARRIED))
    limit = cached(201, limit=limit)
    assert amount(limit) == pytest.approx(402, abs=3)
    limit.budget.record_answer(1_000, 2_000 * limit.calls, shows(KIND, SIZE, SIZE - 200, "60s"))
    assert amount(limit) == pytest.approx(402, abs=3)


def test_refused_calls_are_left_out() -> None:
    """Before, what they carried was held against what only the others had used."""
    limit = cached(371)
    refused = replace(shows(KIND, SIZE, SIZE - 371 * limit.calls, "60s"), meaning=Meaning.RATE_LIMITED)
    for number in range(1_000, 1_008):
        limit.budget.reserve(number, 100, 2_000 * limit.calls, prices=carries(CARRIED))
    for number in range(1_000, 1_008):
        limit.budget.record_answer(number, 2_000 * limit.calls + 50, refused)
    assert amount(limit) == pytest.approx(742, abs=3)


def test_a_long_time_without_levels_changes_nothing() -> None:
    limit = cached(201)
    limit.call(carries(CARRIED), 10 * MINUTE_MS, answer((60_000, 59_000, "1s")))
    assert amount(limit) == pytest.approx(402, abs=3)


def test_shares_of_sizes_that_no_window_has_any_more_are_dropped() -> None:
    """Before: a server whose limit moves left the answers of each size behind."""
    limit = Limit()
    for number in range(50):
        size = SIZE + number
        limit.call(carries(CARRIED), 2_000 * number, shows(KIND, size, size - CARRIED, "60s"))
    assert len(limit.budget.sides._limits[KIND]._shares) == 1


def test_what_is_used_of_a_size_that_is_only_guessed_bounds_no_price() -> None:
    """Headers state sixty times the limit, so what it holds is what its highest level shows."""
    limit = Limit()
    for number in range(60):
        limit.call(carries(CARRIED), 3_000 * number, shows(KIND, 60 * SIZE, SIZE - 101 * (number + 1), "60s"))
    (level,) = limit.budget.sides.levels(180_000)
    assert level.capacity == SIZE - 101
    assert amount(limit) == 1_000


@pytest.mark.parametrize(("step", "is_stated"), [(1, True), (2_000, False)])
def test_a_size_of_input_that_one_level_has_shown_is_not_stated(step: int, *, is_stated: bool) -> None:
    limit = Limit()
    for number in range(60):
        left = (SIZE - 10 * number) // step * step
        limit.call(carries(CARRIED), 3_000 * number, shows(KIND, 60 * SIZE, left, "60s"))
    buckets = limit.budget.sides._limits[KIND].buckets
    assert [buckets.is_stated(mirror) for mirror in buckets] == [is_stated]
