"""What a refusal tells of how much may be spent at once."""

from itertools import pairwise

import pytest

from headrace.broker.core.budget.burst_control import (
    LET_THROUGH_PPM,
    RISE_AFTER_MS,
    SHALLOW_MS,
    SHARE_CUT_PPM,
    SHARE_MIN_PPM,
    SHARE_STEP_CALLS,
    SHARE_STEP_MAX_MS,
    SHARE_STEP_MIN_MS,
    SHARE_STEP_PPM,
    SHARE_STEPS_SMALL,
    SILENCE_MS,
    BurstControl,
)
from headrace.broker.core.units import PPM
from tests.unit.core.spreads import FIRST, refused_deep, refused_shallow, spread


def test_a_refusal_tells_the_depth_that_is_not_borne() -> None:
    known = refused_deep()
    assert (known.ceiling, known.tolerated_burst, known.share_ppm) == (4_700, 4_700, PPM)
    assert known.payable_at(100, 400) == 400  # 4,600 deep
    assert known.payable_at(101, 400) == 401


def test_silence_and_answers_do_not_lift_one_above_the_ceiling() -> None:
    known = refused_deep()
    known.record_admission(50_000, 400)
    assert known.payable_at(101, 2 * SILENCE_MS + 401) == 2 * SILENCE_MS + 401
    assert known.payable_at(702, 1_001) == 1_002  # 3,999 deep


def test_a_refusal_at_a_lesser_depth_lowers_the_ceiling_and_one_at_a_greater_does_not_raise_it() -> None:
    known = refused_deep()
    known.record_refusal(9_000, 1_000, 300, 400)
    assert known.ceiling == 4_700
    known.record_refusal(3_000, 1_000, 300, 400)
    assert known.ceiling == 2_000


def test_what_the_ceiling_let_pass_and_was_refused_lowers_it_by_more_each_time() -> None:
    known, ceilings = refused_deep(), []
    for at_ms in range(500, 1_200, 100):
        known.record_refusal(4_700, 100, at_ms, at_ms + 50)
        ceilings.append(known.ceiling)
    assert ceilings == [4_600 - 287, 4_313 - 539, 3_774 - 943, 2_831 - 1_415, 1_416 - 708, 708 - 354, 354 - 177]
    assert known.tolerated_burst == 177
    assert known.share_ppm == PPM


def test_calls_that_left_before_the_ceiling_was_known_lower_it_no_further() -> None:
    known = refused_deep()
    known.record_refusal(4_700, 100, 400, 410)
    assert known.ceiling == 4_600
    known.record_refusal(4_700, 100, 411, 420)
    assert known.ceiling == 4_600 - 287


def test_where_the_ceiling_has_risen_since_it_is_lowered_by_little_again() -> None:
    known = refused_deep()
    for at_ms in (500, 600, 700):
        known.record_refusal(4_700, 100, at_ms, at_ms)
    assert known.ceiling == 2_831
    at_ms = 700 + RISE_AFTER_MS
    known.payable_at(1, at_ms)
    assert known.ceiling == 2_831 + 176 + 1
    known.record_refusal(3_000, 100, at_ms, at_ms + 1)
    assert known.ceiling == 2_900 - 181


def test_a_ceiling_that_a_predecessor_found_is_lowered_if_it_is_refused() -> None:
    known = spread()
    known.inherit(4_700, 4_700)
    known.record_refusal(4_700, 100, 1, 2)
    assert known.ceiling == 4_600 - 287


def test_the_ceiling_lets_a_call_pass_that_was_refused_where_it_goes_alone() -> None:
    known = spread()
    known.pay(FIRST, 0)
    known.record_refusal(known.pay(5_000, 0), 5_000, 0, 0)
    assert known.ceiling == 5_000


def test_a_refusal_ends_the_trial_of_its_depth_and_of_deeper_ones_only() -> None:
    known = spread()
    known.pay(FIRST, 0)
    refused = known.pay(5_000, 10)
    known.pay(1_000, 20)
    known.record_refusal(refused, 5_000, 10, 50)
    known.payable_at(1, 20 + SILENCE_MS)
    assert known.tolerated_burst == FIRST


