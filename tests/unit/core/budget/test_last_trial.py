"""What the measurements achieved when they were followed last, and when the mirrors fall short of it."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.achievement import COMPARED_MS, SPENT_IN_MS, Achieved, Bound
from headrace.broker.core.budget.last_trial import ANSWERS_MS, EARLY_MS, LastTrial
from headrace.broker.core.units import PPM

RATE = 60_000
ENDED_MS = 1_000
LATER_MS = ENDED_MS + EARLY_MS
BOUND = Bound(RATE, of_calls=False, counts_windows=False, long=False, level=0, needs_ms=400)


def lately(per_minute: int, waited_ms: int = MINUTE_MS) -> Achieved:
    return Achieved(waited_ms, waited_ms, tokens=per_minute * waited_ms // MINUTE_MS)


def after(utility: int, *, lost: bool = False) -> LastTrial:
    return LastTrial(utility, ENDED_MS, lost=lost)


def test_before_any_trial_nothing_is_regretted_and_no_doubt_answered() -> None:
    last = LastTrial()
    last.reprice(2 * PPM)
    assert last.utility is None
    assert not last.is_regretted(lately(0), [BOUND], ENDED_MS)
    assert not last.answers(lately(RATE), 1_000)


def test_mirrors_that_achieve_a_tenth_less_are_regretted_after_a_minute_and_far_less_at_once() -> None:
    last = after(RATE)
    assert not last.is_regretted(lately(RATE * 9 // 10), [BOUND], LATER_MS)
    assert last.is_regretted(lately(RATE * 89 // 100), [], LATER_MS)
    assert not last.is_regretted(lately(RATE * 55 // 100), [BOUND], LATER_MS - 1)
    assert last.is_regretted(lately(RATE * 53 // 100, COMPARED_MS), [BOUND], LATER_MS - 1)
    assert not last.is_regretted(lately(0, COMPARED_MS - 1), [BOUND], LATER_MS)


def test_so_few_calls_soon_after_a_trial_that_was_lost_are_no_regret_unless_there_are_none() -> None:
    """Before: 20 s in which what a trial had spent was paid back began one like it (seed 92122)."""
    last = after(RATE, lost=True)
    assert not last.is_regretted(lately(RATE // 10), [BOUND], LATER_MS - 1)
    assert last.is_regretted(lately(0, COMPARED_MS), [BOUND], LATER_MS - 1)
    assert last.is_regretted(lately(RATE // 10, COMPARED_MS), [BOUND], LATER_MS), "calls need not wait all the time"
    assert not after(0, lost=True).is_regretted(lately(0, COMPARED_MS), [BOUND], LATER_MS - 1)


def test_a_request_has_the_time_that_it_needs() -> None:
    slow = replace(BOUND, needs_ms=EARLY_MS)
    assert not after(RATE).is_regretted(lately(0, EARLY_MS + SPENT_IN_MS - 1), [slow], LATER_MS)
    assert after(RATE).is_regretted(lately(0, EARLY_MS + SPENT_IN_MS), [slow], LATER_MS)


def test_what_windows_keep_as_a_reserve_is_not_regretted() -> None:
    beside = replace(BOUND, counts_windows=True, needs_ms=1_000, reserved=300)
    assert after(RATE).is_regretted(lately(RATE * 7 // 10), [BOUND], LATER_MS)
    assert not after(RATE).is_regretted(lately(RATE * 7 // 10), [beside], LATER_MS)


@pytest.mark.parametrize(("ppm", "utility"), [(PPM // 2, RATE // 2), (2 * PPM, RATE)])
def test_at_dearer_prices_no_more_is_expected(ppm: int, utility: int) -> None:
    last = after(RATE)
    last.reprice(ppm)
    assert last.utility == utility


def test_a_trial_that_was_lost_answers_doubts_for_ten_minutes_while_the_mirrors_achieve_as_much() -> None:
    last = after(RATE // 2, lost=True)
    assert last.answers(lately(RATE // 2), 1_000 + ANSWERS_MS - 1)
    assert not last.answers(lately(RATE // 2), 1_000 + ANSWERS_MS)
    assert not last.answers(lately(RATE // 2 - 1), 1_000)


def test_a_trial_that_won_or_achieved_nothing_answers_none() -> None:
    assert not after(RATE // 2).answers(lately(RATE), 1_000)
    assert not after(0, lost=True).answers(lately(RATE), 1_000)
