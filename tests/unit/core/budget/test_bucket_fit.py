"""When the levels of a short window show that it is a bucket."""

from collections.abc import Callable
from random import Random

import pytest

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, SECOND_MS, TOKENS, LimitMetric, Reading
from headrace.broker.core.budget.bucket_fit import (
    BALANCE_MAX,
    LOOKED_BACK_TIMES,
    MISFIT_WEIGHT,
    SURE,
    BucketFit,
)
from headrace.broker.core.budget.sent_calls import SentCalls

CAPACITY, COST, EVERY_MS, DELAY_MS = 10_000, 900, 100, 20
Server = Callable[[list[tuple[int, int]], int], int]
"""What a server leaves of the charges that it has taken, and when, after the last of them."""


def bucket(charged: list[tuple[int, int]], _: int) -> int:
    level, at_ms = CAPACITY, charged[0][0]
    for taken_ms, cost in charged:
        level, at_ms = min(CAPACITY, level + (taken_ms - at_ms) * CAPACITY // SECOND_MS) - cost, taken_ms
    return level


def sliding(charged: list[tuple[int, int]], now_ms: int) -> int:
    return CAPACITY - sum(cost for at_ms, cost in charged if at_ms > now_ms - SECOND_MS)


def counter(charged: list[tuple[int, int]], now_ms: int) -> int:
    return CAPACITY - sum(cost for at_ms, cost in charged if at_ms // SECOND_MS == now_ms // SECOND_MS)


def estimate(charged: list[tuple[int, int]], now_ms: int) -> int:
    begun_ms = now_ms // SECOND_MS * SECOND_MS
    former = sum(cost for at_ms, cost in charged if begun_ms - SECOND_MS <= at_ms < begun_ms)
    return counter(charged, now_ms) - former * (begun_ms + SECOND_MS - now_ms) // SECOND_MS


def fitted(
    server: Server, *, calls: int = 200, every_ms: int = EVERY_MS, counted: float = 1, step: int = 1, seed: int = 0
) -> BucketFit:
    """The fit after calls that took up to `DELAY_MS` to a server, which counted this part of what they paid."""
    chance, sends, fit = Random(seed), SentCalls(), BucketFit()
    charged: list[tuple[int, int]] = []
    for number in range(calls):
        sent_ms, cost = 5_000 + number * every_ms, COST + chance.randrange(-200, 200)
        sends.append(sent_ms, cost)
        charged.append((sent_ms + chance.randrange(DELAY_MS), round(cost * counted)))
        left = server(charged[-40:], charged[-1][0])
        order = sends.admission_order(number, sent_ms, sent_ms + 2_000, DELAY_MS)
        fit.observe(Reading(TOKENS, CAPACITY, left // step * step, None, SECOND_MS), SECOND_MS, step, order, sends)
    return fit


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("step", [1, CAPACITY // 100, CAPACITY // 10])
def test_a_bucket_is_known_by_its_levels_though_they_are_rounded(step: int, seed: int) -> None:
    assert fitted(bucket, step=step, seed=seed).is_sure


@pytest.mark.parametrize("server", [sliding, counter, estimate])
@pytest.mark.parametrize("counted", [0.5, 0.7, 1, 1.3])
def test_no_other_window_is_taken_for_one_whatever_part_of_a_price_it_counts(server: Server, counted: float) -> None:
    for seed in range(8):
        for every_ms in (100, 130, 160, 250, 400):
            for step in (1, CAPACITY // 10):
                fit = fitted(server, every_ms=every_ms, counted=counted, step=step, seed=seed)
                assert not fit.is_sure, (server, counted, every_ms, step, seed)


def test_a_limit_that_is_hardly_used_tells_nothing() -> None:
    for server in (bucket, sliding, counter, estimate):
        assert not fitted(server, every_ms=SECOND_MS).is_sure


def observed(remaining: int, metric: LimitMetric = TOKENS, *, before: int = 9, charged: bool = True) -> int:
    """The balance after one level beside calls sent every tenth of a second, the last of them its own."""
    sends, fit = SentCalls(), BucketFit()
    for number in range(before + 1):
        sends.append(number * EVERY_MS, 950)
    if not charged:
        sends.strike(before)
    order = sends.admission_order(before, before * EVERY_MS, 5_000, DELAY_MS)
    fit.observe(Reading(metric, CAPACITY, remaining, None, SECOND_MS), SECOND_MS, 1, order, sends)
    return fit.balance


def test_a_level_that_our_calls_leave_counts_for_a_bucket_and_any_other_against_it() -> None:
    left = CAPACITY - 950
    assert observed(left) == 1
    assert observed(left + 300) == -MISFIT_WEIGHT
    assert observed(left - 300) == -MISFIT_WEIGHT
    assert observed(left, before=1) == 0, "a sliding window leaves as much"


def test_refused_calls_and_those_too_long_ago_tell_nothing() -> None:
    left = CAPACITY - 950
    assert observed(left, charged=False) == 0
    sends, fit = SentCalls(), BucketFit()
    order = sends.admission_order(-1, 0, 5_000, DELAY_MS)
    fit.observe(Reading(TOKENS, CAPACITY, left, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.balance == 0


def test_a_level_beside_many_calls_of_one_instant_tells_nothing() -> None:
    sends, fit = SentCalls(), BucketFit()
    for _ in range(8):
        sends.append(0, 1_000, oldest_open=0)
    order = sends.admission_order(3, 0, 5_000, DELAY_MS)
    fit.observe(Reading(TOKENS, CAPACITY, 100, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.balance == 0


def test_calls_are_counted_as_well_as_tokens() -> None:
    sends, fit = SentCalls(), BucketFit()
    for number in range(60):
        sends.append(number * 100, 1)
        order = sends.admission_order(number, number * 100, 5_000, DELAY_MS)
        fit.observe(Reading(REQUESTS, 12, 11, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.is_sure


def test_the_balance_is_bounded_so_that_a_bucket_that_is_none_any_more_is_given_up() -> None:
    fit = fitted(bucket, calls=2_000)
    assert fit.balance <= BALANCE_MAX
    answers = fit.balance // MISFIT_WEIGHT + 1
    sends = SentCalls()
    for _ in range(answers):
        assert fit.is_sure
        order = sends.admission_order(sends.append(0, 900), 0, 5_000, DELAY_MS)
        fit.observe(Reading(TOKENS, CAPACITY, 1_000, None, SECOND_MS), SECOND_MS, 1, order, sends)
        sends = SentCalls()
    assert not fit.is_sure


def test_what_was_sent_some_periods_ago_no_longer_matters() -> None:
    sends, fit = SentCalls(), BucketFit()
    sends.append(0, 50 * CAPACITY)
    sent_ms = LOOKED_BACK_TIMES * SECOND_MS + 1
    order = sends.admission_order(sends.append(sent_ms, 950), sent_ms, sent_ms + 2_000, DELAY_MS)
    fit.observe(Reading(TOKENS, CAPACITY, CAPACITY - 950, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.balance == 0
    fit.observe(Reading(TOKENS, CAPACITY, 0, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.balance == -MISFIT_WEIGHT


def at_one_time(remaining: int, *, own: int = 5) -> int:
    """The balance after a level beside nine calls of the last second, of which two came within the delay of its own."""
    sends, fit = SentCalls(), BucketFit()
    for number in range(5):
        sends.append(100 * number, 900)
    for sent_ms in (600, 605, 610):
        sends.append(sent_ms, 900, oldest_open=0)
    order = sends.admission_order(own, sends.sent_ms[own], 5_000, DELAY_MS)
    fit.observe(Reading(TOKENS, CAPACITY, remaining, None, SECOND_MS), SECOND_MS, 1, order, sends)
    return fit.balance


@pytest.mark.parametrize("own", [5, 6, 7])
def test_calls_within_the_delay_may_have_come_before_or_after(own: int) -> None:
    fits = [at_one_time(CAPACITY - 900 * charged, own=own) >= 0 for charged in range(5)]
    assert fits == [False, True, True, True, False], "its own is charged, and so may each of the two others be"


def test_what_a_sliding_window_leaves_that_counts_half_is_no_bucket() -> None:
    sends, fit = SentCalls(), BucketFit()
    for number in range(10):
        order = sends.admission_order(sends.append(40 * number, 950), 40 * number, 5_000, DELAY_MS)
    left = CAPACITY - 9_500 + 9 * 400
    fit.observe(Reading(TOKENS, CAPACITY, left, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.balance == 0


def test_however_long_it_was_none_it_is_known_once_it_is_one() -> None:
    sends, fit = SentCalls(), BucketFit()
    for number in range(100 + BALANCE_MAX + SURE):
        sent_ms = 100 * number
        order = sends.admission_order(sends.append(sent_ms, 950), sent_ms, sent_ms + 2_000, DELAY_MS)
        left = 1_000 if number < 100 else CAPACITY - 950
        fit.observe(Reading(TOKENS, CAPACITY, left, None, SECOND_MS), SECOND_MS, 1, order, sends)
    assert fit.is_sure