def test_the_ceiling_rises_by_a_sixteenth_after_ten_minutes_without_a_refusal_and_not_before() -> None:
    known = refused_deep()
    known.payable_at(1, 400 + RISE_AFTER_MS - 1)
    assert known.ceiling == 4_700
    known.payable_at(1, 400 + RISE_AFTER_MS)
    assert known.ceiling == 4_700 + 293 + 1
    known.payable_at(1, 400 + 2 * RISE_AFTER_MS - 1)
    assert known.ceiling == 4_994
    known.payable_at(1, 400 + 2 * RISE_AFTER_MS)
    assert known.ceiling == 4_994 + 312 + 1


def test_each_refusal_begins_the_ten_minutes_anew() -> None:
    known = refused_deep()
    known.record_refusal(9_000, 1_000, 300, RISE_AFTER_MS)
    known.payable_at(1, 2 * RISE_AFTER_MS - 1)
    assert known.ceiling == 4_700


def test_a_ceiling_as_high_as_the_bucket_is_none() -> None:
    known = spread(4_994)
    known.record_refusal(4_900, 200, 0, 0)
    known.payable_at(1, RISE_AFTER_MS)
    assert known.ceiling is None


def test_even_a_ceiling_of_nothing_rises() -> None:
    known = spread()
    known.inherit(0, 0)
    known.payable_at(1, RISE_AFTER_MS)
    assert known.ceiling == 1


def test_a_refusal_of_next_to_nothing_beyond_the_rate_cuts_the_share_and_sets_no_ceiling() -> None:
    known = spread()
    known.record_refusal(1_000 + SHALLOW_MS, 1_000, 0, 0)
    assert (known.share_ppm, known.ceiling) == (SHARE_CUT_PPM, None)
    known = spread()
    known.record_refusal(1_000 + SHALLOW_MS + 1, 1_000, 0, 0)
    assert (known.share_ppm, known.ceiling) == (PPM, 1_000)


def test_only_the_share_of_the_rate_is_refilled() -> None:
    known = refused_shallow()
    known.pay(970, 0)
    assert known.payable_at(30_000, 0) == 1_000  # 970 a second instead of 1,000


def test_a_cut_takes_nothing_back_that_was_spent() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.record_refusal(5_000, 5_000, 0, 0)
    assert known.pay(1, 0) == 5_001


def test_refusals_of_calls_sent_before_the_cut_cut_no_more() -> None:
    known = spread()
    for number in range(5):
        known.record_refusal(1_000, 1_000, 10 + number, 50 + number)
    assert known.share_ppm == 970_000
    known.record_refusal(1_000, 1_000, 51, 90)
    assert known.share_ppm == 940_900


def test_cuts_that_have_another_explanation_are_taken_back_and_what_was_spent_is_not() -> None:
    known = refused_shallow()
    known.pay(970, 0)
    known.take_back_cuts(0)
    assert known.share_ppm == PPM
    assert known.payable_at(30_000, 0) == 970, "1,000 a second again"
    level = known._bucket.level(0)
    known.take_back_cuts(0)
    assert (known.share_ppm, known._bucket.level(0)) == (PPM, level)


def test_a_share_is_never_cut_below_the_least() -> None:
    assert refused_shallow(2).share_ppm == 940_900
    assert refused_shallow(500).share_ppm == SHARE_MIN_PPM


def test_a_share_is_given_back_in_small_steps_and_never_more_than_all() -> None:
    known = refused_shallow()
    given = []
    for steps in (0.99, 1, 1.5, 2.1, 20):
        known.payable_at(1, int(steps * SHARE_STEP_MAX_MS))
        given.append(known.share_ppm)
    assert given == [970_000, 975_000, 975_000, 980_000, PPM]
    known.pay(1_000, 20 * SHARE_STEP_MAX_MS)
    assert known.payable_at(30_000, 20 * SHARE_STEP_MAX_MS) == 20 * SHARE_STEP_MAX_MS + 1_000


