from copy import deepcopy
from random import Random

import pytest

from broker.core.markup import PPM
from broker.core.spread import (
    QUIET_MS,
    RISE_AFTER_MS,
    SHALLOW_MS,
    SHARE_CUT_PPM,
    SHARE_MIN_PPM,
    SHARE_STEP_MS,
    WAKING_MS,
    Spread,
)

MINUTE = 60_000
CAPACITY = 60_000  # of a minute: one token a millisecond
FIRST = 300  # what is refilled within QUIET_MS: so deep one may always go


def spread(capacity: int = CAPACITY, *, burst_ms: int | None = None) -> Spread:
    return Spread(capacity, MINUTE, 0, burst_ms)


def refused_deep() -> Spread:
    """A server that bore 5,000 and refused a call of 1,000 on top of 4,700, 400 ms after the start."""
    known = spread()
    known.pay(5_000, 0)
    assert known.pay(1_000, 300) == 5_700
    known.give_back(1_000, 400)
    known.unexplained(5_700, 1_000, 400)
    return known


def refused_shallow(times: int = 1) -> Spread:
    known = spread()
    for _ in range(times):
        known.unexplained(1_000, 1_000, 0)
    return known


def test_the_depth_is_what_was_spent_beyond_the_rate() -> None:
    known = spread()
    assert known.pay(5_000, 0) == 5_000
    assert known.pay(1_000, 2_000) == 4_000
    assert known.pay(10, 60_000) == 10


def test_at_first_one_goes_no_deeper_than_the_rate_refills_while_the_server_is_silent() -> None:
    known = spread()
    assert known.pay(200, 0) == 200
    assert known.payable_at(FIRST - 200, 0) == 0
    assert known.payable_at(FIRST - 200 + 1, 0) == 1


def test_a_call_larger_than_what_is_borne_goes_when_nothing_else_is_spent_and_not_before() -> None:
    known = spread()
    assert known.payable_at(5_000, 0) == 0
    known.pay(10, 0)
    assert known.payable_at(5_000, 0) == 10


def test_where_the_rate_alone_is_spent_nobody_waits() -> None:
    known = spread()
    for now in range(0, 20_000, 100):
        assert known.payable_at(100, now) == now
        assert known.pay(100, now) == 100


def test_what_can_be_spared_is_what_may_be_spent_however_soon() -> None:
    known = spread()
    known.pay(5_000, 0)
    for now_ms, spare in ((0, FIRST - 5_000), (QUIET_MS, FIRST), (QUIET_MS + 1_000, FIRST + 1_000)):
        assert known.spare(now_ms) == spare
        assert spare <= 0 or known.payable_at(spare, now_ms) == now_ms
    known.pay(FIRST + 1_000, QUIET_MS + 1_000)
    assert known.spare(QUIET_MS + 1_000) == 0


def test_a_depth_may_be_doubled_once_the_server_has_been_silent_about_it_and_not_before() -> None:
    known = spread()
    known.pay(5_000, 0)
    assert known.payable_at(100, 0) == known.payable_at(100, QUIET_MS - 1) == QUIET_MS
    assert known.borne == 0
    assert known.payable_at(5_300, QUIET_MS) == QUIET_MS  # 4,700 deep by then: twice 5,000 afterwards
    assert known.borne == 5_000
    assert known.payable_at(5_301, QUIET_MS) == QUIET_MS + 1
    assert known.payable_at(10_001, QUIET_MS) == 5_000


def test_a_wait_is_for_the_refill_where_that_is_sooner_than_the_silence() -> None:
    known = spread()
    known.pay(FIRST, 0)
    assert known.payable_at(20, 0) == 20


def test_a_wait_is_for_the_trial_that_is_deep_enough() -> None:
    known = spread()
    known.pay(1_000, 0)
    known.pay(9_000, 100)  # 9,900 deep
    assert known.payable_at(100, 100) == 100 + QUIET_MS
    assert known.payable_at(10_200, 100) == 100 + QUIET_MS  # 9,600 deep by then: twice 9,900 afterwards
    assert known.payable_at(10_201, 100) == 100 + QUIET_MS + 1
    assert known.payable_at(19_801, 100) == 10_000  # no trial would do: when nothing else is spent


