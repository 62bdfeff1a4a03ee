import pytest

from headrace.broker.core.answers.coarse_bucket import CoarseBucket

CAPACITY = 1_000
USUAL = (6_000, 10_000, 30_000, 60_000)
TENTHS = [(900, 6_000), (800, 12_000), (600, 24_000), (400, 36_000)]
"""Levels of a bucket of a minute, and the time until it is full."""


def found(figures: list[tuple[int, int]], capacity: int = CAPACITY, usual: tuple[int, ...] = USUAL) -> int | None:
    bucket = CoarseBucket(capacity)
    for remaining, full_in_ms in figures:
        bucket.observe(remaining, full_in_ms)
    return bucket.period_ms(usual)


def test_the_usual_period_that_agrees_with_all_is_that_of_the_bucket() -> None:
    assert found(TENTHS) == 60_000


def test_three_different_figures_are_not_enough() -> None:
    assert found([*TENTHS[:3], *TENTHS[:3]]) is None


def test_of_two_usual_periods_that_agree_none_is_believed() -> None:
    assert found(TENTHS, usual=(59_000, 60_000)) is None


def test_where_no_usual_period_agrees_it_is_the_middle_of_those_that_do() -> None:
    """Before, a bucket of two minutes was none, and taken for a window of an hour: nothing was sent for 53 minutes."""
    fine = [(1_000 - used, 180 * used) for used in range(50, 1_000, 50)]
    period_ms = found(fine)
    assert period_ms == pytest.approx(180_000, rel=0.03)
    bucket = CoarseBucket(CAPACITY)
    for remaining, full_in_ms in fine:
        bucket.observe(remaining, full_in_ms)
    assert bucket.period_ms(USUAL) == period_ms
    bucket.observe(50, 170_000)
    assert bucket.period_ms(USUAL) == period_ms, "it stays as long as it agrees, though the middle has moved"
    bucket.observe(50, 165_000)
    assert bucket.period_ms(USUAL) not in {period_ms, None}


def test_an_unusual_period_that_is_known_to_a_third_is_not_believed() -> None:
    assert found([(remaining, 3 * full_in_ms) for remaining, full_in_ms in TENTHS[:1]] * 4) is None
    assert found([(900, 20_000), (800, 40_000), (700, 60_000), (600, 80_000)]) is None


def test_figures_that_no_period_agrees_with_show_none() -> None:
    assert found([(900, 30_000), (700, 20_000), (500, 10_000), (300, 5_000)]) is None


@pytest.mark.parametrize("reset_ms", [40_000, 40_001])
def test_a_counter_whose_reset_falls_while_more_is_used_contradicts_itself(reset_ms: int) -> None:
    counted = [(900 - 100 * passed, reset_ms - 6_000 * passed) for passed in range(4)]
    assert found(counted, usual=tuple(range(1_000, 400_000, 500))) is None


def test_a_time_that_is_no_whole_second_is_exact() -> None:
    assert found([*TENTHS[:3], (400, 36_001)]) == 60_000
    assert found([*TENTHS[:3], (400, 36_002)]) is None


def test_exact_levels_are_those_of_no_coarse_one() -> None:
    assert found([*TENTHS, (399, 36_060)]) is None
    assert found([*TENTHS, (399, 36_060), (200, 48_000)]) is None, "nor are later ones"


def test_steps_of_one_part_in_two_hundred_are_coarse_and_smaller_ones_are_not() -> None:
    assert found([(200 * remaining, full_in_ms) for remaining, full_in_ms in TENTHS], 200_000) == 60_000
    assert found([(980, 1_200), *TENTHS]) == 60_000, "in steps of 20"
    assert found([(996, 240), *TENTHS]) is None, "in steps of 4"
    assert found([(995, 300), *TENTHS]) == 60_000, "in steps of 5"


def test_a_time_may_be_rounded_to_the_nearest_second() -> None:
    """Of 20.5 used, 1.23 s until it is full."""
    assert found([*TENTHS, (960, 1_000)]) == 60_000
