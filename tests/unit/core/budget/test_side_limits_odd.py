"""Limits of input tokens and of images where servers say odd things, and across a change of leader."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.pricing.laws import Prices
from tests.unit.core.budget.test_side_limits import DEAR, PER_MINUTE, Limit, carries, names, shows
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, full, refusal
from tests.unit.core.specimens import verdict

FINE = answer((60_000, 59_000, "1s"))


def warmed() -> Limit:
    """Five calls of 300 input tokens have been admitted."""
    limit = Limit()
    for number in range(5):
        limit.call(carries(300), 1_000 * number, FINE)
    return limit


@pytest.mark.parametrize("per", ["day", "31 days", "min"])
def test_one_absurd_size_holds_no_call_back(per: str) -> None:
    """Before: after one refusal that named five input tokens a day, the next call waited for a day."""
    limit = warmed()
    limit.call(carries(300), 6_000, names("input-tokens", limit=5, used=5, requested=300, per=per))
    assert limit.at(carries(300), 8_000) == 8_000


def test_a_size_that_an_admitted_call_exceeds_is_dropped() -> None:
    limit = warmed()
    limit.call(carries(300), 6_000, names("input-tokens", limit=400, used=400, requested=300))
    assert limit.at(carries(200), 8_000) != 8_000
    limit.call(carries(500), 100_000, FINE)
    assert limit.at(carries(200), 100_600) == 100_600


def test_headers_that_jump_are_not_believed_at_once() -> None:
    limit = warmed()
    limit.call(carries(300), 10_000, shows("input-tokens", 60_000, 50_000, "10s"))
    limit.call(carries(300), 11_000, shows("input-tokens", 10**12, 1, "10s"))
    assert [level.capacity for level in limit.budget.sides.levels(12_000)] == [60_000]


def test_images_are_counted_exactly() -> None:
    """Before: each was paid with two more, the rounding of tokens; of 19 that were left, six were sent."""
    limit, prices, sent = Limit(), carries(0, images=1), 0
    limit.call(prices, 0, shows("input-images", 100, 19, "48s"))
    while limit.at(prices, 500) == 500 and sent < 50:
        limit.calls += 1
        limit.budget.reserve(limit.calls, DEAR, 500, prices=prices)
        sent += 1
    assert sent == 19
    (level,) = limit.budget.sides.levels(500)
    assert (level.capacity, level.counts) == (100, "input-images")


@pytest.mark.parametrize("kind", ["input-tokens", "input-images"])
def test_a_successor_goes_on_from_the_levels_that_were_left(kind: str) -> None:
    """Before: it knew of no such limit, and its first wave was refused."""
    limit, prices = Limit(), carries(1_000, images=1_000)
    limit.call(prices, 0, shows(kind, PER_MINUTE, 500, "55s"))
    left = limit.budget.checkpoint(500)
    assert [(level.counts, level.capacity) for level in left.sides] == [(kind, PER_MINUTE)]
    successor = Limit(Budget(SETTINGS, 500, left.aged(left.at_ms)))
    at_ms = successor.at(prices, 500)
    assert at_ms is not None
    assert 5_000 <= at_ms <= 7_000


def test_a_wait_that_such_a_limit_explains_is_kept_whole() -> None:
    """Before: the refused call was given back first, so nothing seemed to hold it, and ten seconds were kept of 30."""
    limit = warmed()
    heard = replace(names("input-tokens", limit=60_000, used=59_900, requested=30_000), wait_ms=30_000)
    limit.call(carries(30_000), 6_000, heard)
    assert limit.budget.paused_until_ms == 6_500 + 30_000


def test_a_projects_limit_that_a_refusal_names_is_not_taken_for_the_accounts() -> None:
    limit = warmed()
    named = names("input-tokens", used=5_900, requested=300)
    assert named.side_limit is not None
    limit.call(carries(300), 6_000, replace(named, side_limit=replace(named.side_limit, project=True)))
    assert not limit.budget.sides


def test_only_what_the_operator_states_may_have_meant_another_limit() -> None:
    """Two limits of one rate, of tokens and of input, both named by refusals, are both paid."""
    limit = Limit(Budget(UNKNOWN, 0, None))
    limit.call(carries(300), 0, refusal(used=59_990, requested=100))
    limit.call(carries(300), 30_000, names("input-tokens", limit=60_000, used=59_900, requested=300))
    assert len(limit.budget.levels(31_000)) == 1
    assert len(limit.budget.sides.levels(31_000)) == 1


@pytest.mark.parametrize("meaning", [Meaning.REJECTED, Meaning.RATE_LIMITED])
def test_what_was_refused_comes_back_once(meaning: Meaning) -> None:
    limit = Limit()
    limit.call(carries(300), 0, names("input-tokens", used=3_000, requested=300))
    limit.call(carries(300), 40_000, FINE)
    before = limit.left(50_000)
    limit.call(carries(300), 50_000, verdict(meaning))
    assert limit.left(51_000) <= before + 150


def test_a_call_without_prices_takes_nothing_of_it() -> None:
    limit = Limit()
    limit.call(carries(300), 0, names("input-tokens", used=3_000, requested=300))
    before = limit.left(30_000)
    limit.budget.reserve(50, DEAR, 30_000)
    assert limit.left(30_000) == before
    assert limit.budget.payable_at(DEAR, 30_200) == 30_200


def test_thousands_of_calls_leave_numbers_in_step() -> None:
    limit, wanted = Limit(full(replace(SETTINGS, tokens=10**9), replace(KEY, capacity=10**9, low=10**9, high=10**9))), 0
    limit.call(carries(10), 0, names("input-tokens", limit=10**7, used=0, requested=10))
    now_ms = 1_000
    for number in range(20_000):
        now_ms = limit.at(carries(number % 50), now_ms + 1) or now_ms
        limit.calls += 1
        limit.budget.reserve(limit.calls, DEAR, now_ms, prices=carries(number % 50))
        limit.budget.record_answer(limit.calls, now_ms, verdict(Meaning.REJECTED) if number % 7 == 0 else FINE)
        wanted += number % 50 if number % 7 else 0
    (level,) = limit.budget.sides.levels(now_ms)
    assert level.high >= min(10**7, 10**7 - wanted)


def test_the_pace_of_a_days_limit_is_told() -> None:
    limit = warmed()
    limit.call(carries(300), 6_000, names("input-tokens", limit=3_000, used=2_900, requested=300, per="day"))
    assert limit.budget.pace_ms(DEAR) == pytest.approx(DAY_MS // 10, rel=0.1)
    assert limit.budget.flow_ms(DEAR) > MINUTE_MS


def test_uncached_input_is_counted_like_input() -> None:
    limit = warmed()
    named = names("input-tokens", used=5_900, requested=300)
    assert named.side_limit is not None
    uncached = replace(named, side_limit=replace(named.side_limit, metric="uncached-input-tokens"))
    limit.call(carries(300), 6_000, uncached)
    assert limit.at(carries(300), 6_600) != 6_600
    assert limit.at(Prices.flat(DEAR), 6_600) == limit.budget.paused_until_ms
