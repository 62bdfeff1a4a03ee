"""Answers make room in buckets for what others take."""

from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.room_for_others import CALLS_PER_REFUSAL, FORGIVEN
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


def test_a_bucket_that_was_believed_full_is_not_made_to_keep_anything() -> None:
    """Whatever the refusal says is left: the call was let pass with so much more that no room would have held it."""
    budget = Budget(UNKNOWN, 0, None)
    for attempt, now_ms in enumerate((0, 3_000, 6_000)):
        budget.reserve(attempt, 400, now_ms)
        budget.record_answer(attempt, now_ms + 10, answer((60_000, 59_600, "400ms")))
    room, now_ms = 0, 100_000
    for attempt in range(100, 100 + 2 * FORGIVEN):
        now_ms += 61_000
        budget.reserve(attempt, 400, now_ms)
        (mirror,) = budget._buckets
        assert mirror.low(now_ms) > 59_000
        budget.record_answer(attempt, now_ms + 10, refusal(used=59_900, requested=400))
        assert isinstance(mirror, Mirror)
        room = max(room, mirror.room)
    assert room == 0


def test_admissions_lower_room_though_their_answers_show_nothing() -> None:
    budget = shown()
    before = refused(budget, FORGIVEN + 2)
    (mirror,) = budget._buckets
    assert isinstance(mirror, Mirror)
    now_ms = 100_000
    for attempt in range(1_000, 1_000 + 2 * CALLS_PER_REFUSAL):
        now_ms = budget.payable_at(400, now_ms) or now_ms
        budget.reserve(attempt, 400, now_ms)
        budget.record_answer(attempt, now_ms, answer())
    assert before > 10_000
    assert mirror.room == 0
