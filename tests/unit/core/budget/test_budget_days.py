"""Limits per day, from the settings."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, SECOND_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, full, refusal

# A day's limits, from the settings


DAILY = replace(UNKNOWN, tokens_per_day=100_000, requests_per_day=1_000)


def days(budget: Budget) -> dict[LimitMetric, tuple[int, int]]:
    return {level.metric: (level.low, level.capacity) for level in budget.levels(0) if level.period_ms == DAY_MS}


def test_a_limit_per_day_of_the_settings_is_paid_together_with_the_others() -> None:
    budget = full(replace(SETTINGS, tokens_per_day=61_000, requests_per_day=10), KEY)
    budget.reserve(1, 29_000, 0)
    assert days(budget) == {
        LimitMetric.TOKENS: (61_000 - 29_000 - ROUNDING_TOKENS, 61_000),
        LimitMetric.REQUESTS: (9, 10),
    }
    at_ms = budget.payable_at(33_000, MINUTE_MS)
    assert at_ms is not None
    assert at_ms > 15 * MINUTE_MS, "the minute could pay, the day cannot"
    budget.reserve(2, 29_000, MINUTE_MS)
    assert days(budget)[LimitMetric.REQUESTS][0] == 8


def test_each_of_a_days_limits_holds_alone() -> None:
    few = full(replace(SETTINGS, requests_per_day=1))
    few.reserve(1, 10, 0)
    assert few.payable_at(10, 0) == DAY_MS
    small = full(replace(SETTINGS, tokens_per_day=10))
    small.reserve(1, 8, 0)
    assert small.payable_at(8, 0) == DAY_MS


def test_a_header_without_a_period_that_names_the_configured_days_capacity_speaks_of_it() -> None:
    budget = Budget(DAILY, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer(requests=(1_000, 1_000, "0s")))
    assert days(budget)[LimitMetric.REQUESTS] == (1_000, 1_000)
    assert len(budget.levels(0)) == 2


def test_a_successor_knows_what_a_day_has_spent_and_believes_its_own_settings_of_the_capacity() -> None:
    before = full(replace(SETTINGS, tokens_per_day=100_000))
    before.reserve(1, 40_000, 0)
    left = before.checkpoint(0)
    assert days(Budget(replace(SETTINGS, tokens_per_day=100_000), 0, left))[LimitMetric.TOKENS][0] < 60_001
    low, capacity = days(Budget(replace(SETTINGS, tokens_per_day=200_000), 0, left))[LimitMetric.TOKENS]
    assert (low < 60_001, capacity) == (True, 200_000)


def test_a_limit_is_shut_by_a_pause_or_a_day_and_never_by_a_minute() -> None:
    budget = full(replace(SETTINGS, requests=1, tokens_per_day=86_400, requests_per_day=10))
    budget.reserve(1, 30_000, 0)
    assert budget.unavailable_until(30_000, 0) == 0
    assert budget.unavailable_until(86_400, 0) == (30_000 + ROUNDING_TOKENS) * SECOND_MS
    budget.pause_until(DAY_MS)
    assert budget.unavailable_until(1, 0) == DAY_MS
    few = full(replace(SETTINGS, requests_per_day=1))
    few.reserve(1, 1, 0)
    assert few.unavailable_until(1, 0) == DAY_MS
    assert few.unavailable_until(1, 2 * DAY_MS) == 2 * DAY_MS


def test_a_limits_pace_is_that_of_its_slowest_bucket() -> None:
    assert full().pace_ms(500) == 500
    assert full(replace(SETTINGS, requests_per_day=86_400)).pace_ms(500) == SECOND_MS
    assert Budget(UNKNOWN, 0, None).pace_ms(500) == 0


def test_what_the_server_itself_has_named_is_paid_of_a_day_without_a_markup() -> None:
    budget = full(replace(SETTINGS, tokens_per_day=86_400))
    budget.reserve(1, 100, 0)
    budget.record_answer(1, 0, refusal(used=60_000, requested=200))
    assert budget.unavailable_until(43_200, 0, stated=True) == SECOND_MS, "its pause"
    assert budget.unavailable_until(43_200, 0) > 60 * SECOND_MS


def test_a_size_that_low_levels_suggest_fails_no_request() -> None:
    """Others had used up a counter of a minute to nine tenths: larger calls failed for good until its mark."""
    budget = Budget(UNKNOWN, 0, None)
    for number in range(20):
        now_ms = number * 500
        budget.reserve(number, 100, now_ms)
        left, mark_ms = 80_000 - number * 100, 50_000 - now_ms
        budget.record_answer(number, now_ms + 50, answer((1_000_000, left, f"{mark_ms}ms")))
    assert [level.capacity for level in budget.levels(10_000)] == [80_100]
    assert budget.fits(500_000)
    assert budget.inflow(lambda _: 500_000, 10_000).rates == ()
