from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.shown import SENT_MS, Limit, counted
from tests.unit.core.specimens import verdict

OK, REFUSED = verdict(), verdict(Meaning.RATE_LIMITED, requested=500)


def call(sent_ms: int, *, held: bool = False) -> Reservation:
    return Reservation(0, 500, 500, False, sent_ms, 0, "chat.completions", 0, held=held)


def test_buckets_of_tokens_keep_what_room_may_have_taken_since_the_newest_answer() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 600, MINUTE_MS, 0)
    buckets.make_room(call(0), OK, 1_000)
    for now_ms in (1_000, 2_000, 3_000):
        buckets.record_missing(10_000, now_ms)
    assert buckets.missing.total == 0, "no header shows a level"
    assert buckets.spare(0, 3_000) == (60_000, 600), "no answer has come since"
    buckets.make_room(call(2_500), OK, 3_500)
    assert buckets.spare(0, 3_500) == (60_000 - 500, 600)
    buckets.pay(59_000 - ROUNDING_TOKENS, 0, 3_500)
    assert buckets.payable_at(500, 0, 3_500) == 3_500 + 2 * ROUNDING_TOKENS - ROUNDING_TOKENS
    buckets.make_room(call(2_500), OK, 80_000)
    assert buckets.spare(0, 80_000) == (60_000, 600), "nothing has been missing for long"


def test_a_window_keeps_nothing_for_room_since_that_would_be_lost() -> None:
    limit = counted()
    for now_ms in (1_000, 2_000, 3_000):
        limit.buckets.record_missing(10_000, SENT_MS[-1] + now_ms)
    assert limit.buckets.missing.total == 30_000
    now_ms = SENT_MS[-1] + 3_000
    before = limit.buckets.levels(now_ms), limit.buckets.payable_at(56_000 - 8 * ROUNDING_TOKENS, 0, now_ms)
    limit.buckets.make_room(call(SENT_MS[-1]), OK, now_ms)
    limit.buckets.make_room(call(SENT_MS[-1]), REFUSED, now_ms)
    after = limit.buckets.levels(now_ms), limit.buckets.payable_at(56_000 - 8 * ROUNDING_TOKENS, 0, now_ms)
    assert before == after
    assert before[1] == now_ms


def test_a_refusal_begins_to_make_room_only_where_headers_show_a_bucket() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
    buckets.make_room(call(0), REFUSED, 50)
    assert buckets._room is None
    limit = Limit()
    limit.show(limit.send(1_000, 0), 1_000, 1_000, period_ms=MINUTE_MS)
    limit.buckets.make_room(call(0), OK, 50)
    assert limit.buckets._room is None
    limit.buckets.make_room(call(0), REFUSED, 50)
    assert limit.buckets._room is not None
