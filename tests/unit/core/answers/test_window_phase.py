"""Where a counter of a second begins anew: its marks as calls are sent, in time modulo a second."""

import pytest

from headrace.broker.core.answers.window_phase import (
    ARC_PARTS,
    GAP_PARTS,
    MARGIN_PARTS,
    MARKS_MAX,
    MARKS_MIN,
    OPEN_MAX,
    NewestMarks,
    Phase,
    WindowPhase,
)
from tests.unit.core.profiled import function_calls

SECOND = 1_000


def phase(*marks_ms: int) -> WindowPhase:
    made = WindowPhase()
    for mark_ms in marks_ms:
        made.observe(mark_ms)
    return made


@pytest.mark.parametrize("around_ms", [0, 10, 500, 990])
def test_marks_within_an_arc_tell_the_next_one_wherever_it_lies_on_the_circle(around_ms: int) -> None:
    made = phase(*(around_ms + SECOND * window + 5 * (window % 5) for window in range(MARKS_MIN)))
    margin_ms = 1 + 20 // MARGIN_PARTS
    last_ms = around_ms + 20 + margin_ms
    assert made.next_mark(SECOND, 20_000 + last_ms - 1) == Phase(20_000 + last_ms, 20 + 2 * margin_ms)
    assert made.next_mark(SECOND, 20_000 + last_ms) == Phase(21_000 + last_ms, 20 + 2 * margin_ms)


def test_marks_that_are_all_alike_leave_no_spread_but_the_margin() -> None:
    assert phase(*([300] * MARKS_MIN)).next_mark(SECOND, 0) == Phase(301, 2)


def test_few_marks_tell_nothing() -> None:
    assert phase(*([300] * (MARKS_MIN - 1))).next_mark(SECOND, 0) is None


def test_marks_that_lie_anywhere_tell_nothing() -> None:
    arc_ms = SECOND // ARC_PARTS
    assert phase(*([300] * MARKS_MIN), 300 + arc_ms).next_mark(SECOND, 0) is not None
    assert phase(*([300] * MARKS_MIN), 300 + arc_ms + 1).next_mark(SECOND, 0) is None
    assert phase(*range(0, 8_000, 1_111)).next_mark(SECOND, 0) is None


def test_the_last_marks_count_and_no_older_ones() -> None:
    made = phase(800, *([300] * (MARKS_MAX - 1)))
    assert made.next_mark(SECOND, 0) is None
    made.observe(300)
    assert made.next_mark(SECOND, 0) == Phase(301, 2)


# ------------------------------------------------------------------ counters of some seconds

PERIOD, AGE = 6_000, 3_900


def newest(seconds: int = 60, *, looked_up_ms: int = 0, parts_ms: int = 1, every_ms: int = 70, mark_ms: int = 0) -> int:
    """How far from the mark that lies which calls show, whose times are old, or rounded up."""
    marks, known, level_ms = NewestMarks(), None, -looked_up_ms
    for sent_ms in range(0, seconds * 1_000, every_ms):
        level_ms = sent_ms if sent_ms >= level_ms + looked_up_ms else level_ms
        full_in_ms = PERIOD - (level_ms - mark_ms) % PERIOD
        known = marks.observe(sent_ms, -(-full_in_ms // parts_ms) * parts_ms, PERIOD)
    assert known is not None
    return (known.mark_ms - mark_ms + PERIOD // 2) % PERIOD - PERIOD // 2


@pytest.mark.parametrize("mark_ms", [0, 20, 3_000, PERIOD - 10])
def test_the_mark_is_exact_where_times_are_and_nearly_where_they_are_old_or_rounded(mark_ms: int) -> None:
    """Before: at the end of all that were shown, four seconds late in a window of six (seed 91491)."""
    assert newest(mark_ms=mark_ms) == 0
    assert newest(looked_up_ms=AGE, mark_ms=mark_ms) == 0
    assert 0 <= newest(parts_ms=SECOND, mark_ms=mark_ms) < 70


def test_how_far_delays_differ_is_told_as_well() -> None:
    marks = NewestMarks()
    found = [
        marks.observe(sent_ms, PERIOD - sent_ms % PERIOD - sent_ms % 40, PERIOD) for sent_ms in range(0, 9_000, 77)
    ]
    assert found[0] == Phase(PERIOD, 0)
    assert found[-1] is not None
    assert 15 < found[-1].spread_ms < 25
    assert -30 < (found[-1].mark_ms + PERIOD // 2) % PERIOD - PERIOD // 2 < -10


def test_marks_of_some_seconds_that_lie_anywhere_tell_nothing_and_another_period_begins_anew() -> None:
    marks = NewestMarks()
    for sent_ms in range(0, 9_000, 77):
        found = marks.observe(sent_ms, 1 + sent_ms * 31 % 5_987, PERIOD)
    assert found is None
    assert marks.observe(9_000, 1_000, 2 * PERIOD) == Phase(10_000, 0)


def test_a_time_that_is_told_again_in_the_next_window_shows_another_mark() -> None:
    marks = NewestMarks()
    marks.observe(0, 1_000, PERIOD)
    assert marks.observe(PERIOD + 100, 1_000, PERIOD) == Phase(PERIOD + 1_100, 100)


def test_marks_tell_nothing_unless_a_quarter_of_the_period_has_none() -> None:
    for count, tells in ((GAP_PARTS, True), (GAP_PARTS + 1, False)):
        marks, found = NewestMarks(), None
        for number in range(count):
            found = marks.observe(0, 1 + number * PERIOD // count, PERIOD)
        assert (found is not None) is tells


def test_a_bounded_number_of_times_waits_to_be_told_again() -> None:
    marks = NewestMarks()
    for number in range(2 * OPEN_MAX):
        marks.observe(number, PERIOD - number, PERIOD)
    assert len(marks._open) == OPEN_MAX


def test_an_answer_costs_no_function_calls_for_each_of_the_marks_before_it() -> None:
    """Before: more than a hundred, a tenth of what the budget does for a call."""
    marks = NewestMarks()
    for number in range(3 * MARKS_MAX):
        marks.observe(70 * number, 6_000 - 70 * number % 6_000, 6_000)
    _, calls = function_calls(lambda: marks.observe(70 * 3 * MARKS_MAX, 17, 6_000))
    assert calls < 20