def test_who_makes_many_calls_is_given_a_share_back_sooner_but_not_at_once() -> None:
    known = refused_shallow()
    for _ in range(SHARE_STEP_CALLS - 1):
        known.pay(1, SHARE_STEP_MIN_MS)
    known.payable_at(1, SHARE_STEP_MIN_MS)
    assert known.share_ppm == 970_000
    known.pay(1, SHARE_STEP_MIN_MS)
    known.payable_at(1, SHARE_STEP_MIN_MS)
    assert known.share_ppm == 975_000
    for _ in range(SHARE_STEP_CALLS - 1):
        known.pay(1, SHARE_STEP_MIN_MS + 1)
    known.payable_at(1, 2 * SHARE_STEP_MIN_MS)
    assert known.share_ppm == 975_000, "each step asks for calls of its own"
    known.pay(1, 2 * SHARE_STEP_MIN_MS)
    known.payable_at(1, 2 * SHARE_STEP_MIN_MS)
    assert known.share_ppm == 980_000
    for _ in range(SHARE_STEP_CALLS):
        known.pay(1, 3 * SHARE_STEP_MIN_MS - 1)
    known.payable_at(1, 3 * SHARE_STEP_MIN_MS - 1)
    assert known.share_ppm == 980_000


def test_calls_before_a_cut_give_nothing_back() -> None:
    known = refused_shallow()
    for _ in range(SHARE_STEP_CALLS):
        known.pay(1, 100)
    known.record_refusal(1_000, 1_000, 100, 200)
    known.payable_at(1, 200 + SHARE_STEP_MIN_MS)
    assert known.share_ppm == 940_900


def test_the_ceiling_rises_only_while_the_whole_rate_is_borne() -> None:
    known = refused_deep()
    known.record_refusal(1_000, 1_000, 300, 400)
    known.payable_at(1, 400 + RISE_AFTER_MS)
    assert (known.share_ppm, known.ceiling) == (PPM, 4_700)
    known.payable_at(1, 400 + 2 * RISE_AFTER_MS)
    assert known.ceiling == 4_994


def test_where_less_was_there_than_believed_one_begins_anew() -> None:
    known = spread()
    known.inherit(30_000, None)
    depth = known.pay(20_000, 0)
    known.pay(40_000, 10)
    known.restart(0, 100)
    assert known.payable_at(FIRST, 100) == 100
    anew = known.pay(FIRST, 101)
    assert anew == FIRST
    known.record_admission(depth, 0)  # sent before: what was there then tells nothing of now
    assert known.payable_at(10, 101) > 101
    assert known.payable_at(500, 10 + SILENCE_MS) > 10 + SILENCE_MS  # nor does silence about it
    known.record_admission(anew, 101)
    assert known.payable_at(10, 101) == 101


def test_calls_refused_together_for_want_of_what_was_believed_begin_anew_once() -> None:
    known = spread()
    known.restart(0, 100)
    known.pay(FIRST, 110)
    known.restart(100, 120)
    assert known.payable_at(FIRST, 120) > 120
    known.restart(110, 130)
    assert known.payable_at(FIRST, 130) == 130


@pytest.mark.parametrize(("burst_ms", "ceiling"), [(1_000, None), (None, 1_000)])
def test_where_a_bound_is_known_what_was_spent_counts_whoever_else_spends(
    burst_ms: int | None, ceiling: int | None
) -> None:
    known = spread(burst_ms=burst_ms)
    known.inherit(1_000, ceiling)
    known.pay(1_000, 0)
    known.restart(0, 100)
    assert known.payable_at(100, 100) == 100
    assert known.payable_at(101, 100) == 101


def cut(known: BurstControl, times: int) -> None:
    for number in range(times):
        known.record_refusal(100, 100, 1_000 * number + 50, 1_000 * number + 100)


def test_what_refusals_have_told_of_the_rate_is_kept_where_that_is_believed_to_be_lower() -> None:
    """Before: it was cut to half at twice the true rate, and to half of the true one once that was known (97306)."""
    known = BurstControl(60_000, 30_000, 0)
    cut(known, 5)
    before_ppm = known.share_ppm
    known.adopt_capacity(60_000, 60_000, 6_000)
    assert known.share_ppm == min(PPM, 2 * before_ppm)


