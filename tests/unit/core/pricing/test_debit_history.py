"""What a debit history predicts, and how sure it is of it: a thousand tokens a second, a bucket of 60,000."""

import pytest

from headrace.broker.core.pricing.debit_history import (
    DEBITS_MAX,
    DELAY_DIFFERENCE_MS,
    SPANS_MAX,
    STEPS_MAX,
    DebitHistory,
)
from tests.unit.core.pricing.debits import CAPACITY, excess, spans, steady


def pair(before: int, after: int, *between: int, every_ms: int = 1_000) -> tuple[DebitHistory, int]:
    """A call after which so much remained, then calls that take so much, and what remained after the last."""
    course, now_ms = DebitHistory(1), 0
    course.observe(course.debit(now_ms, (500,)), before)
    number = 0
    for tokens in between:
        now_ms += every_ms
        number = course.debit(now_ms, (tokens,))
    course.observe(number, after)
    return course, number


def test_what_flowed_in_and_what_calls_took_is_what_remains() -> None:
    assert excess(*pair(20_000, 20_600, 400)) == 0
    assert excess(*pair(20_000, 21_200, 400, 400)) == 0


@pytest.mark.parametrize(("after", "off"), [(20_900, 274), (20_300, -274)])
def test_a_law_that_takes_more_than_the_server_exceeds_and_one_that_takes_less_falls_short(
    after: int, off: int
) -> None:
    assert excess(*pair(20_000, after, 400)) == off


def test_ways_and_rounding_explain_small_differences() -> None:
    slack = DELAY_DIFFERENCE_MS + 1 + 2
    assert [excess(*pair(20_000, 20_600 + off, 400)) for off in (slack, -slack)] == [0, 0]
    assert excess(*pair(20_000, 20_600 + slack + 1, 400)) > 0
    assert excess(*pair(20_000, 20_600 - slack - 1, 400)) < 0


def test_a_full_bucket_loses_what_flows_in() -> None:
    assert excess(*pair(59_500, 59_600, 400, every_ms=10_000)) == 0
    assert excess(*pair(59_500, 59_100, 400, every_ms=10_000)) < 0
    assert excess(*pair(59_500, 59_400, 300, 600, every_ms=10_000)) == 0


def test_the_first_answer_bounds_its_own_charge_because_no_bucket_is_more_than_full() -> None:
    course = DebitHistory(2)
    number = course.debit(0, (400, 700))
    course.observe(number, CAPACITY - 400)
    (span,) = spans(course, number)
    assert [span.excess(column) for column in (0, 1)] == [0, 300]
    course = DebitHistory(1)
    number = course.debit(0, (400,))
    course.observe(number, 7)  # others may have spent the rest
    assert excess(course, number) == 0


@pytest.mark.parametrize(("level", "loose"), [(20_000, 300 + 200), (59_500, 200)])  # a full bucket forgets the first
def test_a_call_sent_close_to_either_end_may_be_on_either_side(level: int, loose: int) -> None:
    course = DebitHistory(1)
    course.observe(course.debit(0, (500,)), level)
    course.debit(DELAY_DIFFERENCE_MS, (300,))
    course.debit(1_000 - DELAY_DIFFERENCE_MS, (200,))
    number = course.debit(1_000, (400,))
    full = min(CAPACITY, level + 1_000)
    results = []
    for after in (full - 400 - loose, full - 400, full - 500 - loose, full - 300):
        course.observe(number, after)
        results.append(excess(course, number))
    assert results[:2] == [0, 0]
    assert results[2] < 0 < results[3]


def test_calls_so_close_together_that_their_order_is_unknown_say_nothing_of_each_other() -> None:
    course = DebitHistory(1)
    course.observe(course.debit(0, (500,)), 30_000)
    number = course.debit(2 * DELAY_DIFFERENCE_MS, (400,))
    course.observe(number, 90)
    assert excess(course, number) == 0


def test_longer_spans_follow_the_shortest_and_twice_as_long_each() -> None:
    course = DebitHistory(1)
    for number in range(200):
        course.observe(course.debit(1_000 * number, (1_000,)), 20_000)
    found = spans(course, 199)
    assert [span.calls for span in found] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert len(found) == SPANS_MAX
    assert all(span.excess(0) == 0 for span in found)


def test_calls_without_an_answer_are_passed_over_as_far_as_a_bound_allows() -> None:
    for unanswered, has_found in ((STEPS_MAX - 1, True), (STEPS_MAX, False)):
        course = DebitHistory(1)
        course.observe(course.debit(0, (500,)), 30_000)
        for number in range(unanswered):
            course.debit(1_000 + number, (0,))
        end = course.debit(1_500, (500,))
        course.observe(end, 31_000)
        assert (spans(course, end)[0].calls > 1) == has_found


def test_a_call_that_was_not_admitted_took_nothing() -> None:
    course, number = pair(20_000, 21_600, 5_000, 400)
    assert excess(course, number) > 0
    course.strike(number - 1)
    assert excess(course, number) == 0
    course, number = pair(59_500, 59_600, 5_000, 400, every_ms=5_000)
    course.strike(number - 1)
    assert excess(course, number) == 0


def test_a_span_with_a_call_of_which_nobody_knows_says_nothing() -> None:
    course, number = pair(20_000, 21_200, 400, 400)
    course.doubt(number - 1)
    assert spans(course, number) == []
    course, number = pair(20_000, 21_200, 400, 400)
    course.doubt(number)
    assert spans(course, number) == []
    course = DebitHistory(1)
    course.observe(course.debit(0, (500,)), 20_000)
    course.debit(1_000, (0,), sure=False)
    number = course.debit(2_000, (400,))
    course.observe(number, 21_200)
    assert spans(course, number) == []


