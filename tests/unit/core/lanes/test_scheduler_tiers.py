"""Service tiers that rest, as the scheduler of all limits sees them."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import LIMITS_MAX
from headrace.broker.core.budget.tier_breaker import CallToTier
from headrace.broker.core.lanes.limit_queue import SORTED_AT_ONCE_MAX
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.ticket import ModelTier, State, Ticket
from tests.unit.core.desks import call, limits
from tests.unit.core.specimens import candidate, ticket, verdict

FLEX = ModelTier("gpt", "flex")
REST_MS = 7_500


def enqueued(
    made: Scheduler, *, tier: str = "flex", limit: str = "gpt", charge: int = 100, deadline_ms: int = 36_000_000
) -> Ticket:
    waiting = ticket(replace(candidate(limit=limit, charge=charge, deadline_ms=deadline_ms), tier=tier))
    made.enqueue(waiting, 0)
    return waiting


def opened(made: Scheduler, limit: str = "gpt") -> None:
    for _ in range(3):
        refused = CallToTier(FLEX, verdict(Meaning.TIER_UNAVAILABLE), 0, False, lambda _: False)
        made.limit_queue(limit, 0).budget.tiers.observe(refused, 0, 0.5)
    made.prepare(0)


def test_a_limit_with_nothing_but_requests_of_a_resting_tier_wakes_at_the_end_of_the_rest() -> None:
    made = limits()
    opened(made)
    waiting = enqueued(made)
    assert call(made) is None
    assert made.wake_at() == REST_MS
    assert made.waiting() == 1
    assert made.is_sound(1)
    assert call(made, REST_MS) is waiting
    assert made.waiting() == 0


def test_while_the_account_rests_it_wakes_for_them_as_well() -> None:
    made = limits()
    opened(made)
    enqueued(made)
    made.account.breaker.trip(Meaning.QUOTA, 0, 1_000)
    assert call(made, 1_000) is None
    assert made.wake_at() == REST_MS
    assert call(made, REST_MS) is not None


def test_a_request_that_waits_for_its_tier_is_put_off_and_withdrawn_like_any_other() -> None:
    made = limits()
    opened(made)
    first, second = enqueued(made), enqueued(made)
    made.put_off(first)
    made.withdraw(second, 0)
    assert (made.waiting(), first.in_tier_lanes, second.in_tier_lanes) == (0, False, False)
    made.enqueue(first, 0, front=True)
    assert first.in_tier_lanes
    assert made.is_sound(1)


def test_a_request_near_its_deadline_is_late_where_it_waits() -> None:
    made = limits()
    opened(made)
    made.limit_queue("gpt", 0).lanes.durations.add("flex", 5_000)
    waiting = enqueued(made, deadline_ms=20_000)
    assert made.near_at(waiting) == 10_000
    assert made.apply_deadline(waiting, 10_000) == 15_000
    assert not waiting.late
    assert made.apply_deadline(waiting, 15_000) == 20_000
    assert waiting.late
    made.put_off(waiting)
    made.enqueue(waiting, 16_000, front=True)
    assert waiting.late
    assert made.is_sound(1)


def test_requests_behind_those_set_aside_are_not_unreachable_for_them() -> None:
    made = limits()
    for _ in range(20):
        enqueued(made, charge=6_000, deadline_ms=100_000)
    mine = enqueued(made, tier="", charge=6_000, deadline_ms=100_001)
    opened(made)
    assert made.unreachable(60_000) == []
    assert mine.queued


def test_nothing_is_called_unreachable_before_a_large_backlog_is_sorted() -> None:
    made = limits()
    flex = [enqueued(made, charge=100, deadline_ms=100_000) for _ in range(3 * SORTED_AT_ONCE_MAX)]
    other = enqueued(made, tier="", charge=6_000, deadline_ms=100_001)
    opened(made)
    assert not all(waiting.in_tier_lanes for waiting in flex)
    assert made.unreachable(99_000) == []
    assert call(made) is other, "those that are not sorted yet are set aside as their turn comes"
    assert made.waiting() == len(flex)
    while made.wake_at() == 1:
        assert call(made) is None
    assert all(waiting.in_tier_lanes for waiting in flex)
    assert made.unreachable(99_000) == []
    assert made.is_sound(len(flex))


def test_a_limit_whose_tier_has_refused_is_not_forgotten_as_free() -> None:
    made = limits()
    opened(made, "with-tier")
    for number in range(LIMITS_MAX + 50):
        made.limit_queue(f"m-{number}", 0)
    assert "with-tier" in made.limit_queues()
    waiting = enqueued(made)
    waiting.state = State.WAITING
