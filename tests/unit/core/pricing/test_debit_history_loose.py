"""What a debit history shows in a short window, of which kind is not known."""

import pytest

from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.pricing.debit_history import DELAY_DIFFERENCE_MS, DebitHistory
from tests.unit.core.pricing.debits import CAPACITY, spans

LOOSE = RefillPattern(Refill.SLIDING, 1_000, loose=True)
EARLIEST_MS = 5_000 - 2_000 - DELAY_DIFFERENCE_MS


def loosely(remaining: int, *, of_all: bool = True, unsure: int | None = None) -> list[int]:
    """By how much a law of 400 a call misses what remained after the one of second 5, in a window of a second."""
    course = DebitHistory(1, of_all=of_all)
    course.refill_by(LOOSE)
    for now_ms in (0, EARLIEST_MS - 1, EARLIEST_MS, 4_000, 5_000, 5_000 + DELAY_DIFFERENCE_MS + 1):
        course.debit(now_ms, (400,))
    if unsure is not None:
        course.doubt(unsure)
    course.observe(4, remaining)
    return [span.excess(0) for span in spans(course, 4)]


@pytest.mark.parametrize(("used", "off"), [(400 - 6, 0), (400 - 7, 7), (1_200 + 6, 0), (1_200 + 7, -7)])
def test_a_short_window_of_whatever_kind_counts_a_call_itself_and_no_more_than_two_periods(used: int, off: int) -> None:
    """Before: a bucket of a second whose times are rounded was taken for a sliding window, and its law for a dearer."""
    assert loosely(CAPACITY - used) == [off]


def test_a_short_window_says_nothing_where_a_call_of_two_periods_is_not_known() -> None:
    assert [loosely(0, unsure=number) != [] for number in (1, 2, 3, 4, 5)] == [True, False, False, False, True]
    assert loosely(0, of_all=False) != []
    course = DebitHistory(1, of_all=False)
    course.refill_by(LOOSE)
    course.observe(course.debit(5_000, (400,)), 0)
    assert spans(course, 0) == []
