"""When windows show that a mirror is not of such a window."""

import pytest

from headrace.broker.core.budget.renewal_doubt import FAR_PARTS, RenewalDoubt

PERIOD, CAPACITY = 6_000, 1_000
FAR = -CAPACITY // FAR_PARTS - 1


def verdicts(*windows: tuple[float, int | None], all_count: bool = False) -> list[bool]:
    """The verdict after answers of these windows, each with its error."""
    doubt = RenewalDoubt()
    return [
        doubt.observe(round(window * PERIOD), PERIOD, CAPACITY, error, all_count=all_count) for window, error in windows
    ]


def test_two_windows_in_a_row_that_are_far_short_disprove_it() -> None:
    assert verdicts((0, FAR), (1, FAR)) == [False, True]
    assert verdicts((0, FAR), (1, FAR + 1), (2, FAR)) == [False, False, False]
    assert verdicts((0, FAR), (3, FAR), (4, FAR)) == [False, False, True], "of the window between nothing was heard"
    assert verdicts((0, FAR), (1.1, FAR)) == [False, True], "marks move a little"


def test_several_answers_of_one_window_are_one() -> None:
    for all_count in (False, True):
        assert verdicts((0, FAR), (0, FAR), (0.02, FAR), all_count=all_count) == [False] * 3


@pytest.mark.parametrize("all_count", [False, True])
def test_of_a_window_its_first_answer_counts_or_all(all_count: bool) -> None:  # noqa: FBT001
    assert verdicts((0, 0), (0, FAR), (1, 0), (1, FAR), all_count=all_count) == [False, False, False, all_count]


def test_an_answer_that_tells_nothing_is_no_first_one() -> None:
    assert verdicts((0, FAR), (1, None), (1, FAR)) == [False, False, True]
