from copy import deepcopy
from random import Random

import pytest

from headrace.broker.core.budget.burst_control import (
    SHARE_CUT_PPM,
    SILENCE_MS,
    WAKING_MS,
)
from tests.unit.core.spreads import CAPACITY, FIRST, MINUTE, refused_shallow, spread


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
    for now_ms, spare in ((0, FIRST - 5_000), (SILENCE_MS, FIRST), (SILENCE_MS + 1_000, FIRST + 1_000)):
        assert known.spare(now_ms) == spare
        assert spare <= 0 or known.payable_at(spare, now_ms) == now_ms
    known.pay(FIRST + 1_000, SILENCE_MS + 1_000)
    assert known.spare(SILENCE_MS + 1_000) == 0


def test_a_depth_may_be_doubled_once_the_server_has_been_silent_about_it_and_not_before() -> None:
    known = spread()
    known.pay(5_000, 0)
    assert known.payable_at(100, 0) == known.payable_at(100, SILENCE_MS - 1) == SILENCE_MS
    assert known.tolerated_burst == 0
    assert known.payable_at(5_300, SILENCE_MS) == SILENCE_MS  # 4,700 deep by then: twice 5,000 afterwards
    assert known.tolerated_burst == 5_000
    assert known.payable_at(5_301, SILENCE_MS) == SILENCE_MS + 1
    assert known.payable_at(10_001, SILENCE_MS) == 5_000


def test_a_wait_is_for_the_refill_where_that_is_sooner_than_the_silence() -> None:
    known = spread()
    known.pay(FIRST, 0)
    assert known.payable_at(20, 0) == 20


def test_a_wait_is_for_the_trial_that_is_deep_enough() -> None:
    known = spread()
    known.pay(1_000, 0)
    known.pay(9_000, 100)  # 9,900 deep
    assert known.payable_at(100, 100) == 100 + SILENCE_MS
    assert known.payable_at(10_200, 100) == 100 + SILENCE_MS  # 9,600 deep by then: twice 9,900 afterwards
    assert known.payable_at(10_201, 100) == 100 + SILENCE_MS + 1
    assert known.payable_at(19_801, 100) == 10_000  # no trial would do: when nothing else is spent


def test_an_answer_tells_sooner_than_silence_that_a_depth_is_borne() -> None:
    known = spread()
    depth = known.pay(5_000, 0)
    known.record_admission(depth, 0)
    assert known.payable_at(5_000, 10) == 10
    known.record_admission(10, 0)
    assert known.tolerated_burst == 5_000


def test_from_one_call_to_a_full_bucket_it_takes_two_to_three_seconds() -> None:
    known, now = spread(), 0
    while 2 * known.tolerated_burst < CAPACITY:
        while 2 * known.tolerated_burst < CAPACITY and known.payable_at(100, now) == now:
            known.pay(100, now)
        now += 10
    assert 2_000 < now < 3_000


def test_what_goes_deeper_than_ever_goes_one_by_one_while_a_depth_known_is_gone_to_at_once() -> None:
    known = spread()
    known.pay(10_000, 0)
    known.payable_at(1, SILENCE_MS)  # silence: that deep one may go
    known.pay(200, SILENCE_MS)
    assert known.payable_at(100, SILENCE_MS) == SILENCE_MS
    known.pay(1_030, SILENCE_MS)  # 10,930 deep, 930 deeper than ever
    apart_ms = 1_030 * SILENCE_MS // 10_300
    assert known.payable_at(1_000, SILENCE_MS) == SILENCE_MS + apart_ms
    assert known.payable_at(1_000, SILENCE_MS + apart_ms) == SILENCE_MS + apart_ms
    known.record_admission(10_930, SILENCE_MS)
    assert known.payable_at(1_000, SILENCE_MS) == SILENCE_MS


def test_who_comes_a_little_late_goes_as_deep_as_who_comes_in_time() -> None:
    known = spread()
    known.inherit(10_000, None)
    known.pay(10_000, 1_000)
    known.pay(515, 1_000)
    assert known.payable_at(1_000, 1_000) == 1_000 + 515 * SILENCE_MS // 10_300 - WAKING_MS


def test_a_thousand_calls_of_one_instant_are_one_trial() -> None:
    known = spread()
    for _ in range(1_000):
        known.pay(10, 0)
    assert list(known._on_trial) == [(0, 10_000)]


def test_a_deeper_trial_of_the_same_instant_is_not_forgotten() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.refund(4_000, 0)
    assert known.pay(100, 0) == 1_100
    known.payable_at(1, SILENCE_MS)
    assert known.tolerated_burst == 5_000


