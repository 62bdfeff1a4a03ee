"""Pauses beside the mirrors: tested, or kept."""

from headrace.broker.core.budget.admission_guide import HONOURED_MS
from headrace.broker.core.budget.budget import Budget
from tests.unit.core.budgets import UNKNOWN, answer, full, refusal


def paused() -> Budget:
    """A call of most of the bucket, and the refusal of another one, whose level asks for as long a pause."""
    budget = full(UNKNOWN)
    budget.reserve(1, 400, 0)
    budget.reserve(2, 55_000, 0)
    budget.record_answer(2, 20, refusal(used=60_000, requested=55_000, wait="60s"))
    assert budget.paused_until_ms == 20 + 60_000
    return budget


def show_another_bucket(budget: Budget) -> None:
    """The limit turns out to hold a hundred times as much, and an answer comes."""
    for mirror in budget._buckets:
        assert mirror.adopt_capacity(6_000_000, 3, 1_000)
    budget.record_answer(1, 2_000, answer((60_000, 59_600, "400ms")))


def test_a_pause_that_the_mirrors_explain_no_longer_is_tested_after_ten_seconds() -> None:
    """Before: a minute was waited out although the first answers had shown a window of a second."""
    budget = paused()
    show_another_bucket(budget)
    assert budget.paused_until_ms == 20 + HONOURED_MS
    assert budget.payable_at(400, 2_000) == 20 + HONOURED_MS


def test_a_pause_that_the_mirrors_still_explain_is_kept() -> None:
    budget = paused()
    budget.record_answer(1, 2_000, answer((60_000, 5_000, "55s")))
    assert budget.paused_until_ms == 20 + 60_000


def test_a_longer_pause_for_another_reason_is_kept() -> None:
    budget = paused()
    budget.pause_until(90_000)
    show_another_bucket(budget)
    assert budget.paused_until_ms == 90_000