def test_an_answer_tells_sooner_than_silence_that_a_depth_is_borne() -> None:
    known = spread()
    depth = known.pay(5_000, 0)
    known.admitted(depth, 0)
    assert known.payable_at(5_000, 10) == 10
    known.admitted(10, 0)
    assert known.borne == 5_000


def test_from_one_call_to_a_full_bucket_it_takes_two_to_three_seconds() -> None:
    known, now = spread(), 0
    while 2 * known.borne < CAPACITY:
        while 2 * known.borne < CAPACITY and known.payable_at(100, now) == now:
            known.pay(100, now)
        now += 10
    assert 2_000 < now < 3_000


def test_what_goes_deeper_than_ever_goes_one_by_one_while_a_depth_known_is_gone_to_at_once() -> None:
    known = spread()
    known.pay(10_000, 0)
    known.payable_at(1, QUIET_MS)  # silence: that deep one may go
    known.pay(200, QUIET_MS)
    assert known.payable_at(100, QUIET_MS) == QUIET_MS
    known.pay(1_030, QUIET_MS)  # 10,930 deep, 930 deeper than ever
    apart_ms = 1_030 * QUIET_MS // 10_300
    assert known.payable_at(1_000, QUIET_MS) == QUIET_MS + apart_ms
    assert known.payable_at(1_000, QUIET_MS + apart_ms) == QUIET_MS + apart_ms
    known.admitted(10_930, QUIET_MS)
    assert known.payable_at(1_000, QUIET_MS) == QUIET_MS


def test_who_comes_a_little_late_goes_as_deep_as_who_comes_in_time() -> None:
    known = spread()
    known.inherit(10_000, None)
    known.pay(10_000, 1_000)
    known.pay(515, 1_000)
    assert known.payable_at(1_000, 1_000) == 1_000 + 515 * QUIET_MS // 10_300 - WAKING_MS


def test_a_thousand_calls_of_one_instant_are_one_trial() -> None:
    known = spread()
    for _ in range(1_000):
        known.pay(10, 0)
    assert list(known._on_trial) == [(0, 10_000)]


def test_a_deeper_trial_of_the_same_instant_is_not_forgotten() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.give_back(4_000, 0)
    assert known.pay(100, 0) == 1_100
    known.payable_at(1, QUIET_MS)
    assert known.borne == 5_000


def test_a_depth_is_never_more_than_the_bucket_holds() -> None:
    known = spread()
    assert known.pay(100_000, 0) == CAPACITY
    assert known.pay(1_000, 20_000) == CAPACITY - 19_000  # a bucket of 40,000 in debt would still be deeper


def test_what_was_given_back_was_never_spent() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.give_back(5_000, 100)
    assert known.pay(200, 100) == 200  # what was refilled since does not make it fuller than full


def test_a_refusal_tells_the_depth_that_is_not_borne() -> None:
    known = refused_deep()
    assert (known.ceiling, known.borne, known.share_ppm) == (4_700, 4_700, PPM)
    assert known.payable_at(100, 400) == 400  # 4,600 deep
    assert known.payable_at(101, 400) == 401


def test_silence_and_answers_do_not_lift_one_above_the_ceiling() -> None:
    known = refused_deep()
    known.admitted(50_000, 400)
    assert known.payable_at(101, 2 * QUIET_MS + 401) == 2 * QUIET_MS + 401
    assert known.payable_at(702, 1_001) == 1_002  # 3,999 deep


def test_a_refusal_at_a_lesser_depth_lowers_the_ceiling_and_one_at_a_greater_does_not_raise_it() -> None:
    known = refused_deep()
    known.unexplained(9_000, 1_000, 400)
    assert known.ceiling == 4_700
    known.unexplained(3_000, 1_000, 400)
    assert known.ceiling == 2_000


def test_the_ceiling_lets_a_call_pass_that_was_refused_where_it_goes_alone() -> None:
    known = spread()
    known.pay(FIRST, 0)
    known.unexplained(known.pay(5_000, 0), 5_000, 0)
    assert known.ceiling == 5_000