def test_a_depth_is_never_more_than_the_bucket_holds() -> None:
    known = spread()
    assert known.pay(100_000, 0) == CAPACITY
    assert known.pay(1_000, 20_000) == CAPACITY - 19_000  # a bucket of 40,000 in debt would still be deeper


def test_what_was_given_back_was_never_spent() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.refund(5_000, 100)
    assert known.pay(200, 100) == 200  # what was refilled since does not make it fuller than full


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
    known.adopt_capacity(CAPACITY, MINUTE, 0)
    assert known.pay(1, 0) == 5_001
    assert known.share_ppm == SHARE_CUT_PPM


def test_under_a_greater_limit_the_depth_stays_and_is_refilled_sooner() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.adopt_capacity(2 * CAPACITY, MINUTE, 0)
    assert known.payable_at(50_000, 0) == 2_500


def test_under_a_smaller_limit_the_depth_is_no_more_than_that_holds() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.adopt_capacity(3_000, MINUTE, 0)
    assert known.payable_at(20_000, 0) == MINUTE
    assert known.pay(0, 0) == 3_000


def test_a_shorter_period_of_as_many_tokens_is_another_size() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.adopt_capacity(CAPACITY, MINUTE // 10, 0)
    assert known.payable_at(50_000, 0) == 500


def test_the_smallest_limit_still_spends_its_one_token() -> None:
    known = spread(1)
    for _ in range(100):
        known.record_refusal(1, 1, 0, 0)
    assert known.payable_at(1, 0) == 0
    assert known.pay(1, 0) == 1
    assert known.payable_at(1, 0) == SILENCE_MS  # two at once may be borne; that there is one, the mirror knows
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
        assert depth <= max(known._bound(known.tolerated_burst), amount)
        if chance.random() < 0.1:
            known.refund(amount, now)
            known.record_refusal(depth, amount, now, now)
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
            known.refund(amount, now)
            known.record_refusal(depth, amount, now, now)
        elif chance.random() < 0.2:
            known.record_admission(depth, now)
        now += chance.randint(0, 50)


def test_what_a_call_paid_beyond_its_charge_makes_the_next_ones_less_deep_and_what_it_lacked_deeper() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.correct(1_500, 0, 1_000)
    assert known.pay(10, 1_000) == 5_000 - 1_000 - 1_500 + 10
    known.correct(-700, 0, 1_000)
    assert known.pay(10, 1_000) == 5_000 - 1_000 - 1_500 + 700 + 20


def test_what_a_full_bucket_would_have_lost_meanwhile_is_not_given_back() -> None:
    known = spread()
    known.correct(0, 0, 0)
    known.pay(5_000, 0)
    known.pay(4_000, 4_600)  # it was 400 deep before
    known.correct(1_500, 0, 4_700)
    assert known.pay(10, 4_700) == 4_300 - 400 + 10
    known.correct(900, 0, 4_700)
    assert known.pay(10, 4_700) == 4_300 - 400 + 20, "the first correction has used that up"
    known.correct(900, 4_600, 4_700)
    assert known.pay(10, 4_700) == 4_300 - 400 - 900 + 30, "a later call found no full bucket after it"


def test_what_one_correction_has_given_back_another_of_an_older_call_does_not_give_again() -> None:
    """The payment at 4,500 is less deep than that at 4,000 once the call between them has been corrected."""
    known = spread()
    known.correct(0, 0, 0)
    known.pay(5_000, 0)
    known.pay(3_000, 4_000)  # it was 1,000 deep before
    known.pay(1_000, 4_500)  # 3,500
    known.correct(3_000, 4_200, 4_600)
    known.correct(2_000, 3_000, 4_600)
    assert known.pay(10, 4_600) == 4_400 - 3_000 - 500 + 10


def test_a_bucket_that_is_full_gains_nothing() -> None:
    known = spread()
    known.pay(5_000, 0)
    known.correct(1_500, 0, 6_000)
    assert known.pay(10, 6_000) == 10


def test_of_the_depths_that_a_correction_looks_back_at_those_less_deep_and_later_are_enough() -> None:
    known = spread()
    known.correct(0, 0, 0)
    known.pay(5_000, 0)
    known.pay(10, 1_000)  # it was 4,000 deep before
    known.pay(10, 3_000)  # 2,010, so the former one matters no more
    known.correct(5_000, 500, 3_000)
    assert known.pay(10, 3_000) == 2_020 - 2_010 + 10
