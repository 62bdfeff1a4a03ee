"""Whose deadline is near, and who is late: other turns than those of `test_lanes.py`."""

from dataclasses import replace

from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import FAR_MS, candidate, ticket

LIFT_PPM = 100_000
URGENT = LaneRule("urgent", 0, 50_000, 0, 1_000, 1 << 30, lift_ppm=LIFT_PPM)
STANDARD = LaneRule("standard", 1, 0, 0, 1_000, 1 << 30, lift_ppm=LIFT_PPM)
BULK = LaneRule("bulk", 2, 0, 0, 1_000, 1 << 30, lift_ppm=LIFT_PPM)


def lanes(*rules: LaneRule, tenants: Tenants | None = None, calls_ms: int = 0) -> Lanes:
    made = Lanes(rules or (URGENT, STANDARD, BULK), tenants or Tenants())
    if calls_ms:
        made.durations.add("", calls_ms)
    return made


def wait(made: Lanes, lane: str, deadline_ms: int = FAR_MS, *, charge: int = 100, tenant: str = "") -> Ticket:
    waiting = ticket(candidate(charge=charge, deadline_ms=deadline_ms, tenant=tenant), lane=lane)
    made.queue(lane).append(waiting)
    return waiting


def look(made: Lanes, now_ms: int, *tickets: Ticket) -> list[int]:
    """Somebody looks whether they are late; when they are to be looked at again."""
    return [made.apply_deadline(each, now_ms) for each in tickets]


def next_of(made: Lanes, now_ms: int = 0) -> Ticket:
    pick = made.pick(now_ms)
    assert pick is not None
    return pick.ticket


def serve(made: Lanes, now_ms: int = 0) -> Ticket:
    served = next_of(made, now_ms)
    made.serve(served, now_ms)
    return served


def hurried(made: Lanes, lane: str, deadline_ms: int = 1_000, *, charge: int = 100, tenant: str = "") -> Ticket:
    near = wait(made, lane, deadline_ms, charge=charge, tenant=tenant)
    made.apply_deadline(near, 0)
    return near


def turns(made: Lanes, lane: str, times: int) -> list[str]:
    """Whose turns these are while somebody of a lane comes for each that is called."""
    lanes_served = []
    for _ in range(times):
        wait(made, lane)
        lanes_served.append(serve(made).source.partition.lane)
    return lanes_served


# ---------------------------------------------------------------------- late


def test_who_is_late_is_passed_by_whoever_is_not() -> None:
    made = lanes(calls_ms=400)
    late, in_time = wait(made, "bulk", 1_000), wait(made, "bulk", 2_000)
    assert look(made, 599, late, in_time) == [600, 1_600]
    assert next_of(made, 599) is late
    assert look(made, 600, late, in_time) == [1_000, 1_600]
    assert next_of(made, 600) is in_time
    assert (late.late, in_time.late) == (True, False)
    assert look(made, 700, late) == [1_000], "it stays where it is"


def test_who_is_late_goes_when_nobody_else_waits_most_time_left_first() -> None:
    made = lanes(calls_ms=400)
    nearest, near = wait(made, "bulk", 1_000), wait(made, "bulk", 1_100)
    look(made, 800, near, nearest)
    assert [serve(made, 800), serve(made, 800)] == [near, nearest]
    assert made.waiting() == made.queue("bulk").waiting_tokens == 0


def test_who_comes_in_time_goes_before_a_late_one_that_was_next() -> None:
    made = lanes(calls_ms=400)
    late = wait(made, "bulk", 1_000)
    look(made, 900, late)
    assert next_of(made, 900) is late
    in_time = wait(made, "bulk", 5_000)
    assert next_of(made, 900) is in_time


def test_who_is_called_or_asleep_is_not_moved() -> None:
    made = lanes(calls_ms=400)
    called = wait(made, "standard", 1_000)
    made.serve(called, 0)
    assert look(made, 500, called) == [600]
    assert look(made, 900, called) == [1_000]
    assert not called.late
    assert len(made.queue("standard").nearing) == made.waiting() == 0


