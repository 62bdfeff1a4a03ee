"""How long calls take to the limiter, as the buckets of tokens and those of calls show it, each by themselves."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS, LimitMetric
from headrace.broker.core.budget.admission_delay import (
    DELAY_MAX_MS,
    DELAY_MIN_MS,
    REFUSALS_MIN,
    SHORT_PARTS,
    SHRINKS_BY,
    AdmissionDelay,
)
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.level_bounds import LevelBounds
from tests.unit.core.budgets import KEY, UNKNOWN, answer, failure, full, refusal

TOKENS, CALLS = LimitMetric.TOKENS, LimitMetric.REQUESTS


def agreed(*levels: LevelBounds) -> Budget:
    """Calls of 400, each answered before the next, to a server that has what is believed."""
    budget, calls_ms = full(UNKNOWN, KEY, *levels), levels[0].period_ms // levels[0].capacity
    for attempt in range(700):
        now_ms = 2_000 * attempt
        budget.reserve(attempt, 400, now_ms)
        shown = (levels[0].capacity, levels[0].capacity - 1, f"{calls_ms}ms")
        budget.record_answer(attempt, now_ms + 200, answer((60_000, 59_600, "400ms"), shown))
    return budget


def test_what_is_missing_of_tokens_says_nothing_of_calls() -> None:
    """Before: rounded levels of tokens, or wrong prices, kept half of a window of a second's calls unused."""
    budget = agreed(LevelBounds(CALLS, 500, 500, 500, MINUTE_MS))
    delays = budget._calibration
    assert [delays._delay_of(metric).ms for metric in (TOKENS, CALLS)] == [DELAY_MIN_MS, DELAY_MIN_MS]
    budget.reserve(1_000, 400, 2_000_000)
    budget.record_answer(1_000, 2_000_200, answer((60_000, 59_000, "1s"), (500, 499, "120ms")))
    assert [delays._delay_of(metric).ms for metric in (TOKENS, CALLS)] == [2 * DELAY_MIN_MS, DELAY_MIN_MS]
    budget.reserve(1_001, 400, 2_010_000)
    budget.record_answer(1_001, 2_010_200, answer((60_000, 59_600, "400ms"), (500, 490, "1200ms")))
    assert [delays._delay_of(metric).ms for metric in (TOKENS, CALLS)][1] == 2 * DELAY_MIN_MS


def test_in_a_window_of_a_second_calls_are_known_to_take_less() -> None:
    delays = agreed(LevelBounds(CALLS, 10, 10, 10, SECOND_MS))._calibration
    assert [delays._delay_of(metric).ms for metric in (TOKENS, CALLS)] == [DELAY_MIN_MS, SECOND_MS // SHORT_PARTS]


def test_a_change_of_mirrors_lets_a_delay_come_down_again() -> None:
    budget = agreed(LevelBounds(CALLS, 500, 500, 500, MINUTE_MS))
    delay = budget._calibration._delay_of(TOKENS)
    for _ in range(3):
        delay.record_shortfall()
    assert delay._shortest_ms == 8 * DELAY_MIN_MS
    budget._buckets.believe(TOKENS, 10**6, 3_600_000, 2_000_000)
    budget._calibration.keep_step(2_000_000)
    assert delay._shortest_ms == DELAY_MIN_MS
    budget._calibration.keep_step(2_000_000)
    delay.record_shortfall()
    budget._calibration.keep_step(2_000_000)
    assert delay._shortest_ms > DELAY_MIN_MS, "nothing has changed since"


def test_what_agrees_with_calls_agrees_with_tokens_as_a_call_is_admitted_to_both_at_once() -> None:
    budget = full(UNKNOWN, KEY, LevelBounds(CALLS, 500, 500, 500, MINUTE_MS))
    for attempt in range(2):
        budget.reserve(attempt, 400, 2_000 * attempt)
        budget.record_answer(attempt, 2_000 * attempt + 200, answer((60_000, 59_600, "400ms"), (500, 499, "120ms")))
    once = AdmissionDelay()
    once.record_agreement()
    assert budget._calibration._delay_of(CALLS).ms in {once.ms, once.ms - once.ms // SHRINKS_BY}
    assert budget._calibration._delay_of(TOKENS).ms < budget._calibration._delay_of(CALLS).ms


def test_what_others_must_have_taken_lengthens_no_delay() -> None:
    delays = agreed(LevelBounds(CALLS, 500, 500, 500, MINUTE_MS))._calibration
    delays._buckets._shown.others.by_others = True
    delays._learn_delay(TOKENS, -1_000, 2_000_000)
    assert delays._delay_of(TOKENS).ms == DELAY_MIN_MS
    delays._buckets._shown.others.by_others = False
    delays._learn_delay(TOKENS, -1_000, 2_000_000)
    assert delays._delay_of(TOKENS).ms > DELAY_MIN_MS


def test_refusals_that_state_a_level_bound_delays_and_those_of_a_front_do_not() -> None:
    for refused, longest_ms in ((refusal(used=59_900, requested=400), 100), (failure(429), DELAY_MAX_MS)):
        budget = full()
        for attempt in range(REFUSALS_MIN):
            budget.reserve(attempt, 400, 100_000 * attempt)
            budget.record_answer(attempt, 100_000 * attempt + 80, refused)
        assert budget._calibration._sends.delay_max_ms == longest_ms
        if longest_ms < DELAY_MAX_MS:
            assert budget._calibration._delay_of(TOKENS).longest_ms == longest_ms
