"""Who stands before a request: counted by hand, and then against whom the core really serves first."""

from collections.abc import Mapping
from dataclasses import replace

from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.service.status.queue_position import NO_REQUESTS, Place, QueueTotals, called_by_then, place_of
from tests.unit.core.specimens import BULK, FAR_MS, LANES, STANDARD, URGENT, candidate, ticket


class Waiting:
    """The lanes of one limit, with somebody waiting."""

    def __init__(self, weights: Mapping[str, int] | None = None) -> None:
        self.tenants = Tenants({name: TenantRule(weight) for name, weight in (weights or {}).items()})
        self.lanes = Lanes(LANES, self.tenants)

    def add(self, tenant: str = "", charge: int = 100, lane: str = "standard", *, deadline_ms: int = FAR_MS) -> Ticket:
        made = ticket(candidate(charge=charge, tenant=tenant, deadline_ms=deadline_ms), lane=lane)
        self.lanes.queue(lane).append(made)
        return made

    def place(self, asked: Ticket, *, front: bool = False) -> Place:
        def weight_of(tenant: str) -> int:
            return self.tenants.rule(tenant).weight

        return place_of(asked, LANES, self.lanes.queue, weight_of, front=front)


def test_of_one_tenant_it_is_exact() -> None:
    waiting = Waiting()
    first, second, third = (waiting.add(charge=charge) for charge in (10, 20, 30))
    assert [waiting.place(each).tenant for each in (first, second, third)] == [
        NO_REQUESTS,
        QueueTotals(1, 10),
        QueueTotals(2, 30),
    ]
    assert waiting.place(third).lane == QueueTotals(2, 30)


def test_lanes_above_and_below_are_told_apart_and_by_name() -> None:
    waiting = Waiting()
    asked = waiting.add()
    for lane, charge in (("urgent", 7), ("bulk", 5), ("bulk", 5)):
        waiting.add(lane=lane, charge=charge)
    place = waiting.place(asked)
    assert (place.above, place.below) == ({"urgent": QueueTotals(1, 7)}, {"bulk": QueueTotals(2, 10)})
    assert place.lane == NO_REQUESTS


def test_of_other_tenants_those_count_whose_tokens_over_their_weight_are_used_up_first() -> None:
    waiting = Waiting({"big": 2_000})
    asked = [waiting.add("acme") for _ in range(3)][-1]
    for _ in range(20):
        waiting.add("big")
        waiting.add("zenith")
    place = waiting.place(asked)
    assert place.tenant == QueueTotals(2, 200)
    assert place.lane == QueueTotals(2 + 6 + 3, 1_100), "big has twice the weight"


def test_who_is_late_comes_after_all_who_are_not_and_after_those_with_more_time() -> None:
    waiting = Waiting()
    waiting.lanes.durations.add("", 500)
    late, later = (waiting.add("acme", charge, deadline_ms=at) for charge, at in ((10, 1_000), (20, 1_100)))
    first, last = waiting.add("acme"), waiting.add("zenith")
    for each in (late, later):
        waiting.lanes.apply_deadline(each, 900)
    assert waiting.place(late) == Place(
        QueueTotals(2, 120), QueueTotals(3, 220), {"urgent": NO_REQUESTS}, {"bulk": NO_REQUESTS}
    )
    assert waiting.place(later).lane == QueueTotals(2, 200)
    assert [waiting.place(each).tenant for each in (first, last)] == [NO_REQUESTS, NO_REQUESTS]


def test_who_is_next_in_its_lane_has_nobody_before_it() -> None:
    waiting = Waiting()
    both = [waiting.add("acme"), waiting.add("zenith")]
    assert [waiting.place(each).lane.requests for each in both] == [1, 1], "nobody has asked yet whose turn it is"
    first = waiting.lanes.queue("standard").next(0)
    assert [waiting.place(each).lane.requests for each in both] == [int(each is not first) for each in both]


def test_a_place_is_within_one_request_a_tenant_of_what_is_served() -> None:
    waiting = Waiting({"big": 3_000, "small": 500})
    every = [
        waiting.add(tenant, charge) for n in range(40) for tenant, charge in (("big", 90), ("small", 40 + n), ("", 70))
    ]
    told = {each: waiting.place(each).lane.requests for each in every}
    served = 0
    while (pick := waiting.lanes.pick(0)) is not None:
        pick.ticket.state = State.CALLING
        waiting.lanes.serve(pick.ticket, 0)
        assert abs(told[pick.ticket] - served) <= 4, (pick.ticket.candidate.tenant, told[pick.ticket], served)
        served += 1
    assert served == len(every)


def test_who_stands_in_no_line_is_told_where_it_would() -> None:
    waiting = Waiting()
    for deadline_ms in (10, 20, 30):
        made = ticket(candidate(deadline_ms=deadline_ms))
        waiting.lanes.queue("standard").append(made)
    asked = ticket(candidate(deadline_ms=20))
    assert waiting.place(asked).tenant.requests == 2, "by its deadline"
    assert waiting.place(asked, front=True).tenant == NO_REQUESTS, "a retry comes back to the front"


# ---------------------------------------------------------------------------------------------------- by then


def by_then(
    own: QueueTotals,
    above: QueueTotals = NO_REQUESTS,
    below: QueueTotals = NO_REQUESTS,
    *,
    floor: int = 0,
    ceiling: int = 10,
) -> QueueTotals:
    """The standard lane's rule with that floor and ceiling, in tenths; bulk has a floor of a tenth."""
    own_rule = replace(STANDARD, floor_ppm=floor * 100_000, ceiling_ppm=ceiling * 100_000)
    place = Place(NO_REQUESTS, own, {"urgent": above}, {"bulk": below})
    return called_by_then(place, 100, (BULK, URGENT, own_rule))


def test_alone_those_before_it_and_itself_will_have_been_called() -> None:
    assert by_then(QueueTotals(4, 400)) == QueueTotals(5, 500)


def test_lanes_above_go_first() -> None:
    assert by_then(QueueTotals(4, 400), QueueTotals(10, 1_000)) == QueueTotals(15, 1_500)


def test_a_floor_lets_it_go_before_all_of_a_long_lane_above_have_gone() -> None:
    assert by_then(QueueTotals(4, 400), QueueTotals(1_000, 100_000), floor=5) == QueueTotals(5 + 5, 1_000)


def test_lanes_below_get_their_floors_meanwhile_and_no_more_than_they_wait_for() -> None:
    assert by_then(QueueTotals(8, 800), below=QueueTotals(50, 5_000)) == QueueTotals(9 + 1, 1_000)
    assert by_then(QueueTotals(89, 8_900), below=QueueTotals(1, 7)) == QueueTotals(90 + 1, 9_007)


def test_a_ceiling_leaves_the_rest_to_lanes_below() -> None:
    assert by_then(QueueTotals(4, 400), below=QueueTotals(50, 5_000), ceiling=5) == QueueTotals(5 + 5, 1_000)
    assert by_then(QueueTotals(4, 400), below=QueueTotals(1, 7), ceiling=5) == QueueTotals(5 + 1, 507), (
        "no more than waits there"
    )
    assert by_then(QueueTotals(4, 400), ceiling=5) == QueueTotals(5, 500), "nobody waits there"
