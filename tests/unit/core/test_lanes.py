from itertools import pairwise

import pytest

from broker.core.bounds import FLOOR_CREDIT_CHARGES_MAX, PROBES_LOOKED_AT
from broker.core.lanes import PPM, LaneQueue, Lanes
from broker.core.ticket import State, Ticket
from tests.unit.core.specimens import LANES, STANDARD, candidate, ticket


def waiting(lane: str, charge: int = 100) -> Ticket:
    return ticket(candidate(charge=charge), lane=lane)


def lined_up(lanes: Lanes, lane: str, charge: int = 100, *, times: int = 1) -> list[Ticket]:
    made = [waiting(lane, charge) for _ in range(times)]
    for each in made:
        lanes.queue(lane).append(each)
    return made


def served(lanes: Lanes) -> str:
    """Serve whose turn it is; the lane."""
    pick = lanes.pick()
    assert pick is not None
    lanes.served(pick.ticket)
    return pick.ticket.source.partition.lane


def test_a_queue_is_first_in_first_out_and_a_retry_comes_back_in_front() -> None:
    queue = LaneQueue(STANDARD)
    first, second, retry = waiting("standard"), waiting("standard"), waiting("standard")
    queue.append(first)
    queue.append(second)
    queue.append(retry, front=True)
    heads = []
    while (head := queue.head) is not None:
        heads.append(head)
        queue.remove(head)
    assert heads == [retry, first, second]


def test_a_ticket_leaves_from_anywhere_and_leaves_no_gap() -> None:
    queue = LaneQueue(STANDARD)
    made = [waiting("standard", charge) for charge in (1, 2, 3)]
    for each in made:
        queue.append(each)
    queue.remove(made[1])
    assert (len(queue), queue.waiting_tokens) == (2, 4)
    queue.remove(made[0])
    assert queue.head is made[2]


def test_only_a_waiting_ticket_lines_up_and_once() -> None:
    queue, made, settled = LaneQueue(STANDARD), waiting("standard"), waiting("standard")
    queue.append(made)
    with pytest.raises(AssertionError):
        queue.append(made)
    settled.state = State.SETTLED
    with pytest.raises(AssertionError):
        queue.append(settled)


def test_a_long_stuck_head_does_not_make_the_queue_remember_those_who_left() -> None:
    queue = LaneQueue(STANDARD)
    queue.append(waiting("standard"))
    for _ in range(1_000):
        passer_by = waiting("standard")
        queue.append(passer_by)
        queue.remove(passer_by)
    assert len(queue._queue) == len(queue) == 1


def test_nobody_waits_in_an_empty_room() -> None:
    lanes = Lanes(LANES)
    assert lanes.pick() is None
    assert lanes.waiting() == 0


def test_the_first_lane_goes_first_whatever_order_the_rules_came_in() -> None:
    lanes = Lanes(LANES)
    for lane in ("bulk", "standard", "urgent"):
        lined_up(lanes, lane)
    assert lanes.waiting() == 3
    assert [served(lanes) for _ in range(3)] == ["urgent", "standard", "bulk"]


def test_a_lane_gets_its_floor_in_tokens_while_another_could_take_all() -> None:
    lanes = Lanes(LANES)
    lined_up(lanes, "standard", 100, times=400)
    lined_up(lanes, "bulk", 300, times=20)
    order = [served(lanes) for _ in range(310)]
    bulk = order.count("bulk") * 300
    standard = order.count("standard") * 100
    assert bulk / (bulk + standard) == pytest.approx(0.1, abs=0.02)


def test_between_two_heads_of_a_floor_the_first_lane_waits_for_one_only() -> None:
    lanes = Lanes(LANES)
    lined_up(lanes, "urgent", 100, times=200)
    lined_up(lanes, "bulk", 100, times=200)
    order = [served(lanes) for _ in range(100)]
    assert all((one, other) != ("bulk", "bulk") for one, other in pairwise(order))


def test_a_lane_below_must_leave_the_reserve_of_an_idle_lane_above() -> None:
    lanes = Lanes(LANES)
    lined_up(lanes, "bulk")
    pick = lanes.pick()
    assert pick is not None
    assert pick.keep_ppm == 200_000
    lined_up(lanes, "urgent")
    pick = lanes.pick()
    assert pick is not None
    assert pick.keep_ppm == 0


