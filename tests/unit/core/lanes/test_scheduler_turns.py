from dataclasses import replace

from headrace.broker.core.bounds import REACH_EVERY_MS
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Garbage, State, Ticket
from tests.unit.core.desks import all_called, answered, call, enqueued, limits
from tests.unit.core.specimens import LANES, budget, candidate, ticket


def turn_back(made: Scheduler, called: Ticket) -> None:
    """Its call was not sent."""
    made.limit_queue(called.candidate.limit, 0).budget.abandon(called.number, 0)
    called.state = State.WAITING
    made.requeue(called)


def test_of_one_key_the_next_lines_up_when_the_one_before_has_started_or_left() -> None:
    made = limits()
    first, second, third = (ticket(candidate(order=b"k")) for _ in range(3))
    for each in (first, second, third):
        made.enqueue(each, 0)
    assert [each.queued for each in (first, second, third)] == [True, False, False]
    assert call(made) is first
    assert [each.queued for each in (first, second, third)] == [False, True, False]
    fourth = ticket(candidate(order=b"k"))
    made.enqueue(fourth, 0)
    made.withdraw(fourth, 0)
    assert not fourth.queued
    first.state = State.WAITING
    made.enqueue(first, 0, front=True)  # a retry is no first start
    assert first.queued
    made.withdraw(second, 0)
    assert third.queued
    made.clear()
    again = ticket(candidate(order=b"k"))
    made.enqueue(again, 0)
    assert again.queued


def test_of_one_key_the_next_is_called_at_once_though_its_limit_has_been_asked_already() -> None:
    made = limits()
    made.limit_queue("large", 0)
    first, second = (ticket(candidate(order=b"k", limit=limit)) for limit in ("small", "large"))
    for each in (first, second):
        made.enqueue(each, 0)
    assert all_called(made) == [first, second]


def test_whom_a_cap_lets_pass_in_one_limit_is_called_at_once_when_it_is_reached_in_another() -> None:
    made = Scheduler(LANES, budget, Tenants({"acme": TenantRule(inflight_max=1)}))
    made.limit_queue("large", 0).budget.reserve(0, 30_000, 0)
    waits, goes = (
        ticket(candidate(limit=limit, charge=charge, tenant="acme"), lane="urgent")
        for limit, charge in (("large", 40_000), ("small", 100))
    )
    passes = ticket(candidate(limit="large", charge=1_000), lane="bulk")
    for each in (waits, passes, goes):
        made.enqueue(each, 0)
    assert all_called(made) == [goes, passes]


def test_in_a_serial_lane_the_next_lines_up_when_the_one_before_is_decided() -> None:
    made = Scheduler([replace(rule, serial=True) for rule in LANES], budget)
    first, second = (ticket(candidate(order=b"k")) for _ in range(2))
    for each in (first, second):
        made.enqueue(each, 0)
    assert call(made) is first
    made.limit_queue("gpt", 0).budget.abandon(first.number, 0)
    first.state = State.WAITING
    made.enqueue(first, 0, front=True)
    assert call(made) is first
    assert call(made) is None
    made.withdraw(first, 0)
    assert call(made) is second


def test_who_needs_no_call_stands_in_no_line() -> None:
    made, garbage = limits(), ticket()
    garbage.content = Garbage(None, "rotten")
    made.withdraw(garbage, 0)
    assert made.waiting() == 0


def test_a_head_without_room_beside_the_reserve_may_use_it_after_a_full_refill() -> None:
    made = limits()
    large = enqueued(made, charge=55_000)  # of 60,000, of which urgent has reserved 12,000
    small = enqueued(made, charge=10_000, lane="urgent")
    assert call(made) is small
    for now_ms in range(0, 60_000, 4_000):  # urgent spends, so that the bucket is never full
        assert call(made, now_ms) is None
        spent = enqueued(made, charge=3_500, lane="urgent")
        assert call(made, now_ms) is spent
        assert call(made, now_ms) is None
    assert made.wake_at() == 60_000
    assert call(made, 59_999) is None
    assert call(made, 60_000) is large


def test_a_head_with_room_beside_the_reserve_never_uses_it() -> None:
    made = limits()
    enqueued(made, charge=48_000)
    for now_ms in range(0, 130_000, 1_000):
        spent = enqueued(made, charge=1_000, lane="urgent")
        assert call(made, now_ms) is spent
        assert call(made, now_ms) is None, "12,000 would not be left"


def test_who_must_leave_places_to_others_waits_for_one() -> None:
    made = limits()
    waits, goes = enqueued(made, charge=10), enqueued(made, charge=10, lane="urgent")
    assert next(made.payable(0, lambda reserved_ppm: not reserved_ppm), None) is goes
    made.serve(goes, 0)
    assert next(made.payable(0, lambda reserved_ppm: not reserved_ppm), None) is None
    assert made.wake_at() is None
    assert next(made.payable(0), None) is waits


