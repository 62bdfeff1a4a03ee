import pytest

from headrace.broker.core.budget.token_bucket import TokenBucket

MINUTE = 60_000


def test_a_bucket_refills_continuously_and_stops_at_its_capacity() -> None:
    bucket = TokenBucket(600, MINUTE, 0, 0)
    assert [bucket.level(now) for now in (0, 99, 100, 150, 30_000, MINUTE, 10 * MINUTE)] == [0, 0, 1, 1, 300, 600, 600]


def test_a_level_above_the_capacity_is_the_capacity() -> None:
    bucket = TokenBucket(600, MINUTE, 700, 0)
    assert bucket.level(0) == 600
    bucket.set_level(5_000, 0)
    assert bucket.level(0) == 600


def test_one_third_of_a_token_a_millisecond_loses_nothing_to_rounding() -> None:
    bucket = TokenBucket(20_000, MINUTE, 0, 0)
    for now in range(1, 3_001):
        bucket.level(now)
    assert bucket.level(3_000) == 1_000
    assert bucket.payable_at(1_001, 0, 3_000) == 3_003


def test_whoever_asks_or_pays_or_sets_finds_what_has_flowed_in_until_then() -> None:
    bucket = TokenBucket(600, MINUTE, 0, 0)
    assert bucket.payable_at(1, 0, 100) == 100
    bucket.pay(1, 200)
    assert bucket.level(200) == 1
    bucket.set_level(7, 300)
    assert (bucket.level(300), bucket.level(400)) == (7, 8)


def test_spending_more_than_there_is_leaves_a_debt_that_refills() -> None:
    bucket = TokenBucket(600, MINUTE, 100, 0)
    bucket.pay(400, 0)
    assert bucket.level(0) == -300
    assert bucket.level(30_000) == 0


def test_a_negative_payment_gives_back_but_never_above_the_capacity() -> None:
    bucket = TokenBucket(600, MINUTE, 550, 0)
    bucket.pay(-100, 0)
    assert bucket.level(0) == 600


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
def test_payable_at_is_the_first_whole_millisecond_that_leaves_what_is_kept(
    amount: int, reserved: int, at: int
) -> None:
    bucket = TokenBucket(600, MINUTE, 100, 0)
    assert bucket.payable_at(amount, reserved, 0) == at
    if at:
        assert bucket.level(at - 1) - amount < min(reserved, 600 - amount)
    assert bucket.level(at) - amount >= min(reserved, 600 - amount)


def test_time_that_runs_backwards_stands_still() -> None:
    bucket = TokenBucket(600, MINUTE, 0, 1_000)
    assert bucket.level(500) == 0
    bucket.pay(1, 500)
    assert bucket.level(1_100) == 0
    assert bucket.payable_at(1, 0, 500) == 1_200


def test_another_limit_keeps_the_tokens_that_are_there_as_far_as_they_fit() -> None:
    bucket = TokenBucket(600, MINUTE, 300, 0)
    bucket.resize(1_200, 1_000, 0)
    assert (bucket.level(0), bucket.level(1)) == (300, 301)
    bucket.resize(200, MINUTE, 1)
    assert (bucket.level(1), bucket.capacity, bucket.period_ms) == (200, 200, MINUTE)


@pytest.mark.parametrize(("capacity", "period_ms"), [(0, MINUTE), (600, 0)])
def test_a_bucket_that_could_never_pay_is_a_programming_error(capacity: int, period_ms: int) -> None:
    with pytest.raises(AssertionError):
        TokenBucket(capacity, period_ms, 0, 0)
