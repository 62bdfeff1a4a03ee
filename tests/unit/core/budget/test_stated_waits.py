import pytest

from headrace.broker.core.budget.stated_waits import (
    AGREED_PARTS,
    ALIKE_TIMES,
    BACKOFF_FIRST_MS,
    BACKOFF_LEAST_MS,
    BACKOFF_LONG_MS,
    BACKOFF_MAX_MS,
    EARLY_PPM,
    EXPECTED_PARTS,
    KEPT_IN_A_ROW,
    KEPT_WAIT_MS,
    LATE_MS,
    MANY_IN_A_ROW,
    TRUSTED,
    TRUSTED_MS,
    TRUSTED_TIMES,
    StatedWaits,
)
from headrace.broker.core.units import PPM

LONG_MS = 60_000
SOON_MS = 100


class Row:
    """Refusals in a row; each test comes at the end of a rest and is refused at once."""

    def __init__(self, waits: StatedWaits | None = None) -> None:
        self.waits = waits or StatedWaits()
        self.now_ms, self.row, self.rests = 1_000, 0, list[int]()

    def refuse(self, wait_ms: int | None, *, times: int = 1) -> "Row":
        for _ in range(times):
            self.now_ms += self.rests[-1] if self.row else 0
            self.row += 1
            self.rests.append(self.waits.record_refusal(wait_ms, self.row, self.now_ms))
        return self

    def count_down(self, wait_ms: int, *, late_ms: int = 0) -> "Row":
        """Be refused until a wait has ended, and so long after it; each refusal states what is left of it."""
        until_ms = self.now_ms + wait_ms
        self.refuse(wait_ms)
        while self.now_ms + self.rests[-1] < until_ms:
            self.refuse(until_ms - self.now_ms - self.rests[-1])
        while self.now_ms + self.rests[-1] < until_ms + late_ms:
            self.refuse(SOON_MS)
        return self

    def admit(self, *, after_ms: int = 0) -> "Row":
        """Admit the call that comes at the end of the rest, or later."""
        self.now_ms += self.rests[-1] + after_ms
        self.waits.record_admission(self.now_ms)
        self.row, self.rests = 0, []
        return self


def judged(*admitted_after_ms: int) -> StatedWaits:
    """Long waits, each followed by a call that was admitted so long after it was stated."""
    waits = StatedWaits()
    for after_ms in admitted_after_ms:
        waits.record_refusal(LONG_MS, 1, 1_000)
        waits.record_admission(1_000 + after_ms)
    return waits


def kept(waits: StatedWaits, wait_ms: int = LONG_MS) -> bool:
    """Whether a wait is kept without a test."""
    return waits.record_refusal(wait_ms, 1, 900_000) == wait_ms


def test_without_a_stated_wait_the_rest_doubles_up_to_a_bound() -> None:
    assert Row().refuse(None, times=29).rests == [min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << step) for step in range(29)]


@pytest.mark.parametrize(("stated_ms", "kept_ms"), [(0, BACKOFF_LEAST_MS), (70, 70), (KEPT_WAIT_MS, KEPT_WAIT_MS)])
def test_a_short_wait_is_kept_and_doubles_where_keeping_it_does_not_help(stated_ms: int, kept_ms: int) -> None:
    row = Row().refuse(stated_ms, times=KEPT_IN_A_ROW + 1)
    assert row.rests == [kept_ms] * KEPT_IN_A_ROW + [max(kept_ms, BACKOFF_FIRST_MS << KEPT_IN_A_ROW)]


def test_a_long_wait_is_tested_at_our_own_pace_and_never_waited_for_longer_than_stated() -> None:
    assert Row().refuse(LONG_MS, times=3).rests == [BACKOFF_FIRST_MS << step for step in range(3)]
    assert Row().refuse(KEPT_WAIT_MS + 1, times=9).rests[-1] == KEPT_WAIT_MS + 1


def test_long_waits_are_kept_once_two_have_proved_true() -> None:
    assert not kept(judged(*[LONG_MS] * (TRUSTED - 1)))
    assert kept(judged(*[LONG_MS] * TRUSTED))
    assert kept(judged(*[LONG_MS] * 9))


def test_a_call_admitted_early_disproves_them_and_one_admitted_late_says_nothing() -> None:
    early_ms = LONG_MS - LONG_MS * EARLY_PPM // PPM
    assert not kept(judged(LONG_MS, LONG_MS, early_ms - 1))
    assert kept(judged(LONG_MS, early_ms))
    assert not kept(judged(LONG_MS, LONG_MS + LATE_MS))
    assert not kept(judged(early_ms - 1, LONG_MS, LONG_MS, LONG_MS))
    assert kept(judged(early_ms - 1, *[LONG_MS] * 4))


