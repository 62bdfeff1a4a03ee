"""What others have taken of a sliding window, and when it ceases to count."""

import pytest

from headrace.broker.core.budget.others_charges import ENTRIES_MAX, REMEMBERED_MS, OthersCharges, OthersInterval

PERIOD = 6_000
LATE = 100  # a charge may be counted so much later than its call was sent


def charges(*answers: tuple[int, int, int]) -> OthersCharges:
    others = OthersCharges(PERIOD)
    others.expire_after(PERIOD + LATE)
    for low, high, sent_ms in answers:
        others.observe(low, high, sent_ms)
    return others


def bounds(others: OthersCharges | OthersInterval, now_ms: int) -> tuple[int, int]:
    return others.least(now_ms), others.most(now_ms)


def test_what_others_took_counts_for_a_period_and_a_delay_after_the_call_that_shows_it() -> None:
    """Before: it stayed until another answer contradicted it, which none did while no call was sent."""
    others = OthersCharges(PERIOD)
    others.expire_after(PERIOD + LATE)
    assert others.observe(3_000, 3_010, 1_000) == -3_000
    assert bounds(others, 1_000) == bounds(others, 1_000 + PERIOD + LATE - 1) == (3_000, 3_010)
    assert bounds(others, 1_000 + PERIOD + LATE) == (0, 0)
    assert bounds(others, 1_000) == (3_000, 3_010), "a clock that steps back changes nothing"


def test_an_answer_that_comes_after_that_is_compared_with_what_counted_when_its_call_was_sent() -> None:
    others = charges((3_000, 3_010, 1_000))
    assert bounds(others, 8_000) == (0, 0)
    assert others.observe(3_000, 3_010, 5_000) == 0
    assert others.told == 3_000
    assert bounds(others, 8_000) == (0, 0)
    assert others.observe(0, 10, 1_000 + PERIOD) == 0
    assert others.told == 0


def test_what_a_later_answer_has_shown_was_taken_sooner_if_an_earlier_call_found_it_as_well() -> None:
    others = charges((3_000, 3_000, 2_000), (5_000, 5_000, 3_000))
    assert others.observe(3_000, 3_000, 1_000) == -3_000
    assert bounds(others, 3_000) == (5_000, 5_000), "and not once more"
    assert bounds(others, 1_000 + PERIOD + LATE) == (2_000, 2_000)


def test_what_is_too_late_to_have_counted_for_a_later_call_is_not_the_same() -> None:
    others = charges((3_000, 3_000, 1_000 + PERIOD))
    assert others.observe(2_000, 2_000, 1_000) == -2_000
    assert bounds(others, 1_000 + PERIOD) == (5_000, 5_000)


def test_answers_that_agree_narrow_the_bounds_of_the_newest_first() -> None:
    others = charges((3_000, 3_100, 1_000), (5_000, 5_400, 2_000))
    assert bounds(others, 2_000) == (5_000, 5_400)
    assert others.observe(5_100, 5_250, 2_100) == 0
    assert bounds(others, 2_100) == (5_100, 5_250)
    assert bounds(others, 1_000 + PERIOD + LATE) == (2_100, 2_150)
    assert others.observe(2_100, 5_100, 2_200) == 0
    assert bounds(others, 2_200) == (5_100, 5_100)


def test_if_less_counts_than_is_known_the_oldest_has_ceased_to_count() -> None:
    others = charges((3_000, 3_010, 1_000), (5_000, 5_020, 2_000))
    assert others.observe(1_500, 1_510, 6_900) == 3_490
    assert bounds(others, 6_900) == (1_500, 1_510)
    assert bounds(others, 1_000 + PERIOD + LATE) == (1_500, 1_510)
    assert others.observe(-10, -5, 7_000) == 1_505
    assert bounds(others, 7_000) == (0, 0), "others give nothing"


def test_a_call_that_was_priced_too_high_may_hide_what_others_took() -> None:
    others = charges((3_000, 3_000, 1_000))
    others.widen(500, 1_500)
    assert bounds(others, 1_500) == (3_000, 3_500)
    others.widen(-700, 1_500)
    assert bounds(others, 1_500) == (2_300, 3_500)
    others.widen(-9_000, 1_500)
    assert bounds(others, 1_500) == (0, 3_500)
    assert bounds(others, 1_500 + PERIOD + LATE) == (0, 0)


