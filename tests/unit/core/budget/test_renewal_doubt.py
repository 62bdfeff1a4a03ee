"""When windows show that a mirror is not of such a window."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import TOKENS, Reading
from headrace.broker.core.answers.window_phase import Phase
from headrace.broker.core.budget.renewal_doubt import (
    ANEW_WEIGHT,
    APART_PARTS,
    BALANCE_MAX,
    EXACT_PARTS,
    FAR_PARTS,
    OLD_MS,
    OLD_PARTS,
    RenewalBalance,
    RenewalDoubt,
)
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls

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


def counts(
    used: int,
    *,
    last: int = CAPACITY,
    this: int = 0,
    into_ms: int = 600,
    known: bool = True,
    at_ms: int = PERIOD,
    doubt: RenewalDoubt | None = None,
) -> bool:
    """The verdict on a level `into_ms` after a mark, with so much sent in the former window and in this one."""
    sends, mark_ms = SentCalls(), 2 * PERIOD
    for tokens, sent_ms in ((CAPACITY, PERIOD - 1), (last, at_ms), (this, mark_ms)):
        sends.append(sent_ms, tokens)
    number = sends.append(mark_ms + into_ms, 0)
    sends.append(mark_ms + into_ms + 1, CAPACITY)  # after it
    order = sends.admission_order(number if known else -1, mark_ms + into_ms, mark_ms + into_ms + 20, 20)
    shown = Reading(TOKENS, CAPACITY, CAPACITY - used, None, PERIOD - into_ms)
    return (doubt or RenewalDoubt()).counts_former(shown, PERIOD, order, sends)


def test_one_level_soon_after_a_mark_shows_that_the_former_window_counts_still() -> None:
    assert counts(900)
    assert counts(900 + CAPACITY // 8)
    assert not counts(901 + CAPACITY // 8)
    assert counts(900 - CAPACITY // 8)
    assert not counts(899 - CAPACITY // 8)
    assert counts(500, last=400, this=125)


def test_what_the_former_window_does_not_explain_shows_nothing() -> None:
    assert not counts(900, last=CAPACITY // 2), "calls are priced too low, or others spend"
    assert not counts(CAPACITY // FAR_PARTS, last=250)
    assert counts(CAPACITY // FAR_PARTS + 1, last=250)


def test_later_in_a_window_or_with_more_sent_others_or_prices_may_explain_a_level() -> None:
    assert counts(750, into_ms=PERIOD // 4)
    assert not counts(750, into_ms=PERIOD // 4 + 1)
    assert not counts(500, last=400, this=126)
    assert not counts(300, last=250, this=50), "less than a quarter is missing"


def test_just_what_the_former_window_explains_shows_it_however_much_was_sent_in_this_one() -> None:
    """Before: after a window of which little was used laws changed until the next mark (seed 93145)."""
    near = CAPACITY // EXACT_PARTS

    def is_told(off: int, last: int = 100) -> bool:
        doubt = RenewalDoubt()
        assert not counts(500 + last * (PERIOD - 200) // PERIOD, last=last, this=500, into_ms=200, doubt=doubt)
        return counts(500 + last * (PERIOD - 600) // PERIOD + off, last=last, this=500, doubt=doubt)

    assert [is_told(off) for off in (-near - 1, -near, 0, near, near + 1)] == [False, True, True, True, False]
    assert is_told(0, last=70)
    assert not is_told(0, last=69), "one part in sixteen may be missing by chance"


def test_it_is_explained_by_two_counters_for_some_time_or_by_chance() -> None:
    """Before: others beside one counter had taken as much once (974 refusals followed)."""
    apart_ms = PERIOD // APART_PARTS
    for into_ms, other, is_told in (
        (600 + apart_ms, None, True),
        (599 + apart_ms, None, False),
        (600 + apart_ms, 620, False),
    ):
        doubt = RenewalDoubt()
        assert not counts(590, last=100, this=500, doubt=doubt)
        if other is not None:
            assert not counts(other, last=100, this=500, doubt=doubt)
        left = 100 * (PERIOD - into_ms) // PERIOD
        assert counts(500 + left, last=100, this=500, into_ms=into_ms, doubt=doubt) is is_told


def test_what_was_sent_just_before_the_mark_may_be_of_this_window_if_the_level_is_old() -> None:
    old_ms = 2 * PERIOD - min(OLD_MS, PERIOD // OLD_PARTS)
    assert counts(900, at_ms=old_ms - 1)
    assert not counts(900, at_ms=old_ms)
    assert not counts(500, last=CAPACITY // 8 + 1, at_ms=old_ms)


def test_a_mark_is_no_farther_than_a_window() -> None:
    """Otherwise what was sent after the level would count as sent in the former window."""
    assert counts(900, last=0, into_ms=-20)


def test_a_level_of_a_call_that_is_forgotten_or_without_a_time_shows_nothing() -> None:
    assert not counts(900, known=False)
    sends = SentCalls()
    order = sends.admission_order(sends.append(0, 10), 0, 20, 20)
    assert not RenewalDoubt().counts_former(Reading(TOKENS, CAPACITY, 0, None, None), PERIOD, order, sends)


def test_once_a_window_has_begun_anew_after_one_that_was_spent_no_level_shows_that_the_former_one_counts() -> None:
    """What looks like that later was taken by others."""
    for used, last, is_one in ((774, CAPACITY, True), (775, CAPACITY, False), (0, 130, False), (0, 140, True)):
        doubt = RenewalDoubt()
        assert not counts(used, last=last, this=CAPACITY, doubt=doubt)
        assert counts(900, doubt=doubt) is not is_one, (used, last)


def test_a_level_that_may_be_an_old_one_of_this_window_does_not_show_that_it_began_anew() -> None:
    doubt = RenewalDoubt()
    assert not counts(0, at_ms=2 * PERIOD - 1, doubt=doubt)
    assert counts(900, doubt=doubt)


SECOND, SPREAD = 1_000, 40


def balance(used: int, *, last: int = 900, this: int = 100, into_ms: int = 200, late_ms: int = 0, more: int = 0) -> int:
    """The balance after one level `into_ms` after a mark, with so much sent in both windows; `more`, long ago."""
    sends, mark_ms, renewals = SentCalls(), 5 * SECOND, RenewalBalance()
    for _ in range(more):
        sends.append(mark_ms - SECOND - SPREAD + 1, 0)
    sends.append(mark_ms - 500, last)
    number = sends.append(mark_ms + into_ms, this)
    order = sends.admission_order(number, mark_ms + into_ms, mark_ms + into_ms + 20, 20)
    shown = Reading(TOKENS, CAPACITY, CAPACITY - used, None, SECOND - into_ms + late_ms)
    renewals.observe(shown, Phase(mark_ms + 7 * SECOND, SPREAD), SECOND, order, sends)
    return renewals.balance


def test_a_level_that_two_counters_cannot_leave_is_of_one() -> None:
    near, far = CAPACITY // 8, CAPACITY // 4
    assert balance(100) == ANEW_WEIGHT
    assert balance(100 + near) == ANEW_WEIGHT
    assert balance(101 + near) == 0
    assert balance(101, last=0) == 0, "as much is left by both"
    assert balance(100, last=far * 5 // 4) == 0
    assert balance(100, last=far * 5 // 4 + 2) == ANEW_WEIGHT
    assert balance(500 - near, this=500) == ANEW_WEIGHT
    assert balance(499 - near, this=500) == 0, "calls are priced too high"


def test_a_level_that_one_explains_by_others_alone_and_two_by_our_calls_is_of_two() -> None:
    near, far, both = CAPACITY // 8, CAPACITY // 4, 100 + 900 * 8 // 10
    assert balance(both) == -1
    assert [balance(both - near), balance(both - near - 1)] == [-1, 0]
    assert [balance(both + near), balance(both + near + 1)] == [-1, 0]
    assert [balance(101 + far, last=400), balance(100 + far, last=400)] == [-1, 0]


def test_a_level_that_is_old_or_of_a_time_that_is_forgotten_is_of_neither() -> None:
    assert [balance(100, late_ms=late_ms) for late_ms in (-SPREAD, -SPREAD - 1, 1)] == [ANEW_WEIGHT, 0, 0]
    assert [balance(100, more=more) for more in (1, 2 * SENDS_MAX)] == [ANEW_WEIGHT, 0]
    sends, renewals = SentCalls(), RenewalBalance()
    order = sends.admission_order(sends.append(0, 10), 0, 20, 20)
    renewals.observe(Reading(TOKENS, CAPACITY, 0, None, None), Phase(SECOND, SPREAD), SECOND, order, sends)
    order = sends.admission_order(-1, 0, 20, 20)
    renewals.observe(Reading(TOKENS, CAPACITY, 0, None, SECOND), Phase(SECOND, SPREAD), SECOND, order, sends)
    assert not renewals.balance


def test_calls_sent_close_to_a_mark_may_count_on_either_side_of_it() -> None:
    assert balance(100, last=900, into_ms=0) == ANEW_WEIGHT


def test_no_more_than_so_many_levels_count() -> None:
    renewals, sends = RenewalBalance(), SentCalls()
    sends.append(0, CAPACITY)
    order = sends.admission_order(sends.append(SECOND, 0), SECOND, SECOND + 20, 20)
    for used, most in ((0, BALANCE_MAX), (CAPACITY, -BALANCE_MAX)):
        for _ in range(3 * BALANCE_MAX):
            shown = Reading(TOKENS, CAPACITY, CAPACITY - used, None, SECOND)
            renewals.observe(shown, Phase(SECOND, 0), SECOND, order, sends)
        assert renewals.balance == most
