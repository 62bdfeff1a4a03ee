"""How many retries a lane takes back: a part of its fresh work and a floor, for ten seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.retries.retry_budget import EARNINGS_LAST_MS, RetryBudget, RetryBudgetRules

NONE_FRESH = RetryBudgetRules(share=0.2, floor_per_s=10)
NO_FLOOR = RetryBudgetRules(share=0.2, floor_per_s=0.01)


def taken(retry_budget: RetryBudget, now_ms: int) -> int:
    """All that it gives at that instant."""
    count = 0
    while retry_budget.take(now_ms):
        count += 1
    return count


def test_nothing_is_there_to_begin_with_and_the_floor_flows_in() -> None:
    retry_budget = RetryBudget(NONE_FRESH, 5_000)
    assert [taken(retry_budget, 5_000 + ms) for ms in (0, 99, 100, 150, 1_100)] == [0, 0, 1, 0, 10]


def test_a_fifth_of_what_comes_fresh_may_come_back() -> None:
    retry_budget = RetryBudget(NO_FLOOR, 0)
    retry_budget.observe(1_000, 6, 0)
    assert taken(retry_budget, 0) == 0, "when those came is not known"
    retry_budget.observe(1_050, 6, 1_000)
    retry_budget.observe(1_054, 6, 1_100)
    assert taken(retry_budget, 1_100) == 10
    retry_budget.observe(1_055, 6, 1_200)
    assert taken(retry_budget, 1_200) == 1, "fifty-five are worth eleven: parts of a retry add up"


def test_what_is_put_back_earns_nothing() -> None:
    retry_budget = RetryBudget(NO_FLOOR, 0)
    retry_budget.observe(0, 6, 0)
    retry_budget.writes(1)
    retry_budget.observe(2, 6, 100)  # a record and the marker of its transaction
    retry_budget.writes(100)
    retry_budget.observe(56, 6, 200)
    retry_budget.observe(108, 6, 300)  # six markers: it touched every partition
    assert taken(retry_budget, 300) == 0
    retry_budget.observe(113, 6, 400)
    assert taken(retry_budget, 400) == 1


def test_before_the_partitions_are_known_each_record_counts_with_a_marker() -> None:
    retry_budget = RetryBudget(NO_FLOOR, 0)
    retry_budget.writes(30)
    retry_budget.observe(0, 6, 0)
    retry_budget.observe(60, 6, 10)
    assert taken(retry_budget, 10) == 0


def test_what_was_not_spent_for_ten_seconds_is_gone() -> None:
    retry_budget = RetryBudget(NO_FLOOR, 0)
    retry_budget.observe(0, 1, 0)
    retry_budget.observe(500, 1, 1_000)
    retry_budget.observe(600, 1, 5_000)
    assert taken(retry_budget, 1_000 + EARNINGS_LAST_MS) == 20


def test_what_was_earned_within_a_second_is_gone_together_ten_seconds_after_its_beginning() -> None:
    for now_ms, count in ((10_999, 100), (11_000, 0)):
        retry_budget = RetryBudget(NO_FLOOR, 0)
        retry_budget.observe(0, 1, 1_000)
        retry_budget.observe(500, 1, 1_900)
        assert taken(retry_budget, now_ms) == count


def test_of_a_lane_that_is_heard_the_floor_flows_in_each_time_and_is_not_saved_up_twice() -> None:
    retry_budget = RetryBudget(NONE_FRESH, 0)
    for now_ms in range(0, 19_001, 1_000):
        retry_budget.observe(0, 1, now_ms)
        assert now_ms != 10_000 or retry_budget.take(now_ms)
    assert 100 <= taken(retry_budget, 19_900) <= 110


def test_an_hour_of_quiet_saves_up_ten_seconds_of_floor() -> None:
    assert taken(RetryBudget(NONE_FRESH, 0), 3_600_000) == 100


def test_the_smallest_floor_that_settings_allow_lets_one_through_every_five_seconds() -> None:
    retry_budget = RetryBudget(RetryBudgetRules(share=0, floor_per_s=0.2), 0)
    assert sum(taken(retry_budget, ms) for ms in range(0, 60_001, 200)) == 12


def test_a_topic_that_was_made_anew_begins_from_there() -> None:
    retry_budget = RetryBudget(NO_FLOOR, 0)
    retry_budget.observe(1_000, 1, 0)
    retry_budget.observe(0, 1, 100)
    retry_budget.observe(10, 1, 200)
    assert taken(retry_budget, 200) == 2


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 60), st.integers(0, 50)), max_size=60))
def test_no_stretch_takes_more_than_was_earned_in_it_and_in_the_ten_seconds_before(
    steps: list[tuple[int, int, int]],
) -> None:
    """Steps: time passes (ms), so many come fresh, so many ask to come back. Earnings are kept by whole seconds."""
    retry_budget, now_ms, end = RetryBudget(NONE_FRESH, 0), 0, 0
    retry_budget.observe(0, 1, 0)
    fresh: list[tuple[int, int]] = []
    back: list[tuple[int, int]] = []
    for wait_ms, came, asked in steps:
        now_ms += wait_ms
        end += came
        retry_budget.observe(end, 1, now_ms)
        fresh.append((now_ms, came))
        gone = sum(retry_budget.take(now_ms) for _ in range(asked))
        retry_budget.writes(gone)
        end += gone + min(gone, 1)
        back.append((now_ms, gone))
    for first, (since_ms, _) in enumerate(back):
        for last_ms, _ in back[first:]:
            went = sum(count for at_ms, count in back if since_ms <= at_ms <= last_ms)
            from_ms = since_ms - EARNINGS_LAST_MS - 3_000  # the floor of one step flows in at its end
            earned = 0.2 * sum(count for at_ms, count in fresh if from_ms <= at_ms <= last_ms)
            earned += 10 * (last_ms - max(0, from_ms)) / 1_000
            assert went <= earned + 1e-6