def test_what_the_last_answer_tells_is_told() -> None:
    """Before: one that found less told what had been believed."""
    others = charges((3_000, 3_010, 1_000))
    assert others.told == 3_000
    others.observe(2_000, 3_005, 1_100)
    assert others.told == 3_000, "it agrees"
    others.observe(1_500, 1_510, 1_200)
    assert others.told == 1_500
    others.observe(-10, -5, 1_300)
    assert others.told == 0


def test_the_newest_charges_are_those_that_a_call_priced_too_low_had_counted_among() -> None:
    others = charges((3_000, 3_000, 1_000), (5_000, 5_000, 2_000))
    others.widen(-500, 2_500)
    assert bounds(others, 1_000 + PERIOD + LATE) == (1_500, 2_000)


def test_no_charge_is_known_to_be_more_than_it_may_be() -> None:
    others = charges((3_000, 3_000, 1_000))
    others.widen(3_000, 2_000)
    assert others.observe(2_500, 2_500, 2_100) == 500
    assert bounds(others, 2_100) == (0, 2_500), "the oldest has ceased to count"


def test_less_counts_from_each_end_on() -> None:
    others = charges((3_000, 3_000, 1_000), (5_000, 5_000, 2_000))
    assert others.ends(2_500) == [(2_500, 5_000), (1_000 + PERIOD + LATE, 2_000), (2_000 + PERIOD + LATE, 0)]
    assert others.ends(1_000 + PERIOD + LATE) == [(1_000 + PERIOD + LATE, 2_000), (2_000 + PERIOD + LATE, 0)]
    assert others.ends(90_000) == [(90_000, 0)]


def test_what_counts_no_more_is_remembered_for_late_answers_and_then_forgotten() -> None:
    others = charges((3_000, 3_000, 1_000))
    gone_ms = 1_000 + PERIOD + LATE + REMEMBERED_MS
    others.most(gone_ms - 1)
    assert others.observe(3_000, 3_000, 1_000) == 0
    others.most(gone_ms)
    assert others.observe(3_000, 3_000, 1_000) == -3_000


def test_no_more_than_a_bounded_number_is_remembered() -> None:
    others = charges(*((number + 1, number + 1, number) for number in range(2 * ENTRIES_MAX)))
    assert len(others.ends(0)) == ENTRIES_MAX + 1


@pytest.mark.parametrize(("low", "high", "error"), [(200, 210, -200), (-30, -20, 20), (-5, 5, 0)])
def test_an_interval_is_narrowed_or_replaced_and_lasts(low: int, high: int, error: int) -> None:
    others = OthersInterval()
    others.expire_after(1)
    assert others.observe(low, high, 0) == error
    known = (max(low, 0), min(high, 0)) if not error else (low, high)
    assert bounds(others, 0) == bounds(others, 10**9) == known
    assert others.ends(7) == [(7, known[1])]
    others.widen(50, 0)
    others.widen(-9, 0)
    assert bounds(others, 0) == (known[0] - 9, known[1] + 50)


def test_an_interval_is_not_changed_by_the_answer_to_an_older_call_than_the_one_that_set_it() -> None:
    """Before: it took back what others had taken since."""
    others = OthersInterval()
    assert others.observe(200, 300, 1_000) == -200
    assert others.observe(0, 10, 999) is None
    assert others.observe(400, 410, 999) is None
    assert others.observe(100, 250, 999) == 0
    assert bounds(others, 1_000) == (200, 300)
    assert others.observe(100, 250, 1_000) == 0
    assert bounds(others, 1_000) == (200, 250)
    assert others.observe(0, 10, 1_001) == 190


def test_less_than_was_known_lowers_the_oldest_and_leaves_the_others() -> None:
    others = charges((1_000, 1_000, 1_000), (3_000, 3_000, 2_000))
    assert others.observe(2_500, 2_500, 3_000) == 500
    assert others.ends(3_000) == [(3_000, 2_500), (1_000 + PERIOD + LATE, 2_000), (2_000 + PERIOD + LATE, 0)]
