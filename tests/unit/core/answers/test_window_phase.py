"""Where a counter of a second begins anew: its marks as calls are sent, in time modulo a second."""

import pytest

from headrace.broker.core.answers.window_phase import (
    ARC_PARTS,
    GAP_PARTS,
    MARGIN_PARTS,
    MARKS_MAX,
    MARKS_MIN,
    NARROW_PARTS,
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


def told(
    marks: NewestMarks, sent_ms: int, full_in_ms: int, remaining: int = 0, period_ms: int = PERIOD
) -> Phase | None:
    """What is known of the mark after one more answer."""
    marks.observe(sent_ms, full_in_ms, remaining, period_ms)
    return marks.middle(sent_ms + full_in_ms)


def newest(seconds: int = 60, *, looked_up_ms: int = 0, parts_ms: int = 1, every_ms: int = 70, mark_ms: int = 0) -> int:
    """How far from the mark that lies which calls show, whose times are old, or rounded up."""
    marks, known, level_ms = NewestMarks(), None, -looked_up_ms
    for sent_ms in range(0, seconds * 1_000, every_ms):
        level_ms = sent_ms if sent_ms >= level_ms + looked_up_ms else level_ms
        full_in_ms = PERIOD - (level_ms - mark_ms) % PERIOD
        full_in_ms = -(-full_in_ms // parts_ms) * parts_ms
        known = told(marks, sent_ms, full_in_ms, level_ms)
        ahead = marks.next_mark(sent_ms)
    assert known is not None
    assert ahead is not None
    assert 0 <= (ahead.mark_ms - known.mark_ms) % PERIOD <= ahead.spread_ms < PERIOD // NARROW_PARTS * 3 // 2
    return (known.mark_ms - mark_ms + PERIOD // 2) % PERIOD - PERIOD // 2


@pytest.mark.parametrize("mark_ms", [0, 20, 3_000, PERIOD - 10])
def test_the_mark_is_exact_where_times_are_and_nearly_where_they_are_old_or_rounded(mark_ms: int) -> None:
    """Before: at the end of all that were shown, four seconds late in a window of six (seed 91491)."""
    assert newest(mark_ms=mark_ms) == 0
    assert newest(looked_up_ms=AGE, mark_ms=mark_ms) == 0
    assert 0 <= newest(parts_ms=SECOND, mark_ms=mark_ms) < 70


def test_how_far_delays_differ_is_told_as_well() -> None:
    marks = NewestMarks()
    found = [told(marks, sent_ms, PERIOD - sent_ms % PERIOD - sent_ms % 40) for sent_ms in range(0, 9_000, 77)]
    assert found[0] == Phase(PERIOD, 0)
    assert found[-1] is not None
    assert 15 < found[-1].spread_ms < 25
    assert -30 < (found[-1].mark_ms + PERIOD // 2) % PERIOD - PERIOD // 2 < -10


def test_marks_of_some_seconds_that_lie_anywhere_tell_nothing_and_another_period_begins_anew() -> None:
    marks = NewestMarks()
    for sent_ms in range(0, 9_000, 77):
        found = told(marks, sent_ms, 1 + sent_ms * 31 % 5_987)
    assert found is None
    assert marks.next_mark(9_000) is None
    assert told(marks, 9_000, 1_000, period_ms=2 * PERIOD) == Phase(10_000, 0)


def test_a_time_that_is_told_again_in_the_next_window_shows_another_mark() -> None:
    marks = NewestMarks()
    told(marks, 0, 1_000, 5)
    assert told(marks, PERIOD + 100, 1_000, 5) == Phase(PERIOD + 1_100, 100)


def test_marks_tell_nothing_unless_a_quarter_of_the_period_has_none() -> None:
    for count, tells in ((GAP_PARTS, True), (GAP_PARTS + 1, False)):
        marks, found = NewestMarks(), None
        for number in range(count):
            found = told(marks, 0, 1 + number * PERIOD // count)
        assert (found is not None) is tells


def test_a_bounded_number_of_times_waits_to_be_told_again() -> None:
    marks = NewestMarks()
    for number in range(2 * OPEN_MAX):
        told(marks, number, PERIOD - number)
    assert len(marks._open) == OPEN_MAX


def test_an_answer_costs_no_function_calls_for_each_of_the_marks_before_it() -> None:
    """Before: more than a hundred, a tenth of what the budget does for a call."""
    marks = NewestMarks()
    for number in range(3 * MARKS_MAX):
        told(marks, 70 * number, 6_000 - 70 * number % 6_000)
    _, calls = function_calls(lambda: told(marks, 70 * 3 * MARKS_MAX, 17))
    assert calls < 20


def test_a_level_that_is_repeated_for_longer_than_a_window_shows_one_mark() -> None:
    """Before: each answer showed another one, so that they lay anywhere (seeds 92012, 92092)."""
    marks = NewestMarks()
    for looked_up_ms in range(0, 12 * 3_500, 3_500):
        for sent_ms in range(looked_up_ms, looked_up_ms + 3_500, 250):
            marks.observe(sent_ms, SECOND - (looked_up_ms + 300) % SECOND, looked_up_ms, SECOND)
    assert marks.next_mark(0) == Phase(701, 2)


def test_the_arc_that_holds_most_of_the_newest_marks_tells_the_next_one() -> None:
    for far, tells in ((2, True), (3, False)):
        marks = NewestMarks()
        for number in range(MARKS_MIN):
            mark_ms = 2_000 + 1_300 * number if number < far else 500
            marks.observe(0, mark_ms, number, PERIOD)
        found = marks.next_mark(0)
        assert found == (Phase(501, 2) if tells else None)


def test_few_of_the_newest_marks_tell_nothing() -> None:
    marks = NewestMarks()
    for number in range(MARKS_MIN - 1):
        marks.observe(0, 501, number, PERIOD)
    assert marks.next_mark(0) is None
    marks.observe(0, 501, MARKS_MIN, PERIOD)
    assert marks.next_mark(0) == Phase(502, 2)
