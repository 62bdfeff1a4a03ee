"""Buckets and windows whose calls proved mispriced."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_set import RECOUNT_EVERY_MS, BucketSet
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from tests.unit.core.shown import CAPACITY, MARK, counted, slid, stated


def test_buckets_of_tokens_are_corrected_by_what_a_call_paid_too_much() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 100, MINUTE_MS, 0)
    buckets.pay(10_000, 0, 0)
    before = [level.low for level in buckets.levels(0)]
    buckets.correct([(0, 3_000)], 0)
    assert [level.low for level in buckets.levels(0)] == [before[0] + 3_000, before[1]]


def test_calls_of_a_sliding_window_are_counted_by_their_charges_at_once() -> None:
    limit = slid()
    orders = [limit.send(5_000, 1_500) for _ in range(3)]
    lows = [limit.buckets.levels(2_000)[0].low]
    for order in orders:
        limit.sends.amounts[LimitMetric.TOKENS][order.number] -= 4_000
        limit.buckets.correct([(order.number, 4_000)], 2_000)
        lows.append(limit.buckets.levels(2_000)[0].low)
    assert [low - lows[0] for low in lows] == [0, 4_000, 8_000, 12_000]


def test_calls_that_proved_mispriced_let_an_answer_set_what_is_left_in_a_fixed_window_every_two_seconds() -> None:
    limit = counted()
    for number, now_ms in enumerate((2_000, 2_000 + RECOUNT_EVERY_MS - 1, 2_000 + RECOUNT_EVERY_MS)):
        order = limit.send(1_000, now_ms)
        limit.sends.amounts[LimitMetric.TOKENS][order.number] += 3_000
        limit.buckets.correct([(order.number, -3_000)], now_ms)
        shown = limit.show(order, 4_000 * (number + 2), MARK - now_ms)
        assert (shown is None) == (number != 1), "an answer that sets it tells nothing of other clients"
    assert limit.buckets.levels(now_ms)[0].low == CAPACITY - 4_000 * 4


def test_a_call_of_a_fixed_window_that_proved_mispriced_too_soon_is_made_up_for_by_a_later_answer() -> None:
    limit = counted()
    limit.buckets.correct([(limit.send(1_000, 2_000).number, 0)], 2_000)
    limit.show(limit.send(1_000, 2_000), 6_000, MARK - 2_000)
    late = limit.send(1_000, 3_000)
    limit.sends.amounts[LimitMetric.TOKENS][late.number] += 3_000
    limit.buckets.correct([(late.number, -3_000)], 3_000)
    assert limit.show(limit.send(1_000, 4_500), 11_000, MARK - 4_500) is None
    assert limit.buckets.levels(4_500)[0].low == CAPACITY - 11_000


def test_a_call_too_old_to_be_known_corrects_no_window() -> None:
    limit = slid()
    for _ in range(2 * SENDS_MAX):
        limit.sends.append(1_300, 1)
    before = limit.buckets.levels(1_500)
    limit.buckets.correct([(0, 500)], 1_500)
    assert limit.buckets.levels(1_500) == before


def test_what_was_mispriced_in_a_former_window_keeps_no_answer_from_showing_that_it_began_anew() -> None:
    limit = counted()
    limit.buckets.correct([(limit.send(1_000, 2_000).number, -3_000)], 2_000)
    (mirror,) = limit.buckets.of(LimitMetric.TOKENS)
    assert isinstance(mirror, FixedWindowMirror)
    first = limit.send(1_000, MARK + 500)
    assert mirror.on_trial
    assert limit.show(first, 1_000, MINUTE_MS - 500) == 0
    assert not mirror.on_trial
    limit.show(limit.send(1_000, MARK + 600), 2_000, MINUTE_MS - 600)
    assert limit.buckets.levels(MARK + 600)[0].low == CAPACITY - 2_000


def test_a_refusal_too_sets_what_is_left_in_a_fixed_window_after_calls_that_proved_mispriced() -> None:
    limit = counted()
    limit.buckets.correct([(limit.send(1_000, 2_000).number, -3_000)], 2_000)
    order = limit.send(1_000, 2_100)
    snapshot = stated(LimitMetric.TOKENS, CAPACITY, MINUTE_MS)
    assert limit.buckets.observe_refusal(snapshot, 40_000, order) is None
    assert limit.buckets.levels(2_100)[0].low == pytest.approx(40_000, abs=1_010)


def test_buckets_that_are_half_full_and_refill_all_the_time_are_ample() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert buckets.are_ample(0)
    buckets.pay(CAPACITY // 2 + 10, 0, 0)
    assert not buckets.are_ample(0)