def test_a_refusal_ends_the_trial_of_its_depth_and_of_deeper_ones_only() -> None:
    known = spread()
    known.pay(FIRST, 0)
    refused = known.pay(5_000, 10)
    known.pay(1_000, 20)
    known.unexplained(refused, 5_000, 50)
    known.payable_at(1, 20 + QUIET_MS)
    assert known.borne == FIRST


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
    known.unexplained(9_000, 1_000, RISE_AFTER_MS)
    known.payable_at(1, 2 * RISE_AFTER_MS - 1)
    assert known.ceiling == 4_700


def test_a_ceiling_as_high_as_the_bucket_is_none() -> None:
    known = spread(4_994)
    known.unexplained(4_900, 200, 0)
    known.payable_at(1, RISE_AFTER_MS)
    assert known.ceiling is None


def test_even_a_ceiling_of_nothing_rises() -> None:
    known = spread()
    known.inherit(0, 0)
    known.payable_at(1, RISE_AFTER_MS)
    assert known.ceiling == 1


def test_a_refusal_of_next_to_nothing_beyond_the_rate_cuts_the_share_and_sets_no_ceiling() -> None:
    known = spread()
    known.unexplained(1_000 + SHALLOW_MS, 1_000, 0)
    assert (known.share_ppm, known.ceiling) == (SHARE_CUT_PPM, None)
    known = spread()
    known.unexplained(1_000 + SHALLOW_MS + 1, 1_000, 0)
    assert (known.share_ppm, known.ceiling) == (PPM, 1_000)


def test_only_the_share_of_the_rate_is_refilled() -> None:
    known = refused_shallow()
    known.pay(970, 0)
    assert known.payable_at(30_000, 0) == 1_000  # 970 a second instead of 1,000


def test_a_cut_takes_nothing_back_that_was_spent() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.unexplained(5_000, 5_000, 0)
    assert known.pay(1, 0) == 5_001


def test_a_share_is_never_cut_below_the_least() -> None:
    assert refused_shallow(2).share_ppm == 940_900
    assert refused_shallow(500).share_ppm == SHARE_MIN_PPM


