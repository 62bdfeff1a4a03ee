from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.shown import SENT_MS, counted


def test_buckets_of_tokens_keep_what_others_may_have_taken_since_the_newest_answer() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 600, MINUTE_MS, 0)
    buckets.make_room(0, 1_000)
    for now_ms in (1_000, 2_000, 3_000):
        buckets.record_missing(10_000, now_ms)
    assert buckets.missing.total == 0, "no header shows a level"
    assert buckets.spare(0, 3_000) == (60_000, 600), "no answer has come since"
    buckets.make_room(2_500, 3_500)
    assert buckets.spare(0, 3_500) == (60_000 - 500, 600)
    buckets.pay(59_000 - ROUNDING_TOKENS, 0, 3_500)
    assert buckets.payable_at(500, 0, 3_500) == 3_500 + 2 * ROUNDING_TOKENS - ROUNDING_TOKENS
    buckets.make_room(2_500, 80_000)
    assert buckets.spare(0, 80_000) == (60_000, 600), "nothing has been missing for long"


def test_a_window_keeps_nothing_for_others_since_that_would_be_lost() -> None:
    limit = counted()
    for now_ms in (1_000, 2_000, 3_000):
        limit.buckets.record_missing(10_000, SENT_MS[-1] + now_ms)
    assert limit.buckets.missing.total == 30_000
    before = limit.buckets.levels(SENT_MS[-1] + 3_000)
    limit.buckets.make_room(SENT_MS[-1], SENT_MS[-1] + 3_000)
    assert limit.buckets.levels(SENT_MS[-1] + 3_000) == before
