"""What a debit history predicts of windows: counters that begin anew at a mark, and sliding ones."""

import pytest

from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.pricing.debit_history import (
    DEBITS_MAX,
    DEBITS_MAX_SLIDING,
    DELAY_DIFFERENCE_MS,
    SPANS_MAX,
    DebitHistory,
    DebitSpan,
)
from tests.unit.core.pricing.debits import CAPACITY, MINUTE, excess, spans, steady

MARK = 30_000
FIXED, SLIDING = RefillPattern(Refill.FIXED, MINUTE, MARK), RefillPattern(Refill.SLIDING, MINUTE)


def test_into_a_counter_nothing_flows_before_its_mark() -> None:
    course = steady(FIXED)
    course.observe(0, 20_000)
    course.observe(1, 19_600)
    assert excess(course, 1) == 0
    course.observe(1, 19_600 + 3)
    assert excess(course, 1) > 0, "it took less"
    course.observe(1, 19_600 - 3)
    assert excess(course, 1) < 0
    course.refill_by(None)
    course.observe(1, 20_600)
    assert excess(course, 1) == 0, "into a bucket a thousand did"


@pytest.mark.parametrize("pattern", [None, RefillPattern(Refill.BUCKET, MINUTE)])
def test_a_bucket_of_whatever_period_refills_continuously(pattern: RefillPattern | None) -> None:
    course = steady(FIXED)
    course.refill_by(pattern)
    course.observe(0, 20_000)
    course.observe(1, 20_600)
    assert excess(course, 1) == 0


@pytest.mark.parametrize(("first_ms", "has_spans"), [(MARK - 2_000, True), (MARK - 1_000, False), (MARK - 500, False)])
def test_a_span_in_which_a_counter_may_have_begun_anew_says_nothing(first_ms: int, has_spans: bool) -> None:  # noqa: FBT001
    course = DebitHistory(1)
    course.refill_by(FIXED)
    course.observe(course.debit(first_ms, (400,)), 20_000)
    end = course.debit(first_ms + 1_000, (400,))
    course.observe(end, 19_600)
    assert bool(spans(course, end)) is has_spans


def test_a_mark_is_one_of_many() -> None:
    course = DebitHistory(1)
    course.refill_by(FIXED)
    course.observe(course.debit(MARK + 5 * MINUTE - 1_000, (400,)), 20_000)
    end = course.debit(MARK + 5 * MINUTE + 1_000, (400,))
    course.observe(end, 19_600)
    assert spans(course, end) == []


def changes(course: DebitHistory, number: int) -> list[DebitSpan]:
    """Return the spans from one answer to another, without all that counts in the window."""
    return [span for span in spans(course, number) if span.predicted(0)[0]]


def change(course: DebitHistory, number: int) -> int:
    return changes(course, number)[0].excess(0)


def test_what_was_taken_a_period_ago_returns_into_a_sliding_window() -> None:
    course = DebitHistory(1)
    course.refill_by(SLIDING)
    for now_ms in (500, 60_100, 61_100):
        course.debit(now_ms, (400,))
    course.observe(1, 20_000)
    course.observe(2, 20_000)
    assert change(course, 2) == 0, "one came, and one has expired"
    course.observe(2, 20_000 + 3)
    assert change(course, 2) > 0
    course.observe(2, 20_000 - 3)
    assert change(course, 2) < 0
    course = steady(SLIDING, count=30)
    course.observe(28, 20_000)
    course.observe(29, 19_600)
    assert change(course, 29) == 0, "none has expired"


def test_what_was_taken_about_a_period_ago_may_have_returned_or_not() -> None:
    course = DebitHistory(1)
    course.refill_by(SLIDING)
    for now_ms in (0, 5_000, 64_000, 65_000 + DELAY_DIFFERENCE_MS):
        course.debit(now_ms, (400,))
    course.observe(2, 20_000)
    for after in (19_600, 20_000):
        course.observe(3, after)
        assert change(course, 3) == 0
    course.observe(3, 20_000 + 10)
    assert change(course, 3) > 0


@pytest.mark.slow
def test_a_sliding_window_says_nothing_while_what_expires_in_it_is_not_known() -> None:
    """Before: a successor took for its law's fault what returned of its predecessor's calls."""
    for count, known in ((30, False), (63, True)):
        course = steady(SLIDING, count=count, of_all=False)
        course.observe(count - 2, 20_000)
        course.observe(count - 1, 20_000)
        assert bool(changes(course, count - 1)) is known
    course = steady(SLIDING, count=2 * DEBITS_MAX_SLIDING + 1, every_ms=5)
    for number in (2 * DEBITS_MAX_SLIDING - 20, 2 * DEBITS_MAX_SLIDING):
        course.observe(number, 20_000)
    assert changes(course, 2 * DEBITS_MAX_SLIDING) == [], "it is forgotten"