def test_a_refusal_that_states_none_promises_nothing_and_each_promise_is_judged_once() -> None:
    waits = judged(LONG_MS)
    waits.record_refusal(None, 1, 0)
    waits.record_admission(LONG_MS)
    waits.record_refusal(KEPT_WAIT_MS, 1, 0)
    waits.record_admission(KEPT_WAIT_MS)
    waits.record_admission(KEPT_WAIT_MS)
    assert not kept(waits)


def test_a_wait_far_longer_than_those_that_proved_true_is_tested() -> None:
    """Before: after two true waits of twenty seconds, one absurd figure stopped a limit for a day."""
    day_ms = 86_400_000
    waits = judged(LONG_MS, LONG_MS)
    assert kept(waits, TRUSTED_MS)
    assert not kept(waits, day_ms)
    for _ in range(TRUSTED):
        waits.record_refusal(day_ms, 1, 0)
        waits.record_admission(day_ms)
    assert kept(waits, TRUSTED_TIMES * day_ms)
    assert not kept(waits, TRUSTED_TIMES * day_ms + 1)


def test_after_many_refusals_in_a_row_a_long_wait_is_tested_seldom_and_never_beyond_its_end() -> None:
    """Before: a limit of a day that was spent while a rate was measured was asked every sixteen seconds, for hours."""
    rests = Row().refuse(21_600_000, times=MANY_IN_A_ROW + 1).rests
    assert rests[-2:] == [BACKOFF_MAX_MS, BACKOFF_LONG_MS]
    assert StatedWaits().record_refusal(70_000, MANY_IN_A_ROW + 1, 0) == 70_000
    assert StatedWaits().record_refusal(None, MANY_IN_A_ROW + 1, 0) == BACKOFF_MAX_MS


# ------------------------------------------------------------------ the end that several refusals state


