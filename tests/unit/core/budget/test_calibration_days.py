"""What headers say of limits per day: those that the settings name, and one that is shown with a minute's level."""

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.level_reach import ANSWERS_MIN
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.budget.test_budget_days import DAILY, days
from tests.unit.core.budgets import UNKNOWN, answer, full


def test_a_header_that_speaks_of_a_day_corrects_the_day_and_one_of_a_minute_does_not() -> None:
    budget = full(DAILY)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer((60_000, 50_000, "10s"), (10_000, 9_990, "86.4s")))
    assert days(budget)[LimitMetric.REQUESTS] == (9_990, 10_000)
    assert days(budget)[LimitMetric.TOKENS] == (100_000 - 400 - ROUNDING_TOKENS, 100_000)


def test_a_header_without_a_period_is_not_taken_for_the_day_that_was_configured() -> None:
    budget = Budget(DAILY, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer((60_000, 60_000, "0s"), (500, 500, "0s")))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [
        (100_000, DAY_MS),
        (1_000, DAY_MS),
        (60_000, MINUTE_MS),
        (500, MINUTE_MS),
    ]


def test_one_level_of_a_minute_beside_the_limit_of_a_day_states_no_size_of_the_minute() -> None:
    budget = Budget(UNKNOWN, 0, None)
    for attempt in range(ANSWERS_MIN):
        budget.reserve(attempt, 400, 2_000 * attempt)
        budget.record_answer(attempt, 2_000 * attempt + 10, answer((1_000_000, 60_000, "60s")))
    (mirror,) = budget._buckets
    assert mirror.capacity == 60_400
    assert budget._buckets.coarse == {60_400}