def test_what_remained_of_another_limit_says_nothing() -> None:
    course, number = pair(20_000, 20_600, 400)
    course.forget_remaining()
    course.observe(number, 50_000)
    assert [span.predicted(0) for span in spans(course, number)] == [(0, CAPACITY - 400)]


def test_the_oldest_debits_are_forgotten_and_the_rest_keep_their_numbers() -> None:
    course = DebitHistory(1)
    first = course.debit(0, (1_000,))
    for number in range(1, 2 * DEBITS_MAX + 1):
        course.observe(course.debit(1_000 * number, (1_000,)), 20_000)
    for forgotten in (first, DEBITS_MAX - 1):
        course.observe(forgotten, 1)
        course.strike(forgotten)
        course.doubt(forgotten)
        assert spans(course, forgotten) == []
    last = 2 * DEBITS_MAX
    assert [span.excess(0) for span in spans(course, last)] == [0] * SPANS_MAX
    course.strike(last)
    assert excess(course, last) < 0


def ends(level: int) -> tuple[DebitHistory, int]:
    """A call ends; the next one is sent at once, and ends a second later: inputs of 300, outputs of 200."""
    course = DebitHistory(2, of_ends=True)
    course.debit(0, (300, 300))
    course.observe(course.debit(1_000, (200, 0)), level)
    course.debit(1_000, (300, 300))
    return course, course.debit(2_000, (200, 0))


def test_by_the_end_of_a_call_its_input_and_its_output_are_taken() -> None:
    for level, after in ((20_000, 20_500), (59_900, 59_800)):
        course, number = ends(level)
        course.observe(number, after)
        assert excess(course, number) == 0
        assert excess(course, number, 1) < 0, "it shows that an output was taken"


def test_what_is_sent_once_an_answer_is_there_comes_after_it() -> None:
    for level, after in ((20_000, 20_800), (59_000, 59_790)):
        course, number = ends(level)
        course.observe(number, after)
        assert excess(course, number) > 0, "as if the input had been taken before"


def test_totals_are_of_all_debits_that_happened_also_of_forgotten_ones() -> None:
    course = DebitHistory(2)
    numbers = [course.debit(number, (1, 10)) for number in range(3 * DEBITS_MAX)]
    assert course.totals() == (3 * DEBITS_MAX, 30 * DEBITS_MAX)
    course.strike(numbers[-2])
    assert course.totals() == (3 * DEBITS_MAX - 1, 30 * DEBITS_MAX - 10)


def test_rounded_figures_say_only_what_their_rounding_leaves() -> None:
    course = steady(None, count=40, every_ms=100)
    course.observe(0, 20_000)
    course.observe(39, 7_600)
    assert excess(course, 39) < 0
    course.step = 1_000
    assert excess(course, 39) == 0


def test_laws_that_differ_by_little_are_told_apart_by_rounded_figures_of_hundreds_of_calls() -> None:
    """Fifteen tokens a call are less than the step in 128 calls, the longest span that is examined of exact figures."""
    course = DebitHistory(2)
    for number in range(600):
        course.observe(course.debit(100 * number, (115, 130)), (20_000 - 15 * number) // 3_000 * 3_000)
    for step, told in ((3_000, True), (1, False)):
        course.step = step
        found = spans(course, 599)
        assert (max(span.calls for span in found) > 256) is told
    course.step = 3_000
    found = spans(course, 599)
    assert [bool(span.excess(0)) for span in found] == [False] * len(found)
    assert any(span.excess(1) > 0 for span in found)
    assert not any(span.excess(1) for span in found if span.calls <= 160)


def test_a_call_whose_charge_is_only_estimated_is_no_evidence_until_its_answer_tells_it() -> None:
    course = DebitHistory(1)
    course.observe(course.debit(0, (500,)), 20_000)
    number = course.debit(1_000, (2_000,), sure=False)
    course.observe(number, 12_000)
    assert spans(course, number) == []
    assert course.totals() == (2_500,)
    course.disclose(number, (9_000,))
    assert excess(course, number) == 0
    assert course.totals() == (9_500,)
    course.disclose(number, (8_000,))
    assert excess(course, number) == -1_000 + DELAY_DIFFERENCE_MS + 1, "it was not doubted any more"


def test_a_call_that_was_estimated_and_refused_took_nothing_for_certain() -> None:
    course = DebitHistory(1)
    course.observe(course.debit(0, (500,)), 20_000)
    course.strike(course.debit(500, (2_000,), sure=False))
    number = course.debit(1_000, (400,))
    course.observe(number, 20_600)
    assert excess(course, number) == 0


def test_what_is_told_of_a_forgotten_call_is_nothing() -> None:
    course = DebitHistory(1)
    for _ in range(2 * DEBITS_MAX + 1):
        course.debit(0, (1,))
    course.disclose(0, (1_000,))
    assert course.totals() == (2 * DEBITS_MAX + 1,)


def test_other_prices_hold_for_what_was_debited_before() -> None:
    course, number = pair(20_000, 20_600 - 160, 400)
    assert excess(course, number) < 0
    course.reprice(1_400_000, 1_000_000)
    assert excess(course, number) == 0
    course.reprice(1_000_000, 1_400_000)
    assert excess(course, number) < 0
