from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.core.bounds import CREDIT_CHARGES_MAX
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.laws import Unshown
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM
from tests.unit.core.specimens import BULK, LANES, STANDARD, URGENT, candidate, ticket


def waiting(lane: str, charge: int = 100) -> Ticket:
    return ticket(candidate(charge=charge), lane=lane)


def lined_up(lanes: Lanes, lane: str, charge: int = 100, *, times: int = 1) -> list[Ticket]:
    made = [waiting(lane, charge) for _ in range(times)]
    for each in made:
        lanes.queue(lane).append(each)
    return made


def served(lanes: Lanes) -> str:
    """Serve whose turn it is; the lane."""
    pick = lanes.pick(0)
    assert pick is not None
    lanes.serve(pick.ticket, 0)
    return pick.ticket.source.partition.lane


def test_nobody_waits_in_an_empty_room() -> None:
    lanes = Lanes(LANES, Tenants())
    assert lanes.pick(0) is None
    assert lanes.waiting() == 0


def test_the_first_lane_goes_first_whatever_order_the_rules_came_in() -> None:
    lanes = Lanes(LANES, Tenants())
    for lane in ("bulk", "standard", "urgent"):
        lined_up(lanes, lane)
    assert lanes.waiting() == 3
    assert [served(lanes) for _ in range(3)] == ["urgent", "standard", "bulk"]


def test_a_lane_gets_its_floor_in_tokens_while_another_could_take_all() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "standard", 100, times=400)
    lined_up(lanes, "bulk", 300, times=20)
    order = [served(lanes) for _ in range(310)]
    bulk = order.count("bulk") * 300
    standard = order.count("standard") * 100
    assert bulk / (bulk + standard) == pytest.approx(0.1, abs=0.02)


def test_between_two_heads_of_a_floor_the_first_lane_waits_for_one_only() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "urgent", 100, times=200)
    lined_up(lanes, "bulk", 100, times=200)
    order = [served(lanes) for _ in range(100)]
    assert all((one, other) != ("bulk", "bulk") for one, other in pairwise(order))


def test_a_lane_below_must_leave_the_reserve_of_an_idle_lane_above() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "bulk")
    pick = lanes.pick(0)
    assert pick is not None
    assert pick.reserved_ppm == 200_000
    lined_up(lanes, "urgent")
    pick = lanes.pick(0)
    assert pick is not None
    assert pick.reserved_ppm == 0


def test_a_head_that_is_owed_its_floor_need_not_refill_the_reserve_of_a_lane_that_waits() -> None:
    lanes = Lanes(LANES, Tenants())
    urgent = lined_up(lanes, "urgent", 100, times=11)
    (bulk,) = lined_up(lanes, "bulk", 100)
    for _ in range(10):
        assert served(lanes) == "urgent"
    pick = lanes.pick(0)
    assert pick is not None
    assert (pick.ticket, pick.reserved_ppm) == (bulk, 0)
    lanes.queue("urgent").remove(urgent[-1])
    pick = lanes.pick(0)
    assert pick is not None
    assert (pick.ticket, pick.reserved_ppm) == (bulk, 200_000)


def test_the_first_of_two_lanes_that_are_owed_goes_first() -> None:
    lanes = Lanes(LANES, Tenants())
    for lane, times in (("urgent", 20), ("standard", 2), ("bulk", 2)):
        lined_up(lanes, lane, times=times)
    for lane in ("standard", "bulk"):
        lanes.queue(lane).credit_ppm_tokens = 100 * PPM
    assert [served(lanes) for _ in range(3)] == ["standard", "bulk", "urgent"]


def test_a_floor_is_a_share_of_all_tokens_its_own_included() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "urgent", 100, times=2_000)
    for lane in ("standard", "bulk"):
        lined_up(lanes, lane, 100, times=1_000)
    order = [served(lanes) for _ in range(1_000)]
    assert [order.count(lane) for lane in ("urgent", "standard", "bulk")] == pytest.approx([600, 300, 100], abs=3)


def test_credit_is_bounded_by_the_charges_and_an_idle_lane_saves_up_nothing() -> None:
    lanes = Lanes(LANES, Tenants())
    (head,) = lined_up(lanes, "standard", 10)
    queue = lanes.queue("standard")
    queue.largest = 100
    queue.accrue_floor(100, own=False)
    assert queue.credit_ppm_tokens == 30 * PPM
    for _ in range(100):
        queue.accrue_floor(100, own=False)
    assert queue.credit_ppm_tokens == CREDIT_CHARGES_MAX * 100 * PPM
    queue.remove(head)
    assert (queue.credit_ppm_tokens, queue.largest) == (0, 0)


