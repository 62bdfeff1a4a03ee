from random import Random

import pytest

from headrace.broker.core.budget.recent_spending import (
    JITTER_MS,
    LARGEST_AMONG,
    SPANS_MS,
    RecentSpending,
    Sums,
)
from headrace.broker.core.units import PPM

MINUTE_SPAN = len(SPANS_MS) - 1


class Brute:
    """Every call ever sent, summed from the start each time."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []  # when, tokens, calls

    def sums(self, now_ms: int) -> Sums:
        within = [[call for call in self.calls if call[0] > now_ms - span_ms - JITTER_MS] for span_ms in SPANS_MS]
        return Sums(
            tuple(sum(tokens for _, tokens, _ in calls) for calls in within),
            tuple(sum(count for _, _, count in calls) for calls in within),
        )


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_are_those_of_the_calls_within_each_span(seed: int) -> None:
    chance, spending, brute, now_ms = Random(seed), RecentSpending(), Brute(), 0
    numbers: list[int] = []
    for _ in range(120):
        now_ms += chance.choice((0, 1, 30, 250, 280, 1_030, 9_000, 70_000 if chance.random() < 0.2 else 5))
        spending.settle(now_ms)
        assert spending.sums() == brute.sums(now_ms)
        what = chance.random()
        if what < 0.7:
            tokens = chance.choice((0, 1, 700, 10**9))
            numbers.append(spending.add(tokens, now_ms))
            brute.calls.append((now_ms, tokens, 1))
        elif what < 0.95 and numbers:
            number = chance.choice(numbers[-30:])
            spending.strike(number)
            brute.calls[number] = (brute.calls[number][0], 0, 0)
        else:
            ppm = chance.choice((500_000, 1_370_000, 3 * PPM))
            spending.reprice(ppm)
            brute.calls = [(at_ms, tokens * ppm // PPM, count) for at_ms, tokens, count in brute.calls]
        assert spending.sums() == brute.sums(now_ms)


@pytest.mark.parametrize("seed", range(20))
def test_the_instant_that_is_named_is_the_first_at_which_the_sum_has_fallen_by_so_much(seed: int) -> None:
    chance, spending, brute, now_ms = Random(seed), RecentSpending(), Brute(), 0
    for _ in range(40):
        now_ms += chance.choice((0, 3, 100, 2_000))
        tokens = chance.randint(1, 1_000)
        spending.add(tokens, now_ms)
        brute.calls.append((now_ms, tokens, 1))
    spending.settle(now_ms)
    for span in range(len(SPANS_MS)):
        for of_calls in (False, True):
            before = brute.sums(now_ms)[of_calls][span]
            amount = chance.randint(1, before)
            at_ms = spending.falls_by_at(span, amount, of_calls=of_calls)
            assert at_ms is not None
            assert before - brute.sums(at_ms)[of_calls][span] >= amount
            assert before - brute.sums(at_ms - 1)[of_calls][span] < amount
            assert spending.falls_by_at(span, before + 1, of_calls=of_calls) is None


def test_a_server_that_counts_a_call_some_milliseconds_late_has_dropped_it_when_it_has_left_the_sum() -> None:
    spending = RecentSpending()
    spending.add(500, 0)
    spending.settle(SPANS_MS[0] + JITTER_MS - 1)
    assert spending.sums().tokens[0] == 500
    spending.settle(SPANS_MS[0] + JITTER_MS)
    assert spending.sums().tokens[:2] == (0, 500)


def test_the_mean_is_that_of_the_calls_of_the_last_minute_if_these_are_more_than_a_few() -> None:
    spending = RecentSpending()
    for number in range(21):
        assert spending.tokens_mean() is None
        spending.add(100 * number, 0)
    assert spending.tokens_mean() == 1_000
    spending.settle(61_000)
    assert spending.tokens_mean() is None


def test_the_largest_is_that_of_the_last_calls_without_the_refused_ones() -> None:
    spending = RecentSpending()
    assert spending.largest() == 0
    spending.add(5_000, 0)
    for _ in range(10):
        spending.add(100, 0)
    refused = spending.add(9_000, 0)
    spending.strike(refused)
    assert spending.largest() == 5_000
    for _ in range(LARGEST_AMONG - 12):
        spending.add(100, 0)
    assert spending.largest() == 5_000
    spending.add(100, 0)
    assert spending.largest() == 100


def test_the_last_call_is_known_though_it_has_left_every_span() -> None:
    spending = RecentSpending()
    assert spending.last_sent_ms() is None
    spending.add(1, 7)
    spending.settle(10**9)
    assert spending.last_sent_ms() == 7
    assert spending.sums() == RecentSpending().sums()


def test_a_call_that_is_struck_twice_is_taken_back_once() -> None:
    spending = RecentSpending()
    spending.add(100, 0)
    number = spending.add(300, 0)
    spending.strike(number)
    spending.strike(number)
    assert spending.sums().tokens[0] == 100
    assert spending.sums().calls[0] == 1


def test_calls_that_have_left_every_span_are_forgotten_and_the_numbers_of_others_stay() -> None:
    spending = RecentSpending()
    for _ in range(5_000):
        old = spending.add(1, 0)
    young = spending.add(50, 60_000)
    spending.settle(60_000 + JITTER_MS)
    assert len(spending._at_ms) == 1
    spending.strike(old)
    assert spending.sums().tokens[MINUTE_SPAN] == 50
    assert spending.add(7, 60_100) == young + 1
    spending.strike(young)
    assert spending.sums().tokens[MINUTE_SPAN] == 7
    assert spending.last_sent_ms() == 60_100


def test_sums_of_calls_with_other_prices_keep_their_counts() -> None:
    assert Sums((10, 20), (1, 2)).repriced(1_500_000) == Sums((15, 30), (1, 2))
