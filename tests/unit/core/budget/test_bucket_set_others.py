"""Whether others must have spent in a limit's windows."""

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS
from tests.unit.core.shown import CAPACITY, MARK, SENT_MS, Limit, counted, slid


def test_others_must_have_spent_what_is_missing_from_a_window() -> None:
    for limit, ends_ms in ((counted(), MARK), (slid(), None)):
        for call in range(5, 15):
            order = limit.send(1_000, 400 * call)
            limit.show(order, 1_000 * call, CAPACITY if ends_ms is None else ends_ms - 400 * call)
        assert not limit.buckets.by_others
        order = limit.send(1_000, 6_000)
        limit.show(order, 40_000, CAPACITY if ends_ms is None else ends_ms - 6_000)
        assert limit.buckets.by_others
        assert limit.buckets.others_spend(TOKENS, order.now_ms)
        assert not limit.buckets.others_spend(REQUESTS, order.now_ms)


def test_what_is_missing_from_a_bucket_may_be_a_delays() -> None:
    limit = Limit()
    for call, sent_ms in enumerate((*SENT_MS, 1_600, 2_000, 2_400), start=1):
        used = 1_000 * call - sent_ms
        limit.show(limit.send(1_000, sent_ms), used, used)
    order = limit.send(1_000, 2_800)
    assert limit.show(order, 20_000, 20_000) != 0
    assert not limit.buckets.by_others
    assert not limit.buckets.others_spend(TOKENS, order.now_ms)
