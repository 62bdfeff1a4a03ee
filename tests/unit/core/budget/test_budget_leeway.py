"""When a budget may no longer pay without asking its buckets, though it could a moment ago."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import SECOND_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import SETTINGS, answer, full, low
from tests.unit.core.specimens import verdict

CHAT = Prices("chat.completions", (Law.CHAT_2025, Law.USAGE), (100, 100))


def called(budget: Budget, attempt: int, now_ms: int, charge: int = 100) -> None:
    assert budget.payable_at(charge, now_ms) == now_ms
    budget.reserve(attempt, charge, now_ms, prices=CHAT)


def test_a_pause_holds_whatever_could_be_spared() -> None:
    budget = full()
    called(budget, 1, 0)
    budget.pause_until(5_000)
    assert budget.payable_at(100, 0) == 5_000


def test_a_refusal_without_a_wait_still_tells_what_the_server_does_not_bear() -> None:
    budget = full()
    called(budget, 1, 0, 10_000)
    called(budget, 2, 0, 5_000)
    budget.record_answer(2, 10, verdict(Meaning.RATE_LIMITED))
    at_ms = budget.payable_at(1_000, 10)
    assert at_ms is not None
    assert at_ms > 10


def test_calls_that_turn_out_dearer_leave_less_though_no_answer_speaks_of_the_limit() -> None:
    left = Checkpoint(SETTINGS.name, 0, (), 0, 0, PPM, laws={CHAT.endpoint: Law.USAGE}, tolerated_burst_tokens=60_000)
    budget = Budget(SETTINGS, 0, left)
    called(budget, 1, 0)
    called(budget, 2, 0)
    called(budget, 3, 0)
    budget.record_answer(1, 0, answer(), TokenUsage(100, 40_000))
    assert low(budget) < 0
    at_ms = budget.payable_at(1_000, 0)
    assert at_ms is not None
    assert at_ms > 0


def test_who_spreads_the_load_keeps_step_though_the_answer_that_drops_a_bucket_agrees() -> None:
    believed = LimitBeliefs(SETTINGS.name, 1_000, None, period_ms=SECOND_MS)
    level = LevelBounds(LimitMetric.TOKENS, 1_000, 1_000, 1_000, SECOND_MS)
    budget = Budget(believed, 0, Checkpoint(believed.name, 0, (level,), 0, 0, PPM, tolerated_burst_tokens=5_000))
    called(budget, 1, 0)
    budget.record_answer(1, 20, answer((60_000, 59_900, "")))  # without a reset it is not known to be the one believed
    called(budget, 2, 20)
    budget.record_answer(2, 40, answer((60_000, 59_810, "190ms")))
    assert [level.capacity for level in budget.levels(40)] == [60_000]
    called(budget, 3, 40, 8_000)
    budget.record_answer(3, 60, answer())
    assert budget.learned_limits().tolerated_burst_tokens == 8_160


def test_a_window_is_asked_each_time() -> None:
    budget = full()
    for attempt, sent_ms in enumerate((0, 400, 800, 1_200), start=1):
        called(budget, attempt, sent_ms, 1_000)
        budget.record_answer(attempt, sent_ms + 20, answer((60_000, 60_000 - 1_000 * attempt, f"{50_000 - sent_ms}ms")))
    assert budget.levels(1_220)[0].refill is Refill.FIXED
    budget.payable_at(100, 1_220)
    assert budget.payable_at(60_000, 1_220) == 50_021  # as late as the window may end


def test_a_window_of_seconds_in_which_no_burst_begins_small_is_asked_each_time_as_well() -> None:
    budget = full(replace(SETTINGS, tokens=6_000, period_ms=6 * SECOND_MS))
    for attempt, sent_ms in enumerate((0, 400, 800, 1_200), start=1):
        called(budget, attempt, sent_ms)
        budget.record_answer(attempt, sent_ms + 20, answer((6_000, 6_000 - 100 * attempt, f"{5_000 - sent_ms}ms")))
    (level,) = budget.levels(1_220)
    assert (level.refill, level.period_ms, level.capacity) == (Refill.FIXED, 6 * SECOND_MS, 6_000)
    called(budget, 9, 1_220)
    assert budget.payable_at(100, 1_230) == 1_230
    assert budget.payable_at(6_000, 1_230) == 5_021