def test_where_no_lane_has_a_floor_or_a_ceiling_nothing_is_counted() -> None:
    lanes = Lanes((URGENT, replace(STANDARD, floor_ppm=0)), Tenants())
    lined_up(lanes, "urgent")
    lined_up(lanes, "standard")
    assert served(lanes) == "urgent"
    assert lanes.queue("standard").largest == 0


def test_small_requests_get_all_that_a_large_one_owes_their_floor() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "urgent", 10_000, times=2)
    lined_up(lanes, "standard", 10, times=1_000)
    order = [served(lanes) for _ in range(430)]
    assert (order[0], order.index("urgent", 1)) == ("urgent", 1 + 10_000 * 3 // 7 // 10)


def test_being_served_uses_up_what_the_floor_owed_and_never_more() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "standard", 100, times=3)
    queue = lanes.queue("standard")
    queue.credit_ppm_tokens = 150 * PPM
    served(lanes)
    assert queue.credit_ppm_tokens == 80 * PPM
    served(lanes)
    assert queue.credit_ppm_tokens == 10 * PPM
    served(lanes)
    assert queue.credit_ppm_tokens == 0


CEILINGS = (replace(URGENT, ceiling_ppm=700_000, reserve_ppm=0), replace(STANDARD, floor_ppm=0), BULK)


def test_a_lane_below_one_that_is_owed_earns_though_nobody_looked_who_is_first_there() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "standard", times=2)
    lined_up(lanes, "bulk")
    lanes.queue("standard").credit_ppm_tokens = 100 * PPM
    assert served(lanes) == "standard"
    assert lanes.queue("bulk").credit_ppm_tokens == 10 * PPM


def test_what_a_lane_has_earned_for_a_large_head_is_not_lost_when_small_ones_that_are_owed_go_first() -> None:
    lanes = Lanes(LANES, Tenants())
    lined_up(lanes, "standard", 100, times=2)
    lined_up(lanes, "bulk", 10_000)
    lanes.queue("standard").credit_ppm_tokens = 100 * PPM
    lanes.queue("bulk").credit_ppm_tokens = 9_000 * PPM
    assert served(lanes) == "standard"
    assert lanes.queue("bulk").credit_ppm_tokens == 9_010 * PPM


def test_a_lane_of_small_requests_gives_way_at_its_ceiling_to_a_large_one() -> None:
    lanes = Lanes(CEILINGS, Tenants())
    lined_up(lanes, "urgent", 100, times=1_000)
    lined_up(lanes, "bulk", 2_100, times=2)
    order = [served(lanes) for _ in range(150)]
    assert order.count("bulk") == 2
    assert order.index("bulk") == 70


def test_a_lane_gets_no_more_than_its_ceiling_while_others_wait() -> None:
    lanes = Lanes(CEILINGS, Tenants())
    lined_up(lanes, "urgent", 100, times=1_000)
    lined_up(lanes, "standard", 250, times=1_000)
    order = [served(lanes) for _ in range(500)]
    urgent, standard = order.count("urgent") * 100, order.count("standard") * 250
    assert urgent / (urgent + standard) == pytest.approx(0.7, abs=0.01)


def test_what_a_lane_takes_while_nobody_else_waits_is_not_held_against_it() -> None:
    lanes = Lanes(CEILINGS, Tenants())
    lined_up(lanes, "urgent", 100, times=1_000)
    assert [served(lanes) for _ in range(500)] == ["urgent"] * 500
    lined_up(lanes, "standard", 100, times=10)
    assert served(lanes) == "urgent"


def test_a_lane_that_ran_empty_owes_nothing_any_more() -> None:
    lanes = Lanes(CEILINGS, Tenants())
    lined_up(lanes, "standard", 1_000)
    lined_up(lanes, "urgent", 100, times=3)
    assert [served(lanes) for _ in range(3)] == ["urgent"] * 3
    assert lanes.queue("urgent").excess_ppm_tokens == 0


def test_of_two_lanes_at_their_ceilings_the_second_serves() -> None:
    both = (replace(URGENT, ceiling_ppm=500_000), replace(STANDARD, ceiling_ppm=500_000), BULK)
    lanes = Lanes(both, Tenants())
    for lane in ("urgent", "standard", "bulk"):
        lined_up(lanes, lane, times=400)
    order = [served(lanes) for _ in range(400)]
    assert order.count("urgent") == pytest.approx(200, abs=4)
    assert order.count("standard") > order.count("bulk") > 30


def test_a_lane_whose_tenants_have_all_reached_their_caps_lets_others_pass_until_they_may() -> None:
    lanes = Lanes(LANES, Tenants(others=TenantRule(cap_tokens=100)))
    lined_up(lanes, "urgent", 100, times=2)
    assert served(lanes) == "urgent"
    lined_up(lanes, "bulk", 100)
    assert lanes.pick(0) is None
    assert lanes.opens_at() == 60_100
    pick = lanes.pick(60_100)
    assert pick is not None
    assert pick.ticket.source.partition.lane == "urgent"


