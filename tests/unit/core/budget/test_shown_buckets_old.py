"""Levels in headers that are older than the calls whose answers have them."""

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.budget.bucket_mirror import Mirror
from tests.unit.core.shown import CAPACITY, Limit

LOOKED_UP_MS = 3_000
SPENT = 1_000
SOON_MS = 100


def spend(limit: Limit, calls: int, *, period_ms: int = MINUTE_MS, metric: LimitMetric = LimitMetric.TOKENS) -> int:
    """Send calls ten times a second to a bucket that is looked up every three seconds; return what is left of it."""
    level, looked_up, until_ms, units = CAPACITY, 0, 0, SPENT if metric is LimitMetric.TOKENS else 1
    for call in range(calls):
        now_ms = SOON_MS * call
        order = limit.send(SPENT, now_ms)
        level = min(CAPACITY, level + CAPACITY * SOON_MS // period_ms) - units
        if now_ms >= until_ms:
            looked_up, until_ms = level, now_ms + LOOKED_UP_MS
        full_in_ms = (CAPACITY - looked_up) * period_ms // CAPACITY
        limit.buckets.observe_headers(Reading(metric, CAPACITY, looked_up, period_ms, full_in_ms), order)
    return level


def test_calls_after_the_level_was_looked_up_are_not_believed_to_be_in_it() -> None:
    """Before: each answer of three seconds restored what they had spent, up to a whole window, and a wave was sent."""
    limit = Limit()
    level = spend(limit, 40)
    mirror = limit.only()
    assert isinstance(mirror, Mirror)
    assert 2_000 <= limit.buckets.age_ms < LOOKED_UP_MS
    assert mirror.low(4_000) <= level <= mirror.high(4_000)


def test_levels_that_are_looked_up_for_each_call_are_never_old() -> None:
    limit, level = Limit(), CAPACITY
    for call in range(100):
        level += SOON_MS - SPENT if level < CAPACITY else -SPENT
        if level <= 0:
            break
        limit.show(limit.send(SPENT, SOON_MS * call), CAPACITY - level, CAPACITY - level, period_ms=MINUTE_MS)
    assert limit.buckets.age_ms == 0


def test_neither_requests_nor_limits_that_are_longer_than_a_minute_tell_an_age() -> None:
    """What is sent in some seconds is next to nothing of an hour, unless its period is mistaken."""
    limit = Limit()
    spend(limit, 40, period_ms=HOUR_MS)
    assert limit.buckets.age_ms == 0
    spend(limit, 40, metric=LimitMetric.REQUESTS)
    assert limit.buckets.age_ms == 0


def test_nor_does_a_bucket_whose_period_no_answer_has_shown() -> None:
    """Before: what was sent at once was held against a minute that was only assumed, and no call went for two."""
    limit = Limit()
    for call in range(40):
        limit.show(limit.send(SPENT, SOON_MS * call), SPENT, None)
    assert limit.buckets.age_ms == 0


def test_a_window_that_one_level_computed_to_a_day_is_taken_for_a_minutes_bucket() -> None:
    """Before: in debt, it let nothing through for minutes (seed 92047: 22 % of the ideal, 98 now)."""
    limit = Limit()
    for used, full_in_ms, period_ms in ((35, 50_400, DAY_MS), (21_000, 46_200, 132_000), (52_000, 42_500, 49_000)):
        limit.show(limit.send(25_000, 0), used, full_in_ms, CAPACITY, period_ms)
        assert limit.sizes() == [(CAPACITY, DAY_MS if period_ms == DAY_MS else MINUTE_MS)]


def test_it_is_the_operators_bucket_of_a_minute_if_there_is_one() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.show(limit.send(25_000, 0), 35, 50_400, CAPACITY, DAY_MS)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (CAPACITY, DAY_MS)]
    limit.show(limit.send(25_000, 0), 21_000, 46_200, CAPACITY, 132_000)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
