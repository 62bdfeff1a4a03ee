"""The next call of one limit, without the scheduler around it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.endpoints import Law
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.unshown_input import Bill
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import BULK, LANES, STANDARD, URGENT, budget, candidate, ticket

MARK = b"12345678"
SIZE = RequestSize(40, 1, 1, 0, None, 10, function_tools=False, embedding_tokens=None)
NAMED = prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.RESPONSE, MARK),))


class Rig:
    def __init__(
        self,
        made: Budget | None = None,
        *,
        tenants: Mapping[str, TenantRule] | None = None,
        lanes: Sequence[LaneRule] = LANES,
    ) -> None:
        caps = Tenants(tenants)
        self.queue = LimitQueue(made or budget(), lambda durations: Lanes(lanes, caps, durations), lambda *_: None)

    def waits(self, charge: int = 100, *, lane: str = "standard", tenant: str = "", named: bool = False) -> Ticket:
        """A request; `named`: it goes on from a response that is not known when it is enqueued."""
        content = candidate(charge=charge, tenant=tenant)
        waiting = ticket(replace(content, prices=NAMED) if named else content, lane=lane)
        if named:
            waiting.charge = self.queue.budget.tariff.price(NAMED)
        self.queue.enqueue(waiting)
        return waiting

    def bill(self, kept: int) -> None:
        """Let the response be known."""
        self.queue.budget.tariff.unshown.record_answer((), 0, Bill(kept, MARK))

    def serve(self, now_ms: int = 0) -> Ticket | None:
        """Serve the next request, if it can be called now."""
        found = self.next(now_ms)
        if found is None or found[1] > now_ms:
            return None
        self.queue.lanes.serve(found[0], now_ms)
        return found[0]

    def next(self, now_ms: int = 0, *, probe: bool = False) -> tuple[Ticket, int] | None:
        found = self.queue.next(now_ms, probe=probe)
        return None if found is None else (found[0].ticket, found[1])


def test_nothing_follows_where_nothing_waits() -> None:
    rig = Rig()
    assert rig.next() is None
    assert rig.next(probe=True) is None


def test_the_next_call_is_that_of_the_first_lane_and_comes_when_the_limit_can_pay() -> None:
    rig = Rig()
    rig.waits()
    urgent = rig.waits(lane="urgent")
    assert rig.next() == (urgent, 0)
    rig.queue.budget.reserve(1, 60_000, 0)
    found = rig.next()
    assert found is not None
    assert found[0] is urgent
    assert 90 <= found[1] <= 120


def test_before_the_first_answer_the_most_urgent_lane_goes_and_others_wait_for_that_answer() -> None:
    rig = Rig(budget(tokens=None, believed=False))
    bulk = rig.waits(lane="bulk")
    assert rig.next() == (bulk, 0)
    rig.queue.lanes.serve(bulk, 0)
    rig.queue.budget.reserve(1, bulk.charge, 0)
    rig.waits(50_000, lane="bulk")
    assert rig.next() is None


def test_a_limit_in_trouble_names_its_next_request_until_the_rest_is_over_and_then_its_probe() -> None:
    rig = Rig()
    rig.queue.budget.breaker.trip(Meaning.OVERLOADED, 0, 1_000)
    assert rig.next() is None
    dear, cheap = rig.waits(900), rig.waits(5)
    assert rig.next() == (dear, 1_000)
    rig.queue.lanes.record_probe("standard")
    assert rig.next(1_000) == (cheap, 1_000)
    rig.queue.budget.breaker.close()
    assert rig.next(1_000) == (dear, 1_000)
    assert rig.queue.lanes.probes == {}


def test_a_head_without_room_beside_the_reserve_may_use_it_after_a_full_refill() -> None:
    rig = Rig()
    large = rig.waits(55_000)  # of 60,000, of which urgent has reserved 12,000
    for attempt, now_ms in enumerate(range(0, 60_000, 5_000)):  # urgent spends, so that the bucket is never full
        rig.queue.budget.reserve(attempt, 4_900, now_ms)
        found = rig.next(now_ms)
        assert found is not None
        assert found[0] is large
        assert now_ms < found[1] <= 60_000
    assert rig.next(59_700) == (large, 59_902)
    rig.queue.budget.reserve(99, 4_900, 59_800)
    assert rig.next(59_800) == (large, 60_000)
    assert rig.next(60_000) == (large, 60_000)


def test_the_time_of_a_refill_begins_anew_for_another_head() -> None:
    rig = Rig()
    first = rig.waits(55_000)
    rig.queue.budget.reserve(1, 4_900, 0)
    assert rig.next() is not None
    rig.queue.budget.reserve(2, 4_900, 59_000)
    assert rig.next(59_000) == (first, 60_000)
    rig.queue.remove(first)
    second = rig.waits(55_000)
    assert rig.next(59_000) == (second, 63_902)


def test_a_head_with_room_beside_the_reserve_waits_for_its_tokens_only() -> None:
    rig = Rig()
    rig.queue.budget.reserve(1, 20_000, 0)
    small = rig.waits(40_000)
    found = rig.next()
    assert found is not None
    assert found[0] is small
    assert 11_900 <= found[1] <= 12_200  # 40,000 are there, 12,000 are reserved


def test_the_least_that_a_call_takes_is_what_the_server_has_stated_or_the_cheapest_possible_law_says() -> None:
    rig = Rig()
    waiting = rig.waits(900)
    assert rig.queue.least(waiting) == 900
    waiting.charge, waiting.stated = 70, True
    assert rig.queue.least(waiting) == 70


def test_the_next_call_is_priced_by_what_is_known_in_its_turn() -> None:
    """It was enqueued while the answer that it goes on from was not known."""
    rig = Rig()
    waiting = rig.waits(named=True)
    rig.bill(41_000)
    assert rig.next() == (waiting, 0)
    assert waiting.charge == 10 + 19 + 41_000
    assert rig.queue.is_sound()


def test_a_tenants_cap_holds_for_the_price_of_a_request_in_its_turn() -> None:
    rig = Rig(budget(tokens=10_000_000), tenants={"a": TenantRule(cap_tokens=60_000)})
    for _ in range(3):
        rig.waits(named=True, tenant="a")
    rig.bill(50_000)
    served = rig.serve()
    assert served is not None
    assert served.charge == 50_029
    assert rig.serve(1) is None
    other = rig.waits(70_000, tenant="b")
    assert rig.serve(2) is other
    assert rig.serve(2) is None
    assert rig.serve(60_200) is not None, "the cap lets the next one through"
    assert rig.queue.is_sound()


def test_each_tenant_whose_head_is_too_dear_in_its_turn_is_passed_over() -> None:
    rules = {name: TenantRule(cap_tokens=60_000) for name in ("a", "b", "c")}
    rig = Rig(budget(tokens=10_000_000), tenants=rules)
    for name in ("a", "b", "c"):
        rig.waits(30_000, tenant=name)
        rig.waits(named=name != "c", tenant=name)
    rig.bill(50_000)
    served = [each.candidate.tenant for _ in range(6) if (each := rig.serve()) is not None]
    assert sorted(served) == ["a", "b", "c", "c"]


def test_a_floor_is_owed_a_request_that_it_covers_at_the_price_of_its_turn() -> None:
    for kept, is_owed in ((100, True), (50_000, False)):
        rig = Rig(budget(tokens=10_000_000), lanes=(URGENT, replace(STANDARD, floor_ppm=500_000), BULK))
        waiting = rig.waits(named=True)
        for _ in range(12):
            rig.waits(1_000, lane="urgent")
        rig.bill(kept)
        served = [rig.serve() for _ in range(10)]
        assert (waiting in served) == is_owed


def test_a_request_near_its_deadline_is_lifted_if_the_credit_covers_its_price_then() -> None:
    for kept, is_lifted in ((100, True), (50_000, False)):
        rules = [replace(rule, floor_ppm=0, lift_ppm=500_000) for rule in LANES]
        rig = Rig(budget(tokens=10_000_000), lanes=rules)
        waiting = rig.waits(named=True)
        rig.queue.lanes.queue("standard").nearing.add(waiting)
        rig.queue.lanes._hurrying = True
        for _ in range(12):
            rig.waits(1_000, lane="urgent")
        rig.bill(kept)
        served = [rig.serve() for _ in range(10)]
        assert (waiting in served) == is_lifted


def test_a_probe_is_the_cheapest_at_the_price_of_its_turn() -> None:
    rig = Rig()
    rig.queue.budget.breaker.trip(Meaning.OVERLOADED, 0, 1_000)
    waiting, plain = rig.waits(named=True, tenant="a"), rig.waits(9_000, tenant="b")
    rig.bill(40_000)
    assert rig.next(1_000, probe=True) == (plain, 1_000)
    rig.bill(300)
    assert rig.next(1_000, probe=True) == (plain, 1_000), "the price of another turn"
    rig.queue.remove(plain)
    assert rig.next(1_000, probe=True) == (waiting, 1_000)
    assert waiting.charge == 329


def test_an_absurd_price_counts_against_its_tenants_share_for_what_a_call_can_pay() -> None:
    rig = Rig()
    waiting = rig.waits(named=True, tenant="a")
    rig.bill(2_000_000)
    for _ in range(20):
        rig.waits(12_000, tenant="a")
        rig.waits(12_000, tenant="b")
    served = []
    for _ in range(24):
        found = rig.next()
        assert found is not None
        rig.queue.lanes.serve(found[0], 0)
        served.append(found[0])
    assert waiting.charge == 2 * 60_000
    assert waiting in served
    assert [each.candidate.tenant for each in served].count("a") >= 5
