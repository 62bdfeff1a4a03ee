"""Limits of input tokens and of images where servers say odd things, and across a change of leader."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS, AdmissionDelay
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.pricing.laws import Prices
from tests.unit.core.budget.test_side_limits import DEAR, PER_MINUTE, Limit, carries, names, shows
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, full, refusal
from tests.unit.core.specimens import verdict

KIND = "input-tokens"
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


@pytest.mark.slow
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


def test_a_refused_call_disproves_no_size() -> None:
    limit = warmed()
    limit.call(carries(300), 6_000, names(KIND, limit=400, used=400, requested=300))
    limit.call(carries(500), 100_000, verdict(Meaning.REJECTED))
    assert [level.capacity for level in limit.budget.sides.levels(100_600)] == [400]


def test_an_inherited_size_is_believed_rather_than_one_that_jumps() -> None:
    limit = Limit()
    limit.budget.sides.inherit((LevelBounds(LimitMetric.TOKENS, 0, 0, 60_000, MINUTE_MS, kind=KIND),), 0)
    limit.call(carries(300), 1_000, names(KIND, limit=1_000, used=1_000, requested=300))
    assert [level.capacity for level in limit.budget.sides.levels(2_000)] == [60_000]


@pytest.mark.parametrize(("requested", "amount"), [(1_020, 1_000), (1_021, 1_021), (979, 979)])
def test_a_small_difference_prices_nothing_again(requested: int, amount: int) -> None:
    limit = Limit()
    for number in range(2):  # the first makes the limit known
        limit.call(carries(1_000), 10_000 * number, names(KIND, used=5_900, requested=requested))
    assert limit.budget.sides.amount(KIND, carries(1_000)) == amount


@pytest.mark.parametrize(("carried", "requested", "amount"), [(1_000, 0, 1_000), (10**7, 1, 10)])
def test_no_charge_that_a_refusal_names_makes_input_free(carried: int, requested: int, amount: int) -> None:
    limit = Limit()
    for number in range(2):
        limit.call(carries(carried), 10_000 * number, names(KIND, limit=10**8, used=10**8, requested=requested))
    assert limit.budget.sides.amount(KIND, carries(carried)) == amount


def test_once_it_is_known_how_a_server_counts_calls_of_before_count_so_too() -> None:
    limit = Limit()
    for number in range(5):
        limit.call(carries(1_000), 10 * number, shows(KIND, PER_MINUTE, PER_MINUTE))
    assert limit.budget.flow_ms(10 * DEAR) == 10 * 1_000 * MINUTE_MS // PER_MINUTE
    limit.call(carries(1_000), 100, names(KIND, used=5_900, requested=500))
    assert limit.budget.flow_ms(10 * DEAR) == 10 * 500 * MINUTE_MS // PER_MINUTE


def delay_of(limit: Limit) -> AdmissionDelay:
    return limit.budget.sides._limits[KIND]._delay


def agreed() -> Limit:
    """Answers that agree with the mirror have made the delay shorter; each call takes 100 of a full bucket."""
    limit = Limit()
    for number in range(20):
        limit.call(carries(100), 10_000 * number, shows(KIND, PER_MINUTE, PER_MINUTE - 100, "1s"))
    return limit


def test_answers_that_agree_make_the_delay_shorter_and_one_that_shows_less_longer() -> None:
    limit = agreed()
    shorter_ms = delay_of(limit).ms
    assert shorter_ms < DELAY_MAX_MS
    limit.call(carries(100), 200_000, shows(KIND, PER_MINUTE, PER_MINUTE - 150, "1500ms"))
    assert delay_of(limit).ms > shorter_ms


def test_what_a_server_counts_more_than_was_believed_is_no_delay() -> None:
    limit = agreed()
    shorter_ms = delay_of(limit).ms
    limit.call(carries(1_000), 200_000, answer())
    limit.call(carries(1_000), 200_100, names(KIND, used=4_500, requested=3_000))
    assert limit.left(200_600) == pytest.approx(1_500 + 50, abs=60)
    assert delay_of(limit).ms == shorter_ms


def test_what_a_delay_explains_depends_on_the_period_of_the_bucket() -> None:
    """1,500 tokens flow in within a second here: a longer delay explains that, and no other client need to."""
    limit = Limit()
    for number in range(20):
        refused = names(KIND, limit=15_000, used=1_500 * number, requested=300, per="10 sec")
        heard = refused if number < 2 else shows(KIND, 15_000, 14_700)
        limit.call(carries(300), 20_000 * number, heard)
    assert [level.period_ms for level in limit.budget.sides.levels(400_000)] == [10_000]
    assert delay_of(limit).ms == DELAY_MAX_MS