@pytest.mark.parametrize("capacity", [30_000, 50_000, 61_000, 600_000])
def test_a_rate_that_is_believed_to_be_another_and_the_former_again_takes_no_cut_back(capacity: int) -> None:
    """Before: a size that moved to and fro undid all cuts, and 72 % of calls were refused in place of 25."""
    known = BurstControl(60_000, 60_000, 0)
    cut(known, 5)
    before_ppm = known.share_ppm
    for at_ms in range(6_000, 16_000, 1_000):
        known.adopt_capacity(capacity, 60_000, at_ms)
        assert known.share_ppm == pytest.approx(min(PPM, before_ppm * 60_000 / capacity), abs=10)
        known.adopt_capacity(60_000, 60_000, at_ms + 500)
    assert known.share_ppm == pytest.approx(before_ppm, abs=100)


def test_what_refusals_have_told_of_a_higher_rate_is_forgotten_in_time_or_once_all_is_spent_again() -> None:
    known = BurstControl(60_000, 60_000, 0)
    cut(known, 5)
    known.adopt_capacity(30_000, 60_000, 6_000)
    assert known.share_ppm == PPM
    known.adopt_capacity(60_000, 60_000, 6_000 + RISE_AFTER_MS)
    assert known.share_ppm == PPM
    known = BurstControl(60_000, 60_000, 0)
    cut(known, 5)
    known.take_back_cuts(6_000)
    known.adopt_capacity(120_000, 60_000, 7_000)
    assert known.share_ppm == PPM


def test_after_a_long_time_without_a_call_a_share_is_regained_step_by_step() -> None:
    known = BurstControl(60_000, 60_000, 0)
    cut(known, 30)
    before_ppm, steps = known.share_ppm, SHARE_STEPS_SMALL + 3
    known.pay(1, 29_100 + steps * SHARE_STEP_MAX_MS)
    assert known.share_ppm - before_ppm == (SHARE_STEPS_SMALL + 2 + 4 + 8) * SHARE_STEP_PPM


def test_what_was_let_through_is_what_was_charged() -> None:
    known = BurstControl(60_000, 60_000, 0)
    known.pay(500, 0)
    known.correct(200, 0, 10)
    assert known._spent == 300


def test_the_rate_is_cut_no_further_than_to_what_was_let_through_between_two_refusals() -> None:
    known = BurstControl(60_000, 60_000, 0)
    for second in range(40):  # nine tenths of the rate pass, and a call is refused every other second
        at_ms = 1_000 * second
        for tenth in range(10):
            known.pay(90, at_ms + 100 * tenth)
        if second % 2:
            known.record_refusal(known.pay(100, at_ms + 920), 100, at_ms + 920, at_ms + 950)
            known.refund(100, at_ms + 950)
    assert known.share_ppm == pytest.approx(0.9 * LET_THROUGH_PPM, rel=0.02)


def test_a_share_is_regained_in_ever_larger_steps_once_calls_have_made_up_for_a_cut() -> None:
    known = BurstControl(60_000, 60_000, 0)
    cut(known, 20)
    regained, at_ms = [known.share_ppm], 20_000
    for _ in range(SHARE_STEPS_SMALL + 4):
        for _ in range(SHARE_STEP_CALLS):
            known.pay(1, at_ms)
        at_ms += SHARE_STEP_MIN_MS
        known.pay(1, at_ms)
        regained.append(known.share_ppm)
    steps = [(after - before) // SHARE_STEP_PPM for before, after in pairwise(regained)]
    assert steps == [1] * SHARE_STEPS_SMALL + [2, 4, 8, 8]
    known.record_refusal(100, 100, at_ms, at_ms + 50)
    before_ppm = known.share_ppm
    known.pay(1, at_ms + 50 + SHARE_STEP_MAX_MS)
    assert known.share_ppm == before_ppm + SHARE_STEP_PPM, "after the next cut they are small again"
