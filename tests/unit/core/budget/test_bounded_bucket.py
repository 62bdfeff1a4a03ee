import pytest

from headrace.broker.core.budget.bounded_bucket import BoundedTokenBucket

MINUTE = 60_000
CAPACITY = 600


def between(low: int, high: int, now_ms: int = 0) -> BoundedTokenBucket:
    """Levels between so many tokens and so many."""
    interval = BoundedTokenBucket(CAPACITY, MINUTE, now_ms)
    interval.set(low * MINUTE, high * MINUTE)
    return interval


def tokens(interval: BoundedTokenBucket, now_ms: int) -> tuple[int, int]:
    interval.refill(now_ms)
    return interval.low // interval.period_ms, interval.high // interval.period_ms


def test_both_ends_refill_continuously_and_stop_at_the_capacity() -> None:
    interval = between(0, 300)
    assert [tokens(interval, now) for now in (0, 99, 100, 30_000, MINUTE)] == [
        (0, 300),
        (0, 300),
        (1, 301),
        (300, 600),
        (600, 600),
    ]


def test_one_third_of_a_token_a_millisecond_loses_nothing_to_rounding() -> None:
    interval = BoundedTokenBucket(20_000, MINUTE, 0)
    interval.set(0, 0)
    for now in range(1, 3_001):
        interval.refill(now)
    assert interval.low == interval.high == 1_000 * MINUTE


def test_no_end_is_believed_above_the_capacity() -> None:
    assert tokens(between(700, 800), 0) == (CAPACITY, CAPACITY)


def test_what_is_narrowed_keeps_the_narrower_of_both_ends() -> None:
    interval = between(100, 300)
    interval.narrow(50 * MINUTE, 400 * MINUTE)
    assert tokens(interval, 0) == (100, 300)
    interval.narrow(150 * MINUTE, 250 * MINUTE)
    assert tokens(interval, 0) == (150, 250)


def test_paying_takes_the_most_from_the_lower_end_and_the_least_from_the_upper() -> None:
    interval = between(100, 200)
    interval.pay(400, 50, 0)
    assert tokens(interval, 0) == (-300, 150)
    interval.pay(10, 10, 30_000)
    assert tokens(interval, 30_000) == (-10, 440)


@pytest.mark.parametrize(
    ("amount", "reserved", "at"),
    [
        (100, 0, 0),  # it is there
        (101, 0, 100),
        (100, 50, 5_000),
        (600, 0, 50_000),
        (590, 30, 50_000),  # above capacity - reserved: may use the reserve, once full
        (900, 0, 50_000),  # above the capacity: into debt, once full
    ],
)
def test_payable_at_is_the_first_whole_millisecond_at_which_the_lower_end_keeps_enough(
    amount: int, reserved: int, at: int
) -> None:
    interval = between(100, 200)
    assert interval.payable_at(amount, reserved, 0) == at
    assert interval.payable_at(amount, reserved, at) == at
    if at:
        assert tokens(interval, at)[0] - amount >= min(reserved, CAPACITY - amount)


def test_time_that_runs_backwards_stands_still() -> None:
    interval = between(0, 100, now_ms=1_000)
    assert tokens(interval, 500) == (0, 100)
    interval.pay(1, 1, 500)
    assert tokens(interval, 1_100) == (0, 100)
    assert interval.payable_at(1, 0, 500) == 1_200
    assert interval.payable_at(0, 0, 500) == 1_100


def test_another_limit_keeps_the_whole_tokens_that_are_there_as_far_as_they_fit() -> None:
    interval = between(-300, 300)
    interval.resize(1_200, 50)  # half a token later
    assert (interval.low, interval.high) == (-300 * MINUTE, 300 * MINUTE)
    assert tokens(interval, 100) == (-299, 301)
    interval.resize(200, 100)
    assert tokens(interval, 100) == (-200, 200), "no deeper than a full bucket is high"
    assert interval.capacity == 200


@pytest.mark.parametrize(("capacity", "period_ms"), [(0, MINUTE), (CAPACITY, 0)])
def test_a_bucket_that_could_never_pay_is_a_programming_error(capacity: int, period_ms: int) -> None:
    with pytest.raises(AssertionError):
        BoundedTokenBucket(capacity, period_ms, 0)