def test_what_a_lane_owes_beyond_its_ceiling_stays_while_caps_keep_all_of_it_out() -> None:
    lanes = Lanes(CEILINGS, Tenants({"acme": TenantRule(cap_tokens=100)}))
    for _ in range(2):
        lanes.queue("urgent").append(ticket(candidate(tenant="acme"), lane="urgent"))
    lined_up(lanes, "standard")
    lined_up(lanes, "bulk")
    assert [served(lanes) for _ in range(2)] == ["urgent", "standard"]
    assert lanes.queue("urgent").excess_ppm_tokens == 30 * PPM


def test_a_lane_leaves_the_reserves_of_the_idle_lanes_above_it() -> None:
    made = Lanes(LANES, Tenants())
    assert [made.reserved_ppm(lane) for lane in ("urgent", "standard", "bulk")] == [0, 200_000, 200_000]
    lined_up(made, "urgent", 100)
    assert made.reserved_ppm("bulk") == 0, "the lane above is not idle"


def test_before_the_first_answer_the_first_lane_that_waits_is_asked_whatever_is_owed_below() -> None:
    made = Lanes(LANES, Tenants())
    assert made.foremost(0) is None
    bulk, standard = (lined_up(made, lane, 100)[0] for lane in ("bulk", "standard"))
    made.queue("bulk").credit_ppm_tokens = 10**9
    assert made.pick(0) == Pick(bulk, 200_000)
    assert made.foremost(0) == Pick(standard, 200_000)
    made.queue("standard").remove(standard)
    assert made.foremost(0) == Pick(bulk, 200_000)
    (urgent,) = lined_up(made, "urgent", 100)
    assert made.foremost(0) == Pick(urgent, 0)


def test_a_call_leaves_the_reserves_of_the_lanes_above_that_are_idle() -> None:
    made = Lanes((BULK, URGENT, replace(STANDARD, reserve_ppm=50_000)), Tenants())
    assert [made.reserved_ppm(lane) for lane in ("urgent", "standard", "bulk")] == [0, 200_000, 250_000]
    lined_up(made, "bulk")
    assert made.reserved_ppm("bulk") == 250_000
    (urgent,) = lined_up(made, "urgent")
    assert [made.reserved_ppm(lane) for lane in ("urgent", "standard", "bulk")] == [0, 0, 50_000]
    lined_up(made, "standard")
    assert made.reserved_ppm("bulk") == 0
    made.queue("urgent").remove(urgent)
    assert made.reserved_ppm("bulk") == 200_000


def test_the_line_of_a_tenant_is_its_own() -> None:
    lanes = Lanes(LANES, Tenants())
    (nobodys,) = lined_up(lanes, "standard")
    lanes.queue("standard").append(ticket(candidate(tenant="acme")))
    assert list(lanes.queue("standard").tenant_queue("")) == [nobodys]


def test_another_price_changes_what_waits_but_for_what_the_server_has_priced() -> None:
    lanes = Lanes(LANES, Tenants())
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


def test_a_lane_that_counts_other_than_it_holds_is_told() -> None:
    lanes = Lanes(LANES, Tenants())
    waiting = ticket()
    lanes.queue("standard").append(waiting)
    assert lanes.is_sound()
    lanes.queue("standard").waiting_tokens += 1
    assert not lanes.is_sound()


def test_all_waiting_tickets_are_told_lane_by_lane() -> None:
    lanes = Lanes(LANES, Tenants())
    bulk, urgent = lined_up(lanes, "bulk", times=2), lined_up(lanes, "urgent")
    assert list(lanes.tickets()) == [*urgent, *bulk]
    assert lanes.waiting_lanes() == ["urgent", "bulk"]


def test_a_ticket_that_names_input_or_a_template_is_priced_again_in_its_turn_and_no_other_one() -> None:
    lanes = Lanes(LANES, Tenants())
    shown, named, stated, known = [waiting("standard") for _ in range(4)]
    unshown = Unshown((Reference(ReferenceKind.FILE, b"f"),), 90, (100,))
    for each in (named, stated):
        prices = replace(each.candidate.prices, unshown=unshown)
        each.candidate = replace(each.candidate, prices=prices)
    prices = replace(known.candidate.prices, template=b"sorts...")
    known.candidate = replace(known.candidate, prices=prices)
    stated.stated = True
    for each in (shown, named, stated, known):
        lanes.queue("standard").append(each)
        for _ in range(2):
            lanes.reprice_one(each, lambda _: 700)
    assert [each.charge for each in (shown, named, stated, known)] == [100, 700, 100, 700]
    assert lanes.is_sound()
