"""Which buckets headers have shown, and whether they hold far more than is spent."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.stated_age import StatedAge
from tests.unit.core.shown import counted


def test_buckets_are_ample_while_each_of_tokens_refills_all_the_time_and_is_half_full() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 1, MINUTE_MS, 0)
    for mirror in buckets.of(LimitMetric.REQUESTS):
        mirror.pay(5, 0, 0)
    assert buckets.are_ample(0)
    (tokens,) = buckets.of(LimitMetric.TOKENS)
    tokens.pay(30_001, 0, 0)
    assert not buckets.are_ample(0)
    assert buckets.are_ample(1_000)
    buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, 60_000, MINUTE_MS, MINUTE_MS, 60_000))
    assert not buckets.are_ample(1_000)


def test_a_limit_of_an_hour_is_ample_as_long_as_it_can_pay() -> None:
    """Before: a window of an hour beside a hidden one was spent at the pace of the hour, once a burst was refused."""
    for period_ms, ample in ((HOUR_MS, True), (HOUR_MS - 1, False)):
        buckets = BucketSet(SentCalls())
        buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, 60_000, period_ms, HOUR_MS, 10_000))
        assert buckets.are_ample(0) is ample


def test_a_bucket_that_is_believed_or_was_named_is_not_shown() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    (tokens,) = buckets.of(LimitMetric.TOKENS)
    assert not buckets.is_stated(tokens)
    assert not buckets.shows_tokens


def test_tokens_are_shown_if_headers_show_one_of_their_buckets() -> None:
    limit = counted()
    limit.buckets.believe(LimitMetric.TOKENS, 7, HOUR_MS, 0)
    assert limit.buckets.shows_tokens


def test_a_bucket_that_no_header_shows_is_modelled_as_a_window_and_back() -> None:
    """What was sent counts in the window; a bucket that takes its place holds what that had left."""
    sends = SentCalls()
    buckets = BucketSet(sends)
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    buckets.pay(20_000, sends.append(0, 20_000), 0)
    assert not buckets.slide(HOUR_MS, 30_000, slides=True)
    assert buckets.slide(MINUTE_MS, 30_000, slides=True)
    (window,) = buckets
    assert (window.refill, window.low(30_000)) == (Refill.SLIDING, 39_998)
    assert buckets.slide(MINUTE_MS, 30_000, slides=False)
    (bucket,) = buckets
    assert (bucket.refill, bucket.low(30_000), bucket.high(30_000)) == (Refill.BUCKET, 39_998, 60_000)


def test_a_bucket_that_headers_show_or_a_projects_is_not_modelled_otherwise() -> None:
    sends = SentCalls()
    buckets = BucketSet(sends)
    reading = Reading(LimitMetric.TOKENS, 60_000, 59_000, MINUTE_MS)
    buckets.observe_headers(reading, sends.admission_order(sends.append(0, 1_000), 0, 500, 120))
    buckets.inherit(LevelBounds(LimitMetric.TOKENS, 0, 9_000, 9_000, MINUTE_MS, project=True), 0)
    assert not buckets.slide(MINUTE_MS, 500, slides=True)


def test_levels_are_as_old_as_those_in_headers() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.age_ms == 0
    buckets._shown._age = StatedAge(SentCalls())
    buckets._shown._age.ms = 3_000
    assert buckets.age_ms == 3_000


@pytest.mark.parametrize(
    ("spent", "again", "left"), [(0, 0, 60_000), (29_998, 0, 30_000), (29_999, 0, 1_002), (0, 1, 1_002)]
)
def test_a_first_refusal_does_not_empty_half_full_buckets_without_a_header(spent: int, again: int, left: int) -> None:
    """Before: a front that dropped a burst left a full bucket unspent for ever, as no answer could tell of it."""
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    if spent:
        buckets.pay(spent, 0, 0)
    buckets.trust_no_more_than(1_000, 0, again=bool(again))
    assert [level.low for level in buckets.levels(0)] == [left]


@pytest.mark.parametrize(("spent", "left"), [(29_000, 31_006), (40_000, 1_002)])
def test_no_refusal_empties_a_half_full_bucket_of_an_hour(spent: int, left: int) -> None:
    """Before: refusals of a second's window emptied a day's bucket beside it: no call for 70 s (seed 90274)."""
    sends = SentCalls()
    buckets = BucketSet(sends)
    reading = Reading(LimitMetric.TOKENS, 60_000, 60_000 - spent, HOUR_MS)
    buckets.observe_headers(reading, sends.admission_order(sends.append(0, 1_000), 0, 500, 120))
    buckets.trust_no_more_than(1_000, 500)
    assert [level.low for level in buckets.levels(500)] == [left]


def test_answers_correct_a_bucket_that_headers_show_so_that_it_may_be_emptied() -> None:
    sends = SentCalls()
    buckets = BucketSet(sends)
    reading = Reading(LimitMetric.TOKENS, 60_000, 59_000, MINUTE_MS)
    buckets.observe_headers(reading, sends.admission_order(sends.append(0, 1_000), 0, 500, 120))
    buckets.trust_no_more_than(1_000, 500, again=False)
    assert [level.low for level in buckets.levels(500)] == [1_002]


def test_what_levels_have_disproved_is_judged_anew_by_all_that_headers_show() -> None:
    limit = counted()
    (header,) = limit.buckets._shown._headers.values()
    header.evidence.rule_out(Refill.FIXED)
    limit.buckets.judge_anew(0)
    assert not header.evidence._ruled_out


def test_one_time_in_parts_of_a_second_is_enough() -> None:
    buckets = BucketSet(SentCalls())
    for full_in_ms, fine in ((None, False), (2_000, False), (989, True), (3_000, True)):
        buckets.hear_times([Reading(LimitMetric.REQUESTS, 9, 8, None, full_in_ms)])
        assert buckets._shown.has_fine_times is fine
