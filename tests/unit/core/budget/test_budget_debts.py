"""No call puts a limit into a debt that would be waited for without a bound; and what was never taken comes back."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.budget.bounded_bucket import BoundedTokenBucket
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import PRICE_MAX, Prices
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import KEY, SETTINGS, answer, failure, full, low, refusal

HUGE = Prices("chat.completions", (Law.DOCUMENTED, Law.CHAT_2025), (PRICE_MAX, 40))
CAPACITY = 60_000


def bad_request(**headers: str) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(Answer(400, named, "invalid_value", "invalid_request_error", "max_tokens", "max_tokens is too large"))


def sent(budget: Budget, attempt: int, charge: int = PRICE_MAX, now_ms: int = 0) -> None:
    assert budget.payable_at(charge, now_ms) == now_ms
    budget.reserve(attempt, charge, now_ms, prices=HUGE if charge == PRICE_MAX else None)


def test_one_call_takes_a_full_bucket_and_as_much_debt_at_most() -> None:
    budget = full()
    sent(budget, 1)
    assert budget.paid(1) == 2 * CAPACITY
    assert low(budget) == -CAPACITY
    assert budget.payable_at(400, 0) == MINUTE_MS + 402, "a minute for the debt, and what the call itself needs"


@pytest.mark.parametrize("verdict", [bad_request(), failure(404), failure(401), failure(403)])
def test_a_call_that_was_turned_away_without_a_word_of_limits_has_taken_nothing(verdict: Verdict) -> None:
    budget = full()
    sent(budget, 1)
    budget.record_answer(1, 2_000, verdict)
    assert low(budget, 2_000) == CAPACITY
    assert budget.charged_last_minute(2_000) == 0
    assert budget.learned_limits().tolerated_burst_tokens == CAPACITY, "nor does it say what the server bears"
    assert budget.payable_at(400, 2_000) == 2_000


def test_where_a_refusal_shows_the_limit_it_is_believed_and_nothing_is_given_back() -> None:
    """OpenAI charges a 400 like an answer (facts/openai.md §2)."""
    budget = full()
    sent(budget, 1, 400)
    shown = {"x_ratelimit_limit_tokens": "60000", "x_ratelimit_remaining_tokens": "59600"}
    budget.record_answer(1, 100, bad_request(**shown, x_ratelimit_reset_tokens="400ms"))
    assert low(budget, 100) <= 59_700
    assert budget.charged_last_minute(100) == 400


@pytest.mark.parametrize("verdict", [failure(500), failure(408)])
def test_a_call_of_which_nobody_knows_keeps_what_it_paid(verdict: Verdict) -> None:
    budget = full()
    sent(budget, 1, 400)
    budget.record_answer(1, 1, verdict)
    assert budget.charged_last_minute(1) == 400


def test_the_lower_end_waits_for_an_answer_where_answers_tell() -> None:
    """One that came in between may have given it back already: the server had turned the call away by then."""
    budget = full()
    sent(budget, 1, 1_000)
    sent(budget, 2, 400)
    budget.record_answer(2, 5_000, answer((CAPACITY, 59_600, "400ms")))
    before = low(budget, 5_000)
    budget.record_answer(1, 5_000, bad_request())
    assert low(budget, 5_000) == before
    sent(budget, 3, 400, 5_000)
    budget.record_answer(3, 10_000, answer((CAPACITY, 59_600, "400ms")))
    assert low(budget, 10_000) >= 59_600


def test_calls_one_after_the_other_never_make_the_debt_deeper_than_a_full_bucket() -> None:
    budget, now = full(), 0
    for attempt in range(20):
        at = budget.payable_at(PRICE_MAX, now)
        assert at is not None
        assert at <= now + 3 * MINUTE_MS
        now = at
        budget.reserve(attempt, PRICE_MAX, now, prices=HUGE)
        budget.record_answer(attempt, now + 1, failure(500))
        assert low(budget, now) >= -CAPACITY


def test_what_the_server_itself_states_is_bounded_too() -> None:
    budget = full()
    sent(budget, 1, 400)
    budget.record_answer(1, 1, refusal(used=CAPACITY, requested=10**15))
    at = budget.payable_at(10**15, 1, stated=True)
    assert at is not None
    budget.reserve(2, 10**15, at, stated=True)
    assert budget.paid(2) == 2 * CAPACITY
    assert low(budget, at) >= -CAPACITY


def test_a_law_that_is_believed_later_prices_no_former_call_without_a_bound() -> None:
    budget = Budget(SETTINGS, 0, None)
    budget.reserve(1, 40, 0, prices=HUGE)
    for attempt in range(2, 12):
        now = attempt * 120_000
        budget.reserve(attempt, 40, now, prices=HUGE)
        budget.record_answer(attempt, now + 500, answer((CAPACITY, 0, "1m0s")))
        assert max(budget._sends.amounts[LimitMetric.TOKENS]) <= 2 * CAPACITY
        assert all(abs(level.low) <= CAPACITY for level in budget.levels(now + 500))


@pytest.mark.parametrize("level", [-999_743_299, -(10**30), 10**30])
def test_a_checkpoint_of_a_former_release_heals_within_two_periods(level: int) -> None:
    left = LevelBounds(LimitMetric.TOKENS, level, CAPACITY, CAPACITY, MINUTE_MS)
    budget = Budget(SETTINGS, 0, Checkpoint(SETTINGS.name, 0, (left,), 0, 0, PPM))
    assert -CAPACITY <= low(budget) <= CAPACITY
    at = budget.payable_at(400, 0)
    assert at is not None
    assert at <= 2 * MINUTE_MS


def test_what_is_handed_on_is_bounded() -> None:
    budget = full()
    sent(budget, 1)
    (handed,) = budget.checkpoint(0).levels
    assert handed.low == -CAPACITY
    assert handed.low <= handed.high <= CAPACITY


def test_a_limit_per_day_pays_what_the_minute_could_hold() -> None:
    settings = LimitBeliefs("m", tokens=CAPACITY, requests=None, tokens_per_day=10_000_000)
    budget = Budget(settings, 0, Checkpoint("m", 0, (KEY,), 0, 0, PPM, tolerated_burst_tokens=CAPACITY))
    sent(budget, 1)
    day = next(level for level in budget.levels(0) if level.period_ms > MINUTE_MS)
    assert day.low >= 10_000_000 - 2 * CAPACITY - 2


def test_without_any_known_bucket_there_is_nothing_to_be_indebted_to() -> None:
    budget = Budget(LimitBeliefs("m", None, None), 0, None)
    sent(budget, 1)
    assert budget.paid(1) == PRICE_MAX
    budget.record_answer(1, 10, bad_request())
    assert budget.payable_at(PRICE_MAX, 10) == 10
    assert budget.levels(10) == ()


def test_an_interval_keeps_both_ends_within_a_full_bucket_of_zero() -> None:
    interval = BoundedTokenBucket(100, 10, 0)
    interval.pay(10**9, 10**8, 0)
    assert (interval.low, interval.high) == (-1_000, -1_000)
    interval.set(-(10**9), 10**9)
    assert (interval.low, interval.high) == (-1_000, 1_000)
    interval.set(-(10**9), -(10**9))
    assert (interval.low, interval.high) == (-1_000, -1_000)