def test_a_head_that_is_owed_its_floor_need_not_refill_the_reserve_of_a_lane_that_waits() -> None:
    lanes = Lanes(LANES)
    urgent = lined_up(lanes, "urgent", 100, times=11)
    (bulk,) = lined_up(lanes, "bulk", 100)
    for _ in range(10):
        assert served(lanes) == "urgent"
    pick = lanes.pick()
    assert pick is not None
    assert (pick.ticket, pick.keep_ppm) == (bulk, 0)
    lanes.queue("urgent").remove(urgent[-1])
    pick = lanes.pick()
    assert pick is not None
    assert (pick.ticket, pick.keep_ppm) == (bulk, 200_000)


def test_the_first_of_two_lanes_that_are_owed_goes_first() -> None:
    lanes = Lanes(LANES)
    for lane, times in (("urgent", 20), ("standard", 2), ("bulk", 2)):
        lined_up(lanes, lane, times=times)
    for lane in ("standard", "bulk"):
        lanes.queue(lane).credit_ppm_tokens = 100 * PPM
    assert [served(lanes) for _ in range(3)] == ["standard", "bulk", "urgent"]


def test_credit_is_bounded_by_the_head_and_an_idle_lane_saves_up_nothing() -> None:
    lanes = Lanes(LANES)
    (head,) = lined_up(lanes, "standard", 10)
    queue = lanes.queue("standard")
    queue.earn(1_000_000)
    assert queue.credit_ppm_tokens == FLOOR_CREDIT_CHARGES_MAX * 10 * PPM
    queue.remove(head)
    assert queue.credit_ppm_tokens == 0
    queue.earn(1_000_000)
    assert queue.credit_ppm_tokens == 0


def test_being_served_uses_up_what_the_floor_owed_and_never_more() -> None:
    lanes = Lanes(LANES)
    lined_up(lanes, "standard", 100, times=3)
    queue = lanes.queue("standard")
    queue.credit_ppm_tokens = 150 * PPM
    served(lanes)
    assert queue.credit_ppm_tokens == 50 * PPM
    served(lanes)
    assert queue.credit_ppm_tokens == 0


def test_the_cheapest_is_looked_for_in_front_of_every_lane_and_no_further() -> None:
    made = Lanes(LANES)
    assert made.cheapest() is None
    for charge in (700, *[900] * (PROBES_LOOKED_AT - 1), 1):
        made.queue("bulk").append(ticket(candidate(charge=charge), lane="bulk"))
    found = made.cheapest()
    assert found is not None
    assert (found.ticket.charge, found.keep_ppm) == (700, 0)
    made.queue("standard").append(ticket(candidate(charge=600)))
    found = made.cheapest()
    assert found is not None
    assert found.ticket.charge == 600


def test_a_probe_that_failed_lets_dearer_ones_that_have_not_been_tried_go_first() -> None:
    made = Lanes(LANES)
    poison, dear = lined_up(made, "urgent", 1) + lined_up(made, "bulk", 500)
    poison.calls = 1
    found = made.cheapest()
    assert found is not None
    assert found.ticket is dear


def test_a_lane_knows_its_bytes_and_who_came_last() -> None:
    queue = LaneQueue(STANDARD)
    first, second, third = (ticket(size=size) for size in (1, 20, 300))
    for each in (first, second, third):
        queue.append(each)
    assert queue.waiting_bytes == 321
    assert list(queue.last(2)) == [third, second]
    assert list(queue.first(2)) == [first, second]
    queue.remove(second)
    assert queue.waiting_bytes == 301


def test_another_price_changes_what_waits_but_for_what_the_server_has_priced() -> None:
    lanes = Lanes(LANES)
    ours, theirs = waiting("standard", 100), waiting("standard", 700)
    theirs.stated = True
    for each in (ours, theirs):
        lanes.queue("standard").append(each)
    lanes.reprice(lambda prices: 3 * prices.tokens[0])
    assert (ours.charge, theirs.charge) == (300, 700)
    assert lanes.queue("standard").waiting_tokens == 1_000
    for each in (ours, theirs):
        lanes.queue("standard").remove(each)
    assert lanes.queue("standard").waiting_tokens == 0
