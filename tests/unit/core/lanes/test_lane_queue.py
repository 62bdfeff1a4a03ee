"""Queue of one lane. Which lane goes next is in the tests of `lanes`."""

from dataclasses import replace

import pytest

from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lane_queue import LaneQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.core.units import PPM
from tests.unit.core.specimens import FAR_MS, STANDARD, candidate, ticket


def waiting(lane: str, charge: int = 100) -> Ticket:
    return ticket(candidate(charge=charge), lane=lane)


def test_a_queue_is_first_in_first_out_and_a_retry_comes_back_in_front() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    first, second, retry = waiting("standard"), waiting("standard"), waiting("standard")
    queue.append(first)
    queue.append(second)
    queue.append(retry, front=True)
    heads = []
    while (head := queue.next(0)) is not None:
        heads.append(head)
        queue.remove(head)
    assert heads == [retry, first, second]


def test_a_ticket_leaves_from_anywhere_and_leaves_no_gap() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    made = [waiting("standard", charge) for charge in (1, 2, 3)]
    for each in made:
        queue.append(each)
    queue.remove(made[1])
    assert (len(queue), queue.waiting_tokens) == (2, 4)
    queue.remove(made[0])
    assert queue.next(0) is made[2]


def test_only_a_waiting_ticket_lines_up_and_once() -> None:
    queue, made, settled = LaneQueue(STANDARD, Tenants()), waiting("standard"), waiting("standard")
    queue.append(made)
    with pytest.raises(AssertionError):
        queue.append(made)
    settled.state = State.SETTLED
    with pytest.raises(AssertionError):
        queue.append(settled)


def test_a_lane_knows_its_bytes_and_who_came_last() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    first, second, third = (ticket(size=size) for size in (1, 20, 300))
    for each in (first, second, third):
        queue.append(each)
    assert queue.waiting_bytes == 321
    assert list(queue.last(2)) == [third, second]
    assert list(queue.first(2)) == [first, second]
    queue.remove(second)
    assert queue.waiting_bytes == 301


def test_the_ends_of_a_lane_are_the_first_and_the_last_of_each_tenant_and_of_those_that_are_late() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    lines = {
        name: [ticket(candidate(tenant=name, deadline_ms=FAR_MS + number)) for number in range(3)] for name in "abc"
    }
    for line in lines.values():
        for each in line:
            queue.append(each)
    queue.demote(lines["c"][0])
    assert list(queue.ends(2)) == [
        lines["a"][0], lines["a"][2], lines["b"][0], lines["b"][2], lines["c"][0], lines["c"][0]
    ]  # fmt: skip
    assert [*queue.ends(0, lines["b"][0])] == [*[lines["c"][0]] * 2, lines["b"][0], lines["b"][2]], "and of one more"
    assert {*queue.ends(0, lines["c"][0])} == {lines["c"][0]}


def test_a_late_ticket_is_served_last_and_leaves_from_where_it_waits() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    first, second, third = (waiting("standard", charge) for charge in (1, 2, 4))
    for each in (first, second, third):
        queue.append(each)
    queue.demote(first)
    queue.demote(third)
    assert queue.tokens_in_time == 2
    assert list(queue.first(9)) == [second, first, third]
    assert queue.next(0) is second
    queue.serve(second)
    queue.remove(third)
    assert queue.next(0) is first
    queue.serve(first)
    assert (len(queue), queue.waiting_tokens, queue.next(0)) == (0, 0, None)


def test_a_cap_that_holds_every_tenant_out_opens_in_time() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=100)})
    queue = LaneQueue(STANDARD, tenants)
    assert queue.opens_at() is None
    queue.append(ticket(candidate(tenant="acme", charge=100)))
    tenants.record_start("acme", 50, 0)
    assert queue.next(0) is None
    assert queue.opens_at() is not None
    assert queue.tenant_queue("acme").tokens == 100


def test_waiting_tickets_are_priced_anew_but_for_those_that_the_server_has_priced() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    usual, stated, late = (waiting("standard") for _ in range(3))
    stated.stated = True
    for each in (usual, stated, late):
        queue.append(each)
    queue.demote(late)
    queue.reprice(lambda _: 7)
    assert [each.charge for each in (usual, stated, late)] == [7, 100, 7]
    assert queue.waiting_tokens == 114
    assert queue.is_sound()
    queue.waiting_bytes += 1
    assert not queue.is_sound()


def test_a_floor_and_a_ceiling_are_kept_within_a_few_of_the_largest_charges() -> None:
    queue = LaneQueue(replace(STANDARD, floor_ppm=300_000, ceiling_ppm=600_000), Tenants())
    head = waiting("standard", 300)
    queue.append(head)
    queue.largest = 300
    queue.accrue_floor(1_000, own=False)
    assert queue.credit_ppm_tokens == 300 * PPM
    assert queue.is_owed(head)
    queue.accrue_floor(1_000, own=True)
    assert queue.credit_ppm_tokens == 0
    assert not queue.is_owed(head)
    queue.accrue_ceiling(1_000, own=True)
    assert queue.excess_ppm_tokens == 400 * PPM
    assert queue.is_over_ceiling(head)
    queue.accrue_ceiling(10**9, own=True)
    assert queue.excess_ppm_tokens == 1_200 * PPM
    queue.accrue_ceiling(3_000, own=False)
    assert queue.excess_ppm_tokens == 0


def test_one_ticket_gets_another_charge_wherever_it_waits() -> None:
    queue = LaneQueue(STANDARD, Tenants())
    usual, late = waiting("standard"), waiting("standard")
    for each in (usual, late):
        queue.append(each)
    queue.demote(late)
    queue.reprice_one(usual, 70)
    queue.reprice_one(late, 300)
    assert (usual.charge, late.charge, queue.waiting_tokens, queue.tokens_in_time) == (70, 300, 370, 70)
    assert queue.is_sound()
