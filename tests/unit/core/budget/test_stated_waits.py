import pytest

from headrace.broker.core.budget.stated_waits import (
    BACKOFF_FIRST_MS,
    BACKOFF_LEAST_MS,
    BACKOFF_LONG_MS,
    BACKOFF_MAX_MS,
    EARLY_PPM,
    KEPT_WAIT_MS,
    LATE_MS,
    MANY_ROWS,
    TRUSTED,
    TRUSTED_MS,
    TRUSTED_TIMES,
    StatedWaits,
)
from headrace.broker.core.units import PPM

LONG_MS = 60_000


def judged(*admitted_after_ms: int) -> StatedWaits:
    """Long waits, each followed by a call that was admitted so long after it was stated."""
    waits = StatedWaits()
    for after_ms in admitted_after_ms:
        waits.record(LONG_MS, 1_000)
        waits.record_admission(1_000 + after_ms)
    return waits


def test_without_a_stated_wait_the_rest_doubles_up_to_a_bound() -> None:
    rests = [StatedWaits().rest_ms(None, row) for row in range(1, 30)]
    assert rests == [min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << step) for step in range(29)]


@pytest.mark.parametrize(("stated_ms", "kept_ms"), [(0, BACKOFF_LEAST_MS), (70, 70), (KEPT_WAIT_MS, KEPT_WAIT_MS)])
def test_a_short_wait_is_kept_and_doubles_where_keeping_it_does_not_help(stated_ms: int, kept_ms: int) -> None:
    waits = StatedWaits()
    assert [waits.rest_ms(stated_ms, row) for row in (1, 2)] == [kept_ms, kept_ms]
    assert waits.rest_ms(stated_ms, 3) == max(kept_ms, 4 * BACKOFF_FIRST_MS)


def test_a_long_wait_is_tested_at_our_own_pace_and_never_waited_for_longer_than_stated() -> None:
    waits = StatedWaits()
    assert [waits.rest_ms(LONG_MS, row) for row in (1, 2, 3)] == [BACKOFF_FIRST_MS << step for step in range(3)]
    assert waits.rest_ms(KEPT_WAIT_MS + 1, 9) == KEPT_WAIT_MS + 1


def test_long_waits_are_kept_once_two_have_proved_true() -> None:
    assert judged(*[LONG_MS] * (TRUSTED - 1)).rest_ms(LONG_MS, 1) == BACKOFF_FIRST_MS
    assert judged(*[LONG_MS] * TRUSTED).rest_ms(LONG_MS, 1) == LONG_MS
    assert judged(*[LONG_MS] * 9).rest_ms(LONG_MS, 1) == LONG_MS


def test_a_call_admitted_early_disproves_them_and_one_admitted_late_says_nothing() -> None:
    early_ms = LONG_MS - LONG_MS * EARLY_PPM // PPM
    assert judged(LONG_MS, LONG_MS, early_ms - 1).rest_ms(LONG_MS, 1) == BACKOFF_FIRST_MS
    assert judged(LONG_MS, early_ms).rest_ms(LONG_MS, 1) == LONG_MS
    assert judged(LONG_MS, LONG_MS + LATE_MS).rest_ms(LONG_MS, 1) == BACKOFF_FIRST_MS
    assert judged(early_ms - 1, LONG_MS, LONG_MS, LONG_MS).rest_ms(LONG_MS, 1) == BACKOFF_FIRST_MS
    assert judged(early_ms - 1, *[LONG_MS] * 4).rest_ms(LONG_MS, 1) == LONG_MS


def test_a_refusal_that_states_none_promises_nothing_and_each_promise_is_judged_once() -> None:
    waits = judged(LONG_MS)
    waits.record(None, 0)
    waits.record_admission(LONG_MS)
    waits.record(KEPT_WAIT_MS, 0)
    waits.record_admission(KEPT_WAIT_MS)
    waits.record_admission(KEPT_WAIT_MS)
    assert waits.rest_ms(LONG_MS, 1) == BACKOFF_FIRST_MS


def test_a_wait_far_longer_than_those_that_proved_true_is_tested() -> None:
    """Before: after two true waits of twenty seconds, one absurd figure stopped a limit for a day."""
    day_ms = 86_400_000
    waits = judged(LONG_MS, LONG_MS)
    assert waits.rest_ms(TRUSTED_MS, 1) == TRUSTED_MS
    assert waits.rest_ms(day_ms, 1) == BACKOFF_FIRST_MS
    for _ in range(TRUSTED):
        waits.record(day_ms, 0)
        waits.record_admission(day_ms)
    assert waits.rest_ms(TRUSTED_TIMES * day_ms, 1) == TRUSTED_TIMES * day_ms
    assert waits.rest_ms(TRUSTED_TIMES * day_ms + 1, 1) == BACKOFF_FIRST_MS


def test_after_many_refusals_in_a_row_a_long_wait_is_tested_seldom_and_never_beyond_its_end() -> None:
    """Before: a limit of a day that was spent while a rate was measured was asked every sixteen seconds, for hours."""
    waits = StatedWaits()
    assert waits.rest_ms(21_600_000, MANY_ROWS) == BACKOFF_MAX_MS
    assert waits.rest_ms(21_600_000, MANY_ROWS + 1) == BACKOFF_LONG_MS
    assert waits.rest_ms(70_000, MANY_ROWS + 1) == 70_000
    assert waits.rest_ms(None, MANY_ROWS + 1) == BACKOFF_MAX_MS
