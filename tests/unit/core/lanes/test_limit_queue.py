"""Service tiers in a limit's queue. What it does besides is in `test_limit_queue_next`."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import FAILURES_IN_A_ROW
from headrace.broker.core.budget.tier_breaker import IDLE_MS, REST_MIN_MS, CallToTier
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import ASIDE_LOOK_MS, SORTED_AT_ONCE_MAX, LimitQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import ModelTier, State, Ticket
from tests.unit.core.specimens import BULK, FAR_MS, STANDARD, URGENT, budget, candidate, ticket, verdict

FLEX = ModelTier("gpt", "flex")
REST_MS = 7_500  # the first rest, as the dice fall here


class Rig:
    """One limit, whose waiting requests are served by hand."""

    def __init__(self, tenants: Tenants | None = None, *, lift_ppm: int = 0) -> None:
        rules = [replace(rule, lift_ppm=lift_ppm) for rule in (URGENT, STANDARD, BULK)]
        caps = tenants or Tenants()
        self.queue = LimitQueue(budget(), lambda durations: Lanes(rules, caps, durations), self._returned)
        self.returned: list[Ticket] = []
        self.now_ms = 0

    def _returned(self, queue: LimitQueue, back: Ticket, now_ms: int) -> None:
        assert queue is self.queue
        assert now_ms == self.now_ms
        queue.lanes.queue(back.source.partition.lane).tenant_queue(back.candidate.tenant)  # as the scheduler asks
        self.returned.append(back)

    def waits(
        self, tier: str = "", *, lane: str = "standard", tenant: str = "", deadline_ms: int = FAR_MS, charge: int = 100
    ) -> Ticket:
        content = replace(candidate(tenant=tenant, deadline_ms=deadline_ms, charge=charge), tier=tier)
        waiting = ticket(content, lane=lane)
        self.queue.enqueue(waiting)
        return waiting

    def ended(self, meaning: Meaning, *, probe: bool = False, tier: ModelTier = FLEX) -> None:
        call = CallToTier(tier, verdict(meaning), self.now_ms, probe, lambda *_: False)
        self.queue.budget.tiers.observe(call, self.now_ms, 0.5)

    def open(self, tier: ModelTier = FLEX) -> None:
        for _ in range(FAILURES_IN_A_ROW):
            self.ended(Meaning.TIER_UNAVAILABLE, tier=tier)

    def next(self, *, probe: bool = False) -> Ticket | None:
        self.queue.sort(self.now_ms)
        self.queue.prepare(self.now_ms)
        found = self.queue.choose(self.now_ms, probe=probe)
        return None if found is None else found[0].ticket

    def called(self) -> Ticket | None:
        """Call the next ticket; it is the probe of its tier if that rests."""
        following = self.next()
        if following is not None:
            self.queue.lanes.serve(following, self.now_ms)
            following.state = State.CALLING
            following.calls += 1
            breaker = self.queue.budget.tiers.find(following.candidate.model_tier)
            if breaker is not None:
                breaker.probe()
        return following

    def calls(self) -> list[Ticket]:
        """Call the next ticket until there is none."""
        found = []
        while (following := self.called()) is not None:
            found.append(following)
        return found


def apart(tickets: Sequence[Ticket]) -> list[bool]:
    return [waiting.in_tier_lanes for waiting in tickets]


def test_requests_of_a_resting_tier_are_set_aside_wherever_they_stand() -> None:
    rig = Rig()
    first, flex = rig.waits(), [rig.waits("flex") for _ in range(3)]
    others = [first, rig.waits(), rig.waits("priority"), rig.waits(lane="bulk")]
    rig.open()
    assert rig.next() is first
    assert apart(flex) == [True] * 3
    assert apart(others) == [False] * 4
    assert rig.calls() == others
    assert all(waiting.queued for waiting in flex)
    assert (rig.queue.waiting(), rig.queue.lanes.waiting()) == (3, 0)
    assert rig.queue.is_sound()


def test_requests_that_come_while_their_tier_rests_wait_apart_from_the_start() -> None:
    rig = Rig()
    rig.open()
    rig.open(ModelTier("gpt", "scale"))
    waiting = [rig.waits(tier) for tier in ("flex", "scale", "flex", "")]
    assert apart(waiting) == [True, True, True, False]
    assert {tier.tier: lanes.waiting() for tier, lanes in rig.queue.tier_lanes.items()} == {"flex": 2, "scale": 1}
    rig.queue.remove(waiting[0])
    assert not waiting[0].in_tier_lanes
    assert rig.queue.waiting() == 3


def test_after_each_rest_one_of_them_returns_to_its_lane_and_its_call_is_the_probe() -> None:
    rig = Rig()
    rig.open()
    flex = [rig.waits("flex") for _ in range(3)]
    assert rig.called() is None
    assert rig.queue.look_at(0) == REST_MS
    rig.now_ms = REST_MS
    assert rig.called() is flex[0]
    assert rig.called() is None, "until the probe has ended"
    assert rig.queue.look_at(rig.now_ms) is None
    rig.ended(Meaning.TIER_UNAVAILABLE, probe=True)
    assert rig.called() is None
    rig.now_ms = rig.queue.look_at(rig.now_ms) or 0
    assert rig.now_ms == REST_MS + 12_500
    assert rig.called() is flex[1]


def test_a_probe_waits_for_its_turn_like_every_other_request() -> None:
    rig = Rig()
    rig.open()
    probe = rig.waits("flex", lane="bulk")
    urgent = [rig.waits(lane="urgent") for _ in range(3)]
    rig.now_ms = REST_MS
    assert rig.calls() == [*urgent, probe]


def test_a_probe_goes_before_others_of_its_lane() -> None:
    rig = Rig()
    rig.open()
    probe, other = rig.waits("flex"), rig.waits(deadline_ms=FAR_MS - 1)
    rig.now_ms = REST_MS
    assert rig.calls() == [probe, other]


def test_an_urgent_request_does_not_wait_for_the_turn_of_a_bulk_probe() -> None:
    rig = Rig()
    rig.open()
    bulk, urgent = rig.waits("flex", lane="bulk"), rig.waits(lane="urgent")
    rig.now_ms = REST_MS
    assert rig.next() is urgent
    later = rig.waits("flex", lane="urgent")
    assert rig.calls() == [later, urgent]
    assert bulk.in_tier_lanes, "it was taken back: one call probes the tier"


def test_a_probe_that_was_refused_is_followed_by_another_one() -> None:
    rig = Rig()
    rig.open()
    first, second = rig.waits("flex"), rig.waits("flex")
    rig.now_ms = REST_MS
    assert rig.called() is first
    rig.ended(Meaning.TIER_UNAVAILABLE, probe=True)
    first.state = State.WAITING
    rig.queue.enqueue(first)
    assert first.in_tier_lanes
    rig.now_ms += 12_500
    assert rig.called() is second


def test_if_a_probe_leaves_before_its_call_another_one_takes_its_place() -> None:
    rig = Rig()
    rig.open()
    first, second = rig.waits("flex"), rig.waits("flex")
    rig.now_ms = REST_MS
    assert rig.next() is first
    assert rig.next() is first, "not one more at each look"
    assert second.in_tier_lanes
    rig.queue.remove(first)
    assert rig.called() is second


def test_all_return_to_their_places_when_the_tier_serves_again() -> None:
    rig = Rig()
    rig.open()
    late = rig.waits("flex", deadline_ms=FAR_MS + 30)
    early, bulk = rig.waits("flex", deadline_ms=FAR_MS + 10, charge=99), rig.waits("flex", lane="bulk")
    between = rig.waits(deadline_ms=FAR_MS + 20)
    rig.now_ms = REST_MS
    assert rig.called() is early
    rig.ended(Meaning.OK, probe=True)
    after = rig.waits("flex", deadline_ms=FAR_MS + 40)
    assert not after.in_tier_lanes
    assert rig.calls() == [between, late, after, bulk]
    assert rig.queue.tier_lanes == {}
    assert rig.queue.look_at(rig.now_ms) is None
    assert {*rig.returned} == {early, late, bulk}
    assert apart([late, early, bulk]) == [False] * 3
    assert rig.queue.is_sound()


def test_lanes_without_waiting_requests_of_their_tier_are_dropped() -> None:
    rig = Rig()
    rig.open()
    rig.queue.remove(rig.waits("flex"))
    assert rig.next() is None
    assert rig.queue.tier_lanes == {}


def test_a_tier_that_no_request_waits_for_is_forgotten() -> None:
    rig = Rig()
    assert rig.queue.forget_idle_tiers(0) == []
    rig.open()
    breaker = rig.queue.budget.tiers.find(FLEX)
    rig.queue.remove(rig.waits("flex"))
    assert rig.queue.forget_idle_tiers(REST_MS + IDLE_MS - 1) == []
    assert rig.queue.budget.tiers.rests(FLEX)
    assert rig.queue.forget_idle_tiers(REST_MS + IDLE_MS) == [(FLEX, breaker)]
    assert not rig.queue.budget.tiers.rests(FLEX)


@pytest.mark.parametrize("chosen", [False, True])
def test_a_tier_that_requests_wait_for_is_not_forgotten(*, chosen: bool) -> None:
    rig = Rig()
    rig.open()
    waiting = rig.waits("flex", charge=70_000)  # more than the limit holds: its call never comes
    rig.now_ms = REST_MS + 2 * IDLE_MS
    if chosen:
        rig.queue.prepare(rig.now_ms)
    assert waiting.in_tier_lanes is not chosen
    assert rig.queue.forget_idle_tiers(rig.now_ms) == []
    assert rig.queue.budget.tiers.rests(FLEX)


@pytest.mark.parametrize("others", [0, 1])
def test_a_request_near_its_deadline_is_late_apart_and_after_its_return(others: int) -> None:
    """Alone in its lane it leaves its tenant's queue as it is demoted."""
    rig = Rig(lift_ppm=50_000)
    rig.queue.lanes.durations.add("flex", 1_000)
    near = rig.waits("flex", deadline_ms=REST_MS + 900)
    for _ in range(others):
        rig.waits()
    rig.queue.lanes.apply_deadline(near, REST_MS - 1_000)  # lifted before it is set aside
    rig.open()
    rig.now_ms = REST_MS - 1_000
    rig.queue.sort(rig.now_ms)
    assert near.in_tier_lanes
    assert not near.late
    rig.now_ms = REST_MS
    rig.queue.tier_lanes[FLEX].apply_deadline(near, rig.now_ms)
    assert near.late
    breaker = rig.queue.budget.tiers.find(FLEX)
    assert breaker is not None
    breaker.probe()
    rig.ended(Meaning.OK, probe=True)
    rig.queue.sort(rig.now_ms)
    assert not near.in_tier_lanes
    assert near.late
    assert rig.queue.is_sound()


