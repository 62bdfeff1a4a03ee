"""Service tiers that rest, as the scheduler of all limits sees them."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import LIMITS_MAX, PUT_OFF_AT_ONCE_MAX
from headrace.broker.core.budget.tier_breaker import IDLE_MS, CallToTier
from headrace.broker.core.lanes.limit_queue import SORTED_AT_ONCE_MAX
from headrace.broker.core.lanes.scheduler import FORGET_EVERY_MS, Scheduler
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
        refused = CallToTier(FLEX, verdict(Meaning.TIER_UNAVAILABLE), 0, False, lambda *_: False)
        made.limit_queue(limit, 0).budget.tiers.observe(refused, 0, 0.5)
    made.sort(0)


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


def test_a_large_backlog_is_sorted_in_parts_before_any_request_is_called_or_unreachable() -> None:
    made = limits()
    flex = [enqueued(made, charge=100, deadline_ms=100_000) for _ in range(3 * SORTED_AT_ONCE_MAX)]
    other = enqueued(made, tier="", charge=6_000, deadline_ms=100_001)
    for now_ms in (0, 1):
        opened(made) if now_ms == 0 else made.sort(now_ms)
        assert sum(waiting.in_tier_lanes for waiting in flex) == (now_ms + 1) * SORTED_AT_ONCE_MAX
        assert made.unreachable(99_000) == []
        assert call(made, now_ms) is None
        assert made.look_at() == now_ms + 1, "it asks to go on, whether or not a call may start"
    made.sort(2)
    assert all(waiting.in_tier_lanes for waiting in flex)
    assert call(made, 2) is other
    made.sort(3)
    assert made.unreachable(99_000) == []
    assert made.look_at() != 4
    assert made.is_sound(len(flex))


@pytest.mark.slow
def test_a_limit_whose_tier_has_refused_is_not_forgotten_as_free() -> None:
    made = limits()
    opened(made, "with-tier")
    for number in range(LIMITS_MAX + 50):
        made.limit_queue(f"m-{number}", 0)
    assert "with-tier" in made.limit_queues()
    waiting = enqueued(made)
    waiting.state = State.WAITING


def test_the_probe_of_an_account_is_no_request_of_a_tier_known_to_rest() -> None:
    made = limits()
    flex = [enqueued(made, charge=1) for _ in range(2 * SORTED_AT_ONCE_MAX)]
    other = enqueued(made, tier="", limit="other")
    opened(made)
    made.account.breaker.trip(Meaning.QUOTA, 0, 0)
    assert not flex[-1].in_tier_lanes
    assert call(made) is other


def test_a_tier_rests_on_if_its_requests_would_not_be_called_before() -> None:
    made = limits()
    opened(made)
    waiting, other = enqueued(made), enqueued(made, tier="default")
    for each in (waiting, other):
        made.rest_tier(each, 20_000, REST_MS)
    assert not made.limit_queue("gpt", 0).budget.tiers.rests(other.candidate.model_tier)
    assert call(made, REST_MS) is other
    assert call(made, 19_999) is None
    assert made.wake_at() == 20_000
    assert call(made, 20_000) is waiting


def test_tiers_that_no_request_waits_for_are_forgotten_once_a_minute_also_of_limits_without_requests() -> None:
    made = limits()
    opened(made)
    breaker = made.limit_queue("gpt", 0).budget.tiers.find(FLEX)
    long_after_ms = REST_MS + IDLE_MS
    for now_ms in (0, long_after_ms - 1, long_after_ms):
        made.forget_idle_tiers(now_ms)
        assert made.take_forgotten() == [], "not a minute later"
    made.forget_idle_tiers(long_after_ms + FORGET_EVERY_MS)
    assert made.take_forgotten() == [("gpt", FLEX, breaker)]
    made.forget_idle_tiers(long_after_ms + 2 * FORGET_EVERY_MS)
    assert made.take_forgotten() == []


def test_breakers_that_go_with_their_limits_are_among_those_forgotten() -> None:
    made = limits()
    opened(made)
    budget = made.limit_queue("gpt", 0).budget
    budget.breaker.trip(Meaning.OVERLOADED, 0, 1_000)
    made.account.breaker.trip(Meaning.QUOTA, 0, 1_000)
    account, of_tier = made.account.breaker, budget.tiers.find(FLEX)
    made.clear()
    assert made.take_forgotten() == [("gpt", None, budget.breaker), ("gpt", FLEX, of_tier), (None, None, account)]
    made.clear()
    assert made.take_forgotten() == []


@pytest.mark.parametrize("account_rests", [False, True])
def test_so_many_requests_are_put_off_in_one_turn_of_the_loop_and_then_the_others_have_theirs(
    *, account_rests: bool
) -> None:
    made = limits()
    for _ in range(PUT_OFF_AT_ONCE_MAX + 5):
        enqueued(made, tier="", charge=1)
    if account_rests:
        made.account.breaker.trip(Meaning.QUOTA, 0, 0)
    for waiting in made.payable(0):
        made.put_off(waiting)
    assert made.waiting() == 5
    assert made.wake_at() == 1