def test_a_share_is_given_back_in_small_steps_and_never_more_than_all() -> None:
    known = refused_shallow()
    given = []
    for now in (SHARE_STEP_MS - 1, SHARE_STEP_MS, SHARE_STEP_MS * 3 // 2, 2 * SHARE_STEP_MS, 10 * SHARE_STEP_MS):
        known.payable_at(1, now)
        given.append(known.share_ppm)
    assert given == [970_000, 975_000, 975_000, 980_000, PPM]
    known.pay(1_000, 10 * SHARE_STEP_MS)
    assert known.payable_at(30_000, 10 * SHARE_STEP_MS) == 10 * SHARE_STEP_MS + 1_000


def test_the_ceiling_rises_only_while_the_whole_rate_is_borne() -> None:
    known = refused_deep()
    known.unexplained(1_000, 1_000, 400)
    known.payable_at(1, 400 + RISE_AFTER_MS)
    assert (known.share_ppm, known.ceiling) == (PPM, 4_700)
    known.payable_at(1, 400 + 2 * RISE_AFTER_MS)
    assert known.ceiling == 4_994


def test_where_less_was_there_than_believed_one_begins_anew() -> None:
    known = spread()
    known.inherit(30_000, None)
    depth = known.pay(20_000, 0)
    known.pay(40_000, 10)
    known.outspent(0, 100)
    assert known.payable_at(FIRST, 100) == 100
    anew = known.pay(FIRST, 101)
    assert anew == FIRST
    known.admitted(depth, 0)  # sent before: what was there then tells nothing of now
    assert known.payable_at(10, 101) > 101
    assert known.payable_at(500, 10 + QUIET_MS) > 10 + QUIET_MS  # nor does silence about it
    known.admitted(anew, 101)
    assert known.payable_at(10, 101) == 101


def test_calls_refused_together_for_want_of_what_was_believed_begin_anew_once() -> None:
    known = spread()
    known.outspent(0, 100)
    known.pay(FIRST, 110)
    known.outspent(100, 120)
    assert known.payable_at(FIRST, 120) > 120
    known.outspent(110, 130)
    assert known.payable_at(FIRST, 130) == 130


@pytest.mark.parametrize(("burst_ms", "ceiling"), [(1_000, None), (None, 1_000)])
def test_where_a_bound_is_known_what_was_spent_counts_whoever_else_spends(
    burst_ms: int | None, ceiling: int | None
) -> None:
    known = spread(burst_ms=burst_ms)
    known.inherit(1_000, ceiling)
    known.pay(1_000, 0)
    known.outspent(0, 100)
    assert known.payable_at(100, 100) == 100
    assert known.payable_at(101, 100) == 101


def test_the_operators_burst_bounds_the_depth_whatever_is_borne() -> None:
    known = spread(burst_ms=1_000)
    known.inherit(30_000, None)
    known.pay(400, 0)
    assert known.payable_at(600, 0) == 0
    assert known.payable_at(601, 0) == 1


def test_an_operator_who_wants_no_burst_gets_one_token_at_a_time() -> None:
    known = spread(burst_ms=0)
    known.pay(1, 0)
    assert known.payable_at(1, 0) == 1
    known.pay(500, 1)
    assert known.payable_at(400, 1) == 501


def test_a_successor_goes_on_where_its_predecessor_was() -> None:
    known = spread()
    known.inherit(10_000, 15_000)
    known.pay(9_000, 0)
    assert known.payable_at(6_000, 0) == 0
    assert known.payable_at(6_001, 0) == 1


def test_a_limit_of_the_same_size_changes_nothing() -> None:
    known = refused_shallow()
    known.pay(5_000, 0)
    known.follow(CAPACITY, MINUTE, 0)
    assert known.pay(1, 0) == 5_001
    assert known.share_ppm == SHARE_CUT_PPM


def test_under_a_greater_limit_the_depth_stays_and_is_refilled_sooner() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.follow(2 * CAPACITY, MINUTE, 0)
    assert known.payable_at(50_000, 0) == 2_500


def test_under_a_smaller_limit_the_depth_is_no_more_than_that_holds() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.follow(3_000, MINUTE, 0)
    assert known.payable_at(20_000, 0) == MINUTE
    assert known.pay(0, 0) == 3_000


def test_a_shorter_period_of_as_many_tokens_is_another_size() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.follow(CAPACITY, MINUTE // 10, 0)
    assert known.payable_at(50_000, 0) == 500


def test_the_smallest_limit_still_spends_its_one_token() -> None:
    known = spread(1)
    for _ in range(100):
        known.unexplained(1, 1, 0)
    assert known.payable_at(1, 0) == 0
    assert known.pay(1, 0) == 1
    assert known.payable_at(1, 0) == QUIET_MS  # two at once may be borne; that there is one, the mirror knows
    known.inherit(1, 1)
    assert known.payable_at(1, 0) == MINUTE


@pytest.mark.parametrize("seed", range(10))
def test_an_instant_that_is_named_is_one_at_which_so_much_may_be_spent(seed: int) -> None:
    chance, known, now = Random(seed), spread(), 0
    for _ in range(300):
        amount = chance.choice([10, 100, 1_000, 20_000])
        at_ms = known.payable_at(amount, now)
        assert known.payable_at(amount, at_ms) == at_ms
        now = at_ms
        depth = known.pay(amount, now)
        assert depth <= max(known._bound(known.borne), amount)
        if chance.random() < 0.1:
            known.give_back(amount, now)
            known.unexplained(depth, amount, now)
        now += chance.randint(0, 50)


@pytest.mark.interpreted
@pytest.mark.parametrize("seed", range(10))
def test_no_instant_before_the_one_that_is_named_would_do(seed: int) -> None:
    chance, known, now = Random(seed), spread(), 0
    for _ in range(100):
        amount = chance.choice([10, 100, 500, 2_000])
        at_ms = known.payable_at(amount, now)
        for earlier_ms in chance.sample(range(now, at_ms), min(at_ms - now, 3)):
            assert deepcopy(known).payable_at(amount, earlier_ms) == at_ms
        now = at_ms
        depth = known.pay(amount, now)
        if chance.random() < 0.02:
            known.give_back(amount, now)
            known.unexplained(depth, amount, now)
        elif chance.random() < 0.2:
            known.admitted(depth, now)
        now += chance.randint(0, 50)
