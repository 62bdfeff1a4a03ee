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


def test_no_usual_one_may_agree() -> None:
    assert found([(remaining, 3 * full_in_ms) for remaining, full_in_ms in TENTHS]) is None


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