def test_who_cannot_come_in_time_is_told_at_once_and_again_a_while_later() -> None:
    made = limits()
    first, late = enqueued(made, charge=60_000), enqueued(made, charge=1_000)
    assert made.unreachable(0) == []
    near = ticket(candidate(charge=500, deadline_ms=1_000))
    made.enqueue(near, 0)
    assert made.unreachable(0) == []  # the nearest deadline goes first, and there is enough
    assert call(made) is near
    nearer = ticket(candidate(charge=61_500, deadline_ms=1_000))
    made.enqueue(nearer, 0)
    assert made.unreachable(0) == [nearer]
    assert made.look_at() == REACH_EVERY_MS
    assert made.unreachable(REACH_EVERY_MS - 1) == []
    assert made.unreachable(REACH_EVERY_MS) == [nearer]
    made.withdraw(nearer, 0)
    assert made.unreachable(2 * REACH_EVERY_MS) == []
    for each in (first, late):
        made.withdraw(each, 0)


def test_who_is_late_behind_more_than_can_flow_in_is_told_at_the_next_look() -> None:
    made = limits()
    answered(made, 4_000)
    late = ticket(candidate(charge=1_000, deadline_ms=13_000))
    made.enqueue(late, 0)
    enqueued(made, charge=60_000)
    assert made.unreachable(0) == []
    assert made.apply_deadline(late, 9_500) == 13_000
    assert made.unreachable(9_500) == []  # 9,500 have not flowed in, since the bucket was full
    enqueued(made, charge=10_000)
    assert made.unreachable(9_500 + REACH_EVERY_MS - 1) == []
    assert made.unreachable(9_500 + REACH_EVERY_MS) == [late]


def test_a_hurry_is_remembered_of_who_waits_and_again_when_a_retry_comes_back() -> None:
    made = Scheduler([replace(rule, lift_ppm=50_000) for rule in LANES], budget)
    near, called = (ticket(candidate(charge=100, deadline_ms=10_000), lane="bulk") for _ in range(2))
    for each in (near, called):
        made.enqueue(each, 0)
    made.withdraw(called, 0)
    for each in (near, called):
        made.apply_deadline(each, 9_000)
    nearing = made.limit_queue("gpt", 0).lanes.queue("bulk").nearing
    assert (len(nearing), nearing.head()) == (1, near)
    made.enqueue(called, 8_000, front=True)
    assert len(nearing) == 1
    made.withdraw(called, 8_000)
    made.enqueue(called, 9_000, front=True)
    assert len(nearing) == 2
    assert made.near_at(near) == 9_000


def test_nobody_hurries_for_a_limit_that_is_forgotten() -> None:
    assert limits().apply_deadline(ticket(candidate(deadline_ms=10_000)), 9_999) == 10_000


def test_how_long_a_call_took_is_learned_unless_its_limit_is_forgotten() -> None:
    made = limits()
    answered(made, 700)
    assert made.limit_queue("gpt", 0).lanes.durations.of("").long_ms == 700
    gone = ticket(candidate(limit="other"))
    made.record_duration(gone, 700)
    assert list(made.limit_queues()) == ["gpt"]


def test_a_tenants_cap_is_waited_for_to_the_instant_at_which_it_gives_way() -> None:
    made = Scheduler(LANES, budget, Tenants({"acme": TenantRule(cap_tokens=100)}))
    for _ in range(2):
        made.enqueue(ticket(candidate(tenant="acme")), 0)
    assert call(made) is not None
    assert call(made) is None
    assert made.wake_at() == 60_100
    assert call(made, 60_100) is not None


def test_who_is_turned_back_is_first_of_its_key_again_and_the_follower_leaves_its_line() -> None:
    made = limits()
    first, second = (ticket(candidate(order=b"k", limit=limit)) for limit in ("small", "large"))
    for each in (first, second):
        made.enqueue(each, 0)
    assert call(made) is first
    assert (second.queued, made.waiting()) == (True, 1)
    turn_back(made, first)
    assert (second.queued, made.waiting()) == (False, 0)
    made.enqueue(second, 0, front=True)  # its own wait is over
    assert (second.queued, made.waiting()) == (False, 0)
    made.enqueue(first, 0, front=True)
    assert all_called(made) == [first, second]
    assert made.is_sound(0)


def test_a_follower_that_waits_aside_is_behind_who_is_turned_back_and_lines_up_once() -> None:
    made = limits()
    first, second = (ticket(candidate(order=b"k")) for _ in range(2))
    for each in (first, second):
        made.enqueue(each, 0)
    assert call(made) is first
    made.put_off(second)
    turn_back(made, first)
    made.enqueue(first, 0, front=True)
    assert call(made) is first
    assert second.queued
    made.enqueue(second, 0, front=True)  # it had waited aside for an instant, which comes now
    assert made.is_sound(1)
    assert call(made) is second


def test_who_has_no_ordering_key_is_turned_back_to_the_front() -> None:
    made = limits()
    first = enqueued(made)
    enqueued(made)
    assert call(made) is first
    turn_back(made, first)
    made.enqueue(first, 0, front=True)
    assert call(made) is first
