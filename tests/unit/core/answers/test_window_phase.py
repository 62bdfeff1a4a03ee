"""Where a counter of a second begins anew: its marks as calls are sent, in time modulo a second."""

import pytest

from headrace.broker.core.answers.window_phase import ARC_PARTS, MARGIN_PARTS, MARKS_MAX, MARKS_MIN, Phase, WindowPhase

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
