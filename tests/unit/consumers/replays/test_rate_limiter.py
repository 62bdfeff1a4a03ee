"""A rate that holds over any ten seconds, in virtual time."""

import random
from collections.abc import Callable

import pytest

from headrace.consumers.replays.rate_limiter import RateLimiter

SECONDS = 120.0
RATES = (0.5, 1, 2, 3, 5, 7.3, 9.9, 10, 14, 49, 50, 199, 500, 5_000)


def paced(per_s: float, takes_s: Callable[[], float]) -> list[tuple[float, int]]:
    """When how many went, if each batch takes so long beside its waiting."""
    now, gone = 1_000.0, []
    limiter = RateLimiter(per_s, now)
    while now < 1_000 + SECONDS:
        now += limiter.wait_s(now)
        limiter.spend(limiter.batch_max, now)
        gone.append((now, limiter.batch_max))
        now += takes_s()
    return gone


def most_in_ten_seconds(gone: list[tuple[float, int]]) -> int:
    """The fullest window that begins with a batch."""
    most, first, inside = 0, 0, 0
    for at, count in gone:
        inside += count
        while gone[first][0] <= at - 10 + 1e-9:
            inside -= gone[first][1]
            first += 1
        most = max(most, inside)
    return most


def cap(per_s: float) -> float:
    return max(10 * per_s * 1.05, 10 * per_s + 1)


@pytest.mark.parametrize("per_s", RATES)
def test_a_steady_rate_is_kept_to_the_record(per_s: float) -> None:
    gone = paced(per_s, lambda: 0.0)
    assert sum(count for _, count in gone) == pytest.approx(per_s * SECONDS, rel=0.001, abs=2 * gone[0][1])
    assert most_in_ten_seconds(gone) <= cap(per_s)


@pytest.mark.parametrize("per_s", RATES)
def test_no_delays_make_any_ten_seconds_fuller(per_s: float) -> None:
    dice = random.Random(7)
    gone = paced(per_s, lambda: dice.choice((0.0, 0.01, 0.15, 0.39, 3.0, 25.0)))
    assert most_in_ten_seconds(gone) <= cap(per_s)


@pytest.mark.parametrize("per_s", [10, 50, 500])
def test_small_delays_cost_nothing(per_s: float) -> None:
    dice = random.Random(7)
    gone = paced(per_s, lambda: dice.uniform(0, 0.19))
    assert sum(count for _, count in gone) == pytest.approx(per_s * SECONDS, rel=0.01)


def test_after_a_pause_there_is_no_burst() -> None:
    limiter = RateLimiter(50, 0.0)
    limiter.spend(10, 0.0)
    assert limiter.wait_s(3_600) == 0
    limiter.spend(10, 3_600)
    assert limiter.wait_s(3_600) == pytest.approx(0.0)
    limiter.spend(10, 3_600)
    assert limiter.wait_s(3_600) == pytest.approx(0.2)


def test_a_batch_is_a_fifth_of_a_second_and_bounded() -> None:
    assert [RateLimiter(rate, 0.0).batch_max for rate in (0.1, 4, 5, 14, 50, 1_000, 100_000)] == [
        1,
        1,
        1,
        2,
        10,
        200,
        200,
    ]
