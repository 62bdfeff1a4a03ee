"""Whatever is paid, whenever: the bucket agrees with fractions, and no rounding ever makes money."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.core.budget.bounded_bucket import BoundedTokenBucket
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.token_bucket import TokenBucket

STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 700)), max_size=30)


def units(bucket: TokenBucket, now_ms: int) -> int:
    """The exact level."""
    bucket.level(now_ms)
    return bucket._units


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(capacity=st.integers(1, 10**6), period_ms=st.integers(1, 86_400_000), steps=STEPS)
def test_a_bucket_is_exact_and_never_above_its_capacity(
    capacity: int, period_ms: int, steps: list[tuple[int, int]]
) -> None:
    bucket, level, now = TokenBucket(capacity, period_ms, capacity, 0), Fraction(capacity), 0
    for elapsed, amount in steps:
        now += elapsed
        level = min(Fraction(capacity), level + Fraction(elapsed * capacity, period_ms)) - amount
        level = max(Fraction(-capacity), level)  # no deeper than a full bucket is high
        bucket.pay(amount, now)
        assert units(bucket, now) == level * period_ms
        assert -capacity <= bucket.level(now) <= capacity


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    capacity=st.integers(1, 10**6), period_ms=st.integers(1, 86_400_000), reserved=st.integers(0, 10**6), steps=STEPS
)
def test_an_interval_is_two_buckets_that_are_paid_the_most_and_the_least(
    capacity: int, period_ms: int, reserved: int, steps: list[tuple[int, int]]
) -> None:
    interval, now = BoundedTokenBucket(capacity, period_ms, 0), 0
    low, high = TokenBucket(capacity, period_ms, capacity, 0), TokenBucket(capacity, period_ms, capacity, 0)
    for elapsed, amount in steps:
        now += elapsed
        assert interval.payable_at(amount, reserved, now) == low.payable_at(amount, reserved, now)
        interval.pay(amount, amount // 2, now)
        low.pay(amount, now)
        high.pay(amount // 2, now)
        assert (interval.low, interval.high) == (units(low, now), units(high, now))


@settings(deadline=None, max_examples=60)
@given(
    capacity=st.integers(1, 10**6),
    level=st.integers(-(10**6), 10**6),
    amount=st.integers(0, 2 * 10**6),
    reserved=st.integers(0, 10**6),
)
def test_payable_at_is_neither_early_nor_late(capacity: int, level: int, amount: int, reserved: int) -> None:
    bucket = TokenBucket(capacity, 60_000, level, 1_000)
    at = bucket.payable_at(amount, reserved, 1_000)
    wanted = min(amount + reserved, capacity) * 60_000
    early = TokenBucket(capacity, 60_000, level, 1_000)
    assert at == 1_000 or units(early, at - 1) < wanted
    assert units(bucket, at) >= wanted


@settings(deadline=None, max_examples=60)
@given(cap=st.integers(1, 2_000), charges=st.lists(st.integers(1, 700), max_size=40), gap=st.integers(0, 9_000))
def test_no_minute_ever_holds_more_than_the_cap(cap: int, charges: list[int], gap: int) -> None:
    window, now = SlidingSum(), 0
    paid: list[tuple[int, int]] = []
    for charge in charges:
        amount = min(charge, cap)
        now = window.payable_at(amount, cap, now)
        window.pay(amount, now)
        paid.append((now, amount))
        now += gap % (charge + 1)
    for start, _ in paid:
        assert sum(amount for at, amount in paid if start <= at <= start + 60_000) <= cap
