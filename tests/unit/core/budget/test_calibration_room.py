"""Answers make room in buckets for what others take."""

from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.room_for_others import FORGIVEN
from tests.unit.core.budgets import UNKNOWN, answer, refusal

SPENT = answer((60_000, 10_000, "50s"))


def refused(budget: Budget, times: int) -> int:
    """Return the room after as many refusals, each of a call that the mirrors allowed."""
    now_ms, attempt = 1_000, 100
    for _ in range(times):
        payable_ms = budget.payable_at(400, now_ms)
        assert payable_ms is not None
        budget.reserve(attempt, 400, payable_ms)
        budget.record_answer(attempt, payable_ms + 10, refusal(used=59_900, requested=400))
        attempt, now_ms = attempt + 1, payable_ms + 10
    (mirror,) = budget._buckets
    assert isinstance(mirror, Mirror)
    return mirror.room


def shown() -> Budget:
    budget = Budget(UNKNOWN, 0, None)
    for attempt, now_ms in enumerate((0, 300, 600)):
        budget.reserve(attempt, 400, now_ms)
        budget.record_answer(attempt, now_ms + 10, SPENT)
    return budget


def test_refusals_of_what_the_mirrors_allowed_make_room() -> None:
    assert refused(shown(), FORGIVEN + 2) > 2 * refused(shown(), FORGIVEN)
