"""The next call of one limit, without the scheduler around it."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.endpoints import Law
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.unshown_input import Bill
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import LANES, budget, candidate, ticket


class Rig:
    def __init__(self, made: Budget | None = None) -> None:
        caps = Tenants()
        self.queue = LimitQueue(made or budget(), lambda durations: Lanes(LANES, caps, durations), lambda *_: None)

    def waits(self, charge: int = 100, *, lane: str = "standard") -> Ticket:
        waiting = ticket(candidate(charge=charge), lane=lane)
        self.queue.enqueue(waiting)
        return waiting

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
    mark = b"12345678"
    size = RequestSize(40, 1, 1, 0, None, 10, function_tools=False, embedding_tokens=None)
    asked = prices("responses", size, Law.RESPONSES, (Reference(ReferenceKind.RESPONSE, mark),))
    waiting = ticket(replace(candidate(), prices=asked))
    waiting.charge = rig.queue.budget.tariff.price(asked)
    rig.queue.enqueue(waiting)
    rig.queue.budget.tariff.unshown.record_answer((), 0, Bill(41_000, mark))
    assert rig.next() == (waiting, 0)
    assert waiting.charge == 10 + 19 + 41_000
    assert rig.queue.is_sound()
