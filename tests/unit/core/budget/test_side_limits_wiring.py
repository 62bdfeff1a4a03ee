"""Limits of input tokens and of images: the order in which their calls may be admitted, and what they bound."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_side_limits import DEAR, PER_MINUTE, Limit, carries, names, shows
from tests.unit.core.budgets import answer, failure

KIND = "input-tokens"
MIN_LEFT = 20  # tokens by which a level may be less certain: rounding, and a delay that is not known


class Calls:
    """Calls of a limit that has forgotten thousands of them."""

    def __init__(self) -> None:
        self.sends = SentCalls()
        for _ in range(2 * SENDS_MAX + 1):
            self.sends.append(0, DEAR, None, carries(0))
        assert self.sends.forgotten == SENDS_MAX
        self.sides = SideLimits(self.sends)

    def send(self, now_ms: int, oldest_open: int | None = None, *, prices: Prices | None = None) -> int:
        prices = carries(1_000) if prices is None else prices
        number = self.sends.append(now_ms, DEAR, oldest_open, prices)
        self.sides.record_send(prices, number, oldest_open, now_ms)
        return number

    def hear(self, number: int, sent_ms: int, now_ms: int, heard: Verdict) -> None:
        call = Reservation(number, DEAR, DEAR, False, sent_ms, 0, "", 0)
        self.sides.record_answer(call, heard, now_ms)

    def low(self, now_ms: int) -> int:
        (level,) = self.sides.levels(now_ms)
        return level.low


def full() -> Verdict:
    return shows(KIND, PER_MINUTE, PER_MINUTE)


@pytest.mark.parametrize("known", [True, False])
def test_a_call_that_had_ended_was_admitted_before_the_next_one(known: bool) -> None:  # noqa: FBT001
    """Otherwise what it took would be counted a second time, as if it had been admitted later."""
    calls = Calls()
    if known:
        calls.hear(calls.send(0, prices=carries(0)), 0, 500, full())
    calls.send(100_000)
    last = calls.send(100_010)
    calls.hear(last, 100_010, 102_000, shows(KIND, PER_MINUTE, 4_000))
    assert calls.low(102_000) >= 4_000 - MIN_LEFT


@pytest.mark.parametrize("known", [True, False])
def test_a_call_that_was_open_may_have_been_admitted_after_the_next_one(known: bool) -> None:  # noqa: FBT001
    """What is left would be believed too high by what it takes."""
    calls = Calls()
    if known:
        calls.hear(calls.send(0, prices=carries(0)), 0, 500, full())
    first = calls.send(100_000)
    last = calls.send(100_010, first)
    calls.hear(last, 100_010, 102_000, shows(KIND, PER_MINUTE, 5_000))
    assert 4_000 - MIN_LEFT <= calls.low(102_000) <= 4_000 + (102_000 - 100_010) // 10


@pytest.mark.parametrize("ends", [True, False])
def test_a_budget_says_which_calls_were_open(ends: bool) -> None:  # noqa: FBT001
    limit = Limit()
    limit.call(carries(0), 0, full())
    limit.budget.reserve(50, DEAR, 100_000, prices=carries(1_000))
    if ends:
        limit.budget.record_answer(50, 100_005, answer())
    limit.call(carries(1_000), 100_010, shows(KIND, PER_MINUTE, 5_000))
    assert (limit.left(100_510) >= 5_000 - MIN_LEFT) is ends
    assert limit.left(100_510) >= 4_000 - MIN_LEFT


def test_what_it_bounds_is_told_in_tokens_of_calls_like_the_last_ones() -> None:
    """Ten times as many input tokens as tokens are counted, so its figures are ten times those of tokens."""
    limit = Limit()
    assert list(limit.budget.sides.bounds(carries(1_000), 0, 0)) == []
    limit.call(carries(10 * DEAR), 0, shows(KIND, PER_MINUTE, 3_000, "30s"))
    ((at_ms, bound, is_stated),) = limit.budget.sides.bounds(carries(10 * DEAR), 0, 500)
    assert (at_ms, is_stated) == (500, True)
    assert bound.per_minute == PER_MINUTE // 10
    assert bound.level == pytest.approx(300, abs=5)
    assert bound.needs_ms == 10 * DEAR * MINUTE_MS // PER_MINUTE, "its own units"
    ((at_ms, bound, _),) = limit.budget.sides.bounds(carries(10 * DEAR), PPM // 2, 500)
    assert at_ms == pytest.approx(500 + 10_000, abs=1_000), "the reserve"
    ((at_ms, _, _),) = limit.budget.sides.bounds(None, PPM, 500)
    assert at_ms == 500, "nothing is known of what it carries"


def test_what_carries_nothing_bounds_nothing() -> None:
    limit = Limit()
    limit.call(carries(0), 0, shows(KIND, PER_MINUTE, 3_000, "30s"))
    assert list(limit.budget.sides.bounds(carries(0), 0, 500)) == []


def test_longer_windows_of_it_are_told_with_what_the_call_and_a_mean_one_take() -> None:
    limit = Limit()
    for number, tokens in enumerate((700, 900, 1_100, 1_300)):
        left, mark_ms = (5_300, 4_400, 3_300, 2_000)[number], 50_000 - 10_000 * number
        limit.call(carries(tokens), 10_000 * number, shows(KIND, PER_MINUTE, left, f"{mark_ms}ms"))
    sides = limit.budget.sides
    found = [list(sides.windows(carries(50), least_ms)) for least_ms in (MINUTE_MS, DAY_MS)]
    assert [[(mirror.refill, *taken) for mirror, *taken in each] for each in found] == [[(Refill.FIXED, 50, 1_000)], []]
    assert [sides.any_window(least_ms) for least_ms in (MINUTE_MS, DAY_MS)] == [True, False]
    assert not list(sides.windows(carries(0), MINUTE_MS))
    assert not list(sides.windows(None, MINUTE_MS))

    def mean() -> int:
        ((_, _, tokens),) = sides.windows(carries(50), MINUTE_MS)
        return tokens

    limit.call(carries(500), 32_000, answer())
    assert mean() == 900
    limit.budget.reserve(50, DEAR, 33_000, prices=carries(300))
    assert mean() == 800
    limit.budget.record_answer(50, 33_500, failure(400))
    assert mean() == 750, "a call that is not charged takes nothing"
    limit.budget.reserve(51, DEAR, 34_000, prices=carries(250))
    assert mean() == 678
    limit.budget.record_answer(51, 34_500, names(KIND, used=5_900, requested=500))
    assert mean() == 2 * 4_500 // 7


def test_a_call_without_images_teaches_nothing_of_how_they_are_counted() -> None:
    limit = Limit()
    for number in range(2):  # the first makes the limit known
        limit.call(carries(300, images=0), 10_000 * number, names("input-images", limit=100, used=100, requested=3))
    assert limit.budget.sides.amount("input-images", carries(300, images=7)) == 7


def test_a_size_that_is_not_believed_sets_no_level() -> None:
    limit = Limit()
    for number in range(5):
        limit.call(carries(300), 1_000 * number, shows(KIND, 60_000, 50_000, "10s"))
    before = limit.left(6_000)
    limit.call(carries(300), 6_000, names(KIND, limit=5, used=5, requested=300))
    assert [level.capacity for level in limit.budget.sides.levels(6_600)] == [60_000]
    assert limit.left(6_600) >= before


def test_a_level_of_an_unknown_kind_is_not_inherited() -> None:
    limit = Limit()
    level = LevelBounds(LimitMetric.TOKENS, 5, 5, 10, MINUTE_MS, kind=KIND)
    limit.budget.sides.inherit((replace(level, kind="neurons"), level), 0)
    assert [each.counts for each in limit.budget.sides.levels(0)] == [KIND]