def test_a_request_that_was_lifted_is_not_called_in_the_turn_of_the_lane_above_while_its_tier_rests() -> None:
    rig = Rig(lift_ppm=500_000)
    urgent = [rig.waits(lane="urgent") for _ in range(10)]
    near = rig.waits("flex", deadline_ms=60_000)
    rig.queue.lanes.apply_deadline(near, 58_000)
    rig.open()
    assert rig.calls() == urgent
    assert near.in_tier_lanes


def test_the_probe_is_one_that_can_still_be_answered_of_those_called_least_often() -> None:
    rig = Rig()
    rig.queue.lanes.durations.add("flex", 60_000)
    rig.open()
    for number in range(100):
        rig.waits("flex", deadline_ms=REST_MS + 600 * number + 100)
    usual, dear = rig.waits("flex", deadline_ms=FAR_MS), rig.waits("flex", deadline_ms=FAR_MS + 1, charge=101)
    rig.now_ms = REST_MS
    assert rig.next() is usual or rig.next() is dear
    rig.queue.remove(usual)
    usual.calls = 1
    rig.queue.enqueue(usual)
    assert rig.next() is dear


def test_if_none_can_be_answered_in_time_the_one_with_most_time_left_goes() -> None:
    rig = Rig()
    rig.queue.lanes.durations.add("flex", 60_000)
    rig.open()
    waiting = [rig.waits("flex", deadline_ms=REST_MS + 1_000 + number) for number in range(70)]
    rig.now_ms = REST_MS
    assert rig.next() is waiting[-1]