def test_a_late_one_of_the_first_lane_goes_before_those_of_others() -> None:
    made = lanes(calls_ms=400)
    late = wait(made, "urgent", 1_000)
    wait(made, "standard")
    look(made, 900, late)
    assert next_of(made, 900) is late


def test_a_late_one_is_not_lost_by_the_line_it_left() -> None:
    made = lanes(calls_ms=400)
    late, in_time = wait(made, "bulk", 1_000, charge=30), wait(made, "bulk", 2_000, charge=500)
    look(made, 900, late)
    queue = made.queue("bulk")
    assert (len(queue), queue.waiting_tokens, queue.tokens_in_time) == (2, 530, 500)
    assert [(list(line), ahead) for line, ahead in made.late()] == [([late], 500)]
    assert (list(queue.first(5)), list(queue.last(5))) == ([in_time, late], [late, in_time])
    made.reprice(lambda prices: 2 * prices.tokens[0])
    assert (queue.waiting_tokens, queue.tokens_in_time) == (1_060, 1_000)
    queue.remove(late)
    assert (len(queue), queue.waiting_tokens, late.late) == (1, 1_000, False)


def test_a_late_one_whose_tenant_is_capped_holds_up_nobody() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    made = lanes(tenants=tenants, calls_ms=400)
    tenants.record_start("acme", 100, 0)
    look(made, 900, wait(made, "standard", 1_000, tenant="acme"))
    bulk = wait(made, "bulk")
    assert next_of(made, 900) is bulk


# ---------------------------------------------------------------------- near


def test_who_is_near_goes_in_the_turn_of_the_lane_above_for_its_share() -> None:
    made = lanes()
    near = hurried(made, "standard")
    served = turns(made, "urgent", 11)
    assert served == ["urgent"] * 10 + ["standard"]
    assert not near.queued


def test_a_lift_is_by_one_lane_only() -> None:
    made = lanes()
    near = hurried(made, "bulk")
    wait(made, "standard")
    assert set(turns(made, "urgent", 30)) == {"urgent"}
    while made.queue("urgent").count:
        serve(made)
    assert serve(made) is near, "it has its credit, and this is the turn of standard"


def test_however_many_are_near_those_above_lose_no_more_than_the_share() -> None:
    made = lanes()
    for _ in range(200):
        hurried(made, "standard")
    served = turns(made, "urgent", 1_000)
    assert served.count("standard") == 90, "a tenth of what urgent is served"


def test_a_lane_that_is_not_lifted_is_not() -> None:
    made = lanes(URGENT, replace(STANDARD, lift_ppm=0), BULK)
    hurried(made, "standard")
    assert set(turns(made, "urgent", 100)) == {"urgent"}


def test_a_lifted_request_may_use_the_reserve_as_the_lane_above_may() -> None:
    made = lanes()
    near = hurried(made, "bulk")
    turns(made, "standard", 10)
    pick = made.pick(0)
    assert pick is not None
    assert (pick.ticket, pick.reserved_ppm) == (near, URGENT.reserve_ppm)


def test_who_is_near_and_goes_in_its_own_turn_leaves_the_credit_to_others() -> None:
    made = lanes()
    first = hurried(made, "standard")
    turns(made, "urgent", 10)
    while made.queue("urgent").count:
        made.queue("urgent").remove(next(iter(made.queue("urgent").first(1))))
    second = hurried(made, "standard", 2_000)
    assert serve(made) is first
    wait(made, "urgent")
    assert serve(made) is second


def test_what_another_lane_is_served_meanwhile_is_not_taken_for_the_lift() -> None:
    made = lanes()
    near = hurried(made, "bulk", charge=100)
    turns(made, "standard", 10)
    assert next_of(made) is near
    (urgent,) = (wait(made, "urgent"),)
    assert serve(made) is urgent
    assert serve(made) is not urgent
    assert not near.queued


def test_a_capped_tenant_is_not_lifted() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    made = lanes(tenants=tenants)
    hurried(made, "standard", tenant="acme")
    tenants.record_start("acme", 100, 0)
    assert set(turns(made, "urgent", 30)) == {"urgent"}