def test_a_wait_that_counts_down_to_one_instant_is_tested_half_way_and_then_kept() -> None:
    """Before: a minute's window that stated its end in each refusal was tested eight times before it ended."""
    row = Row().count_down(30_000)
    left_ms = 30_000 - BACKOFF_FIRST_MS
    assert row.rests == [BACKOFF_FIRST_MS, left_ms // 2, left_ms - left_ms // 2]


def test_waits_that_have_proved_true_once_are_kept_after_one_refusal_that_agrees() -> None:
    row = Row(Row().count_down(30_000).admit().waits).count_down(24_000)
    assert len(row.rests) == 2


def test_an_end_agrees_if_it_has_moved_by_less_than_a_part_of_the_time_since() -> None:
    """Waits in whole seconds and delays on the way move it by a little; one that is always a minute moves with time."""
    since_ms = BACKOFF_FIRST_MS
    most_ms = since_ms // AGREED_PARTS
    for moved_ms, half_way in ((most_ms, True), (-most_ms, True), (most_ms + 1, False), (since_ms, False)):
        row = Row().refuse(LONG_MS).refuse(LONG_MS - since_ms + moved_ms)
        assert (row.rests[-1] > 2 * BACKOFF_FIRST_MS) is half_way


def test_where_a_wait_was_disproved_more_refusals_must_agree() -> None:
    assert len(Row(judged(1_000)).count_down(LONG_MS).rests) > len(Row().count_down(LONG_MS).rests)


def test_an_end_says_nothing_of_the_next_row() -> None:
    row = Row().count_down(30_000).admit()
    assert row.refuse(40_000).rests[-1] < 30_000


def test_refusals_without_a_wait_agree_with_none() -> None:
    row = Row().refuse(LONG_MS).refuse(None).refuse(LONG_MS)
    assert row.rests == [BACKOFF_FIRST_MS << step for step in range(3)]


# ------------------------------------------------------------------ what it took the last time


def test_tests_of_a_wait_that_is_always_a_minute_begin_after_half_of_what_it_took_the_last_time() -> None:
    """Before: each row began after 300 ms, and eight calls were refused where two tell as much."""
    row = Row().refuse(LONG_MS, times=6).admit()
    took_ms = sum(BACKOFF_FIRST_MS << step for step in range(6))
    assert row.refuse(LONG_MS).rests == [took_ms // EXPECTED_PARTS]
    assert row.refuse(LONG_MS, times=3).rests[1:] == [took_ms // EXPECTED_PARTS] * 3
    assert row.admit().refuse(LONG_MS).rests == [2 * took_ms // EXPECTED_PARTS]


def test_of_a_longer_wait_tests_begin_accordingly_later() -> None:
    row = Row().refuse(LONG_MS, times=6).admit()
    took_ms = sum(BACKOFF_FIRST_MS << step for step in range(6))
    assert row.refuse(LONG_MS // 2).rests == [took_ms // 2 // EXPECTED_PARTS]


def test_time_in_which_no_call_was_wanted_is_not_what_it_took() -> None:
    first = Row().refuse(LONG_MS, times=6).admit().refuse(LONG_MS).rests
    assert Row().refuse(LONG_MS, times=6).admit(after_ms=20_000).refuse(LONG_MS).rests == first


def test_a_short_wait_that_did_not_help_is_longer_the_next_time_until_one_call_is_admitted_after_it() -> None:
    """Before: a wait of 1 ms that was computed from a wrong bucket cost three refusals each time."""
    row = Row().refuse(SOON_MS, times=4).admit()
    late_ms = sum((BACKOFF_FIRST_MS << step) for step in (2, 3)) + SOON_MS
    assert row.refuse(SOON_MS).rests == [SOON_MS + late_ms // EXPECTED_PARTS]
    assert row.admit().refuse(SOON_MS).rests == [SOON_MS + late_ms // EXPECTED_PARTS // EXPECTED_PARTS]
    for _ in range(20):
        row.admit().refuse(SOON_MS)
    assert row.rests == [SOON_MS]


def test_a_short_wait_of_another_length_is_that_of_another_limit() -> None:
    """Before: ten seconds that a window's waits of 7 ms had been late were added to a second (seed 96443: 88 %)."""
    for wait_ms, lengthened in ((SOON_MS * ALIKE_TIMES, True), (SOON_MS * ALIKE_TIMES + 1, False), (1, True)):
        rest_ms = Row().refuse(SOON_MS, times=4).admit().refuse(wait_ms).rests[0]
        assert (rest_ms > max(BACKOFF_LEAST_MS, wait_ms)) is lengthened
    late = Row().refuse(SOON_MS * ALIKE_TIMES + 1, times=4).admit()
    assert late.refuse(SOON_MS).rests == [SOON_MS]


def test_waits_of_a_few_milliseconds_are_as_long_as_the_least_that_is_kept() -> None:
    assert Row().refuse(1, times=4).admit().refuse(SOON_MS).rests[0] > SOON_MS


def test_a_short_wait_amid_long_ones_is_not_lengthened() -> None:
    row = Row().refuse(SOON_MS, times=4).admit().refuse(LONG_MS)
    assert row.refuse(SOON_MS).rests[-1] == SOON_MS


def test_a_short_wait_is_lengthened_by_no_more_than_the_longest_back_off() -> None:
    row = Row().refuse(SOON_MS, times=9).admit().refuse(SOON_MS)
    assert row.rests == [SOON_MS + BACKOFF_MAX_MS]


def test_a_long_wait_says_nothing_of_short_ones_nor_a_row_with_both() -> None:
    assert Row().refuse(LONG_MS, times=6).admit().refuse(SOON_MS).rests == [SOON_MS]
    assert Row().refuse(SOON_MS).count_down(LONG_MS).admit().refuse(SOON_MS).rests == [SOON_MS]
    assert Row().refuse(SOON_MS).refuse(LONG_MS, times=6).admit().refuse(LONG_MS).rests == [BACKOFF_FIRST_MS]


def test_a_wait_of_hours_is_tested_every_five_minutes_whatever_was_learned() -> None:
    """Before: after ten hours, if two refusals stated one end, or if waits of a minute had helped."""
    day_ms = 20 * 3_600_000
    row = Row().refuse(day_ms)
    row.refuse(day_ms - row.rests[0])
    assert row.rests[1] == BACKOFF_LONG_MS
    learned = Row().count_down(LONG_MS).admit()
    assert learned.refuse(day_ms).rests[0] <= BACKOFF_LONG_MS


def test_an_end_that_has_passed_is_no_longer_agreed_on_where_calls_are_refused_all_the_same() -> None:
    """Before: where a refusal costs what is left, one call was tried five times a second for minutes (seed 90368)."""
    waits = StatedWaits()
    waits.record_refusal(1_000, 1, 0)
    assert waits.record_refusal(500, 2, 500) == 500
    assert waits.record_refusal(200, 3, 1_000 + BACKOFF_FIRST_MS) == 200
    rests = [waits.record_refusal(200, row, 1_301 + 250 * row) for row in range(4, 7)]
    assert rests == [BACKOFF_FIRST_MS << row - 1 for row in range(4, 7)]


def test_waits_are_disproved_by_a_call_that_was_admitted_long_before_the_end_of_one() -> None:
    assert not StatedWaits().are_disproved
    assert judged(LONG_MS // 2).are_disproved
    assert not judged(LONG_MS).are_disproved
    assert not judged(LONG_MS // 2, *(LONG_MS,) * 2).are_disproved
