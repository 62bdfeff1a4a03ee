"""When what was doubted is gone: other mirrors have taken its place."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, REQUESTS, TOKENS
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.doubted_mirrors import DoubtedMirrors
from headrace.broker.core.budget.sent_calls import SentCalls
from tests.unit.core.shown import slid


def test_mirrors_are_replaced_by_those_of_another_kind_and_that_is_told_once() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(TOKENS, 60_000, MINUTE_MS, 0)
    doubted = DoubtedMirrors(buckets)
    assert not doubted.are_replaced()
    buckets.slide(MINUTE_MS, 0, slides=True)
    assert doubted.are_replaced()
    assert not doubted.are_replaced()


def test_a_window_that_no_header_shows_was_told_by_refusals() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(TOKENS, 60_000, MINUTE_MS, 0)
    doubted = DoubtedMirrors(buckets)
    assert not doubted.explained
    buckets.slide(MINUTE_MS, 0, slides=True)
    assert doubted.explained
    buckets.believe(REQUESTS, 900, MINUTE_MS, 0)
    anew = DoubtedMirrors(buckets)
    assert not anew.explained, "it is doubted itself"
    assert not DoubtedMirrors(slid().buckets).explained, "headers show it"


def test_another_bucket_of_the_same_kind_replaces_none() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(TOKENS, 60_000, MINUTE_MS, 0)
    doubted = DoubtedMirrors(buckets)
    buckets.believe(TOKENS, 900_000, 60 * MINUTE_MS, 0)
    assert not doubted.are_replaced()
    buckets.believe(REQUESTS, 900, MINUTE_MS, 0)
    assert doubted.are_replaced()