def test_a_late_probe_gives_way_to_one_that_can_be_answered() -> None:
    rig = Rig()
    rig.open()
    first = rig.waits("flex")
    rig.waits(lane="urgent")
    rig.now_ms = REST_MS
    rig.queue.prepare(rig.now_ms)
    assert not first.in_tier_lanes
    rig.queue.lanes.queue("standard").demote(first)
    second = rig.waits("flex")
    rig.queue.prepare(rig.now_ms)
    assert apart([first, second]) == [True, False]
    assert rig.queue.is_sound()


def test_a_limit_or_an_account_in_trouble_is_probed_by_requests_of_a_resting_tier_after_its_rest_only() -> None:
    rig = Rig()
    rig.open()
    waiting = rig.waits("flex")
    rig.queue.budget.breaker.trip(Meaning.OVERLOADED, 0, 1_000)
    rig.now_ms = 1_000
    assert rig.next() is None
    assert rig.next(probe=True) is None
    rig.now_ms = REST_MS
    assert rig.next() is waiting
    assert rig.next(probe=True) is waiting


def test_a_tenant_at_its_cap_holds_up_no_probe_of_another() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=100)})
    rig = Rig(tenants)
    rig.open()
    capped = [rig.waits("flex", tenant="acme") for _ in range(100)]
    tenants.record_start("acme", 100, REST_MS - 1_000)
    rig.now_ms = REST_MS
    assert rig.called() is None
    assert rig.queue.look_at(rig.now_ms) == REST_MS + ASIDE_LOOK_MS
    other = rig.waits("flex", tenant="other")
    assert rig.called() is other
    assert apart(capped) == [True] * 100


