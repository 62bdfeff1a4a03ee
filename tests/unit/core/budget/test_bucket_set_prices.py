from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.sent_calls import SentCalls
from tests.unit.core.shown import CAPACITY, SENT_MS, slid


def test_a_sliding_window_counts_its_calls_again_at_other_prices() -> None:
    limit = slid()
    now_ms = SENT_MS[-1]
    (before,) = limit.buckets.levels(now_ms)
    limit.sends.reprice(2_000_000, 1_000_000)
    limit.buckets.reprice()
    (after,) = limit.buckets.levels(now_ms)
    assert after.low < before.low


def test_only_a_bucket_that_may_owe_is_in_debt_at_other_prices() -> None:
    for owes in (False, True):
        sends = SentCalls()
        buckets = BucketSet(sends)
        buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
        buckets.pay(CAPACITY // 2, sends.append(0, CAPACITY // 2), 0)
        sends.reprice(4_000_000, 1_000_000)
        buckets.reprice(owes=owes)
        (level,) = buckets.levels(0)
        assert (level.low < 0) is owes
