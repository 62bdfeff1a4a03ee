"""What bounds of a level say, and how time moves them."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, REQUESTS, TOKENS
from headrace.broker.core.budget.level_bounds import LevelBounds


def test_time_refills_both_ends_up_to_the_capacity() -> None:
    bounds = LevelBounds(TOKENS, 10_000, 40_000, 60_000, MINUTE_MS)
    later = bounds.refilled(30_000)
    assert (later.low, later.high) == (40_000, 60_000)
    assert later.refilled(0) == later


def test_what_it_counts_is_its_metric_unless_it_is_of_another_kind() -> None:
    assert LevelBounds(REQUESTS, 0, 5, 5, MINUTE_MS).counts == "requests"
    assert LevelBounds(TOKENS, 0, 5, 5, MINUTE_MS, kind="input-tokens").counts == "input-tokens"