def test_waiting_requests_are_priced_anew_wherever_they_wait() -> None:
    rig = Rig()
    rig.open()
    waiting, other = rig.waits("flex"), rig.waits()
    waiting.charge = other.charge = 1
    for lanes in (rig.queue.lanes, *rig.queue.tier_lanes.values()):
        lanes.queue("standard").waiting_tokens = 1
    rig.queue._version = -1
    rig.queue.reprice()
    assert (waiting.charge, other.charge) == (100, 100)
    assert rig.queue.is_sound()


def test_a_large_backlog_is_sorted_in_parts_and_none_of_it_is_called_meanwhile() -> None:
    rig = Rig()
    flex = [rig.waits("flex", charge=1) for _ in range(2 * SORTED_AT_ONCE_MAX + 10)]
    gone = rig.waits("flex")
    other = rig.waits(lane="bulk", charge=1)
    rig.open()
    assert not rig.queue.is_sorted
    for sorted_now in (SORTED_AT_ONCE_MAX, 2 * SORTED_AT_ONCE_MAX):
        rig.queue.sort(0)
        assert not rig.queue.is_sorted
        assert sum(apart(flex)) == sorted_now, "however often the next call is asked for"
        for _ in range(3):
            rig.queue.prepare(0)
            assert rig.queue.next(0, probe=False) is None
            assert rig.queue.next(0, probe=True) is None
    rig.queue.remove(gone)
    rig.queue.sort(0)
    assert rig.queue.is_sorted
    assert apart(flex) == [True] * len(flex)
    assert rig.next() is other
    assert rig.queue.is_sound()


def test_the_most_urgent_of_a_large_backlog_are_sorted_first() -> None:
    rig = Rig()
    for _ in range(SORTED_AT_ONCE_MAX):
        rig.waits("flex", lane="bulk")
    flex, other = rig.waits("flex", lane="urgent"), rig.waits(lane="urgent")
    rig.open()
    assert rig.called() is other, "it does not wait for the rest of them"
    assert flex.in_tier_lanes
    assert not rig.queue.is_sorted


def test_a_rest_is_as_long_as_the_breaker_says() -> None:
    rig = Rig()
    rig.open()
    rig.waits("flex")
    breaker = rig.queue.budget.tiers.find(FLEX)
    assert breaker is not None
    rig.now_ms = REST_MS
    assert rig.called() is not None
    breaker.release_probe(rig.now_ms)  # it was cut off
    rig.waits("flex")
    rig.queue.prepare(rig.now_ms)
    assert rig.queue.look_at(rig.now_ms) == rig.now_ms + REST_MIN_MS
