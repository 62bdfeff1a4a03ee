"""Which buckets headers have shown, and whether they hold far more than is spent."""

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.stated_age import StatedAge
from headrace.broker.core.budget.window_mirrors import FixedWindowMirror
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


def test_levels_are_as_old_as_those_in_headers() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.age_ms == 0
    buckets._shown._age = StatedAge(SentCalls())
    buckets._shown._age.ms = 3_000
    assert buckets.age_ms == 3_000


def test_what_levels_have_disproved_is_judged_anew_by_all_that_headers_show() -> None:
    limit = counted()
    (header,) = limit.buckets._shown._headers.values()
    header.evidence.rule_out(Refill.FIXED)
    limit.buckets.judge_anew()
    assert not header.evidence._ruled_out