@pytest.mark.parametrize(("taken", "exceeds"), [(59 * 400, False), (59 * 400 - 2 * 59 - 1, True), (0, True)])
def test_a_sliding_window_has_no_more_left_than_a_periods_calls_leave(taken: int, exceeds: bool) -> None:  # noqa: FBT001
    """Before: where it was spent evenly a law that charged twice as much as the server fitted, as it expired too."""
    course = steady(SLIDING, count=200)
    course.observe(198, CAPACITY - taken)
    course.observe(199, CAPACITY - taken)
    whole, *others = spans(course, 199)
    assert (whole.start, whole.end, whole.calls) == (139, 199, 59), "its own may be the first of them"
    assert (whole.excess(0) > 0) is exceeds
    assert [span.excess(0) for span in others] == [0] * len(others)
    course.observe(199, 0)
    assert spans(course, 199)[0].excess(0) == 0, "others may have taken all of it"


def test_what_counts_in_a_sliding_window_says_nothing_while_some_of_it_is_unsure() -> None:
    course = steady(SLIDING, count=200)
    course.observe(199, 20_000)
    course.doubt(140)
    assert [span for span in spans(course, 199) if span.start == 139] == []
    course = steady(SLIDING, count=200)
    course.observe(199, 20_000)
    course.doubt(139)
    assert spans(course, 199)[0].start == 139


@pytest.mark.parametrize(("pattern", "count"), [(None, 1), (FIXED, 1), (SLIDING, 2)])
def test_a_glance_at_a_sliding_window_looks_at_the_shortest_change_too(
    pattern: RefillPattern | None, count: int
) -> None:
    course = steady(pattern)
    assert course.spans_max(thorough=False) == count
    assert course.spans_max() == SPANS_MAX


def test_a_sliding_window_remembers_what_a_period_holds() -> None:
    """Before: at 20 calls a second what expired was always forgotten, and nothing told laws apart."""
    course = steady(SLIDING, count=2 * DEBITS_MAX + 500, every_ms=50)
    for number in (2 * DEBITS_MAX + 498, 2 * DEBITS_MAX + 499):
        course.observe(number, 20_000)
    assert spans(course, 2 * DEBITS_MAX + 499) != []


def test_a_sliding_window_says_nothing_if_a_call_that_expires_in_it_is_unsure() -> None:
    """Before: a lost call's tokens, or another endpoint's, returned, and the law seemed too dear."""
    course = steady(SLIDING, count=62)
    course.observe(60, 20_000)
    course.observe(61, 20_000)
    course.doubt(1)
    assert changes(course, 61) == []
    course = steady(SLIDING, count=62)
    course.observe(60, 20_000)
    course.observe(61, 20_000)
    for number in (3, 58):
        course.doubt(number)
    assert len(spans(course, 61)) == 1, "neither has expired in it"


def test_what_two_counters_count_refutes_no_law_where_none_gives_the_charge() -> None:
    """Before: all were given up for the recorded one where a constant factor larger is charged (seed 90368)."""
    for factor, predicted in ((1.0, True), (1.3, False)):
        course = DebitHistory(2)
        course.refill_by(RefillPattern(Refill.TWO, MINUTE, MARK))
        for number in range(300):
            course.debit(number * 500, (400, 300))
        used = round((400 * 60 + 400 * 120 / 2) * factor)  # half a minute's, and half of the minute's before
        course.observe(240, CAPACITY - used)
        shown = spans(course, 240)
        assert all(span.excess(0) == 0 for span in shown)
        assert (shown[0].predicted(0)[1] - shown[0].predicted(0)[0] < 1_000) is predicted


def test_what_others_take_of_two_counters_supports_no_dearer_law() -> None:
    """Before: where no law gave the charge, the dearest fitted, and half of the limit stayed unused (seed 97474)."""
    course = DebitHistory(2)
    course.refill_by(RefillPattern(Refill.TWO, MINUTE, MARK))
    for number in range(300):
        course.debit(number * 500, (800, 400))
    large = 200_000  # more than the calls of two minutes are charged
    for taken, too_dear in ((120_000, False), (100, True)):
        course.observe(240, large - taken)
        [span] = course.spans(240, large, MINUTE)
        assert (span.excess(0) > 0) is too_dear, "its own call is charged more than all that was taken, and rounding"
        assert span.excess(1) == 0, "others may have taken the rest"
