"""Turns at another charge, and tenants that are given back what their calls have not taken."""

from random import Random

import pytest

from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes import fair_queue as module
from headrace.broker.core.lanes.fair_queue import FairQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket
from tests.unit.core.lanes.test_fair_queue import serve, served, wait


def test_a_request_whose_turn_it_is_keeps_it_at_another_charge_and_the_next_ones_count_that() -> None:
    fair = FairQueue(Tenants())
    (alone,) = wait(fair, "a", 100)
    fair.reprice_one(alone, 200)
    assert (alone.charge, fair.tenant_queue("a").tokens) == (200, 200)
    wait(fair, "a", 100, times=8)
    wait(fair, "b", 100, times=8)
    head = fair.next(0)
    assert head is not None
    fair.reprice_one(head, 500)
    assert serve(fair) is head
    assert served(fair, 4).count(head.candidate.tenant) == 0, "the others catch up"


def test_a_tenant_that_a_cap_holds_out_takes_no_part_at_another_charge() -> None:
    fair = FairQueue(tenants := Tenants({"a": TenantRule(cap_tokens=100)}))
    mine = wait(fair, "a", times=2)
    wait(fair, "b", times=3)
    tenants.record_start("a", 100, 0)
    assert serve(fair).candidate.tenant == "b"
    fair.reprice_one(mine[0], 50)
    assert served(fair, 2) == "bb"


def capped(*tenants: str, cap_tokens: int = 1_000) -> tuple[FairQueue, Tenants]:
    caps = Tenants({tenant: TenantRule(cap_tokens=cap_tokens) for tenant in tenants})
    return FairQueue(caps), caps


def start(fair: FairQueue, caps: Tenants, now_ms: int = 0) -> Ticket:
    """Serve the next one, counted in its tenant's cap."""
    found = serve(fair, now_ms)
    caps.record_start(found.candidate.tenant, found.charge, now_ms)
    return found


@pytest.mark.parametrize("others", ["", "b"])
def test_a_tenant_competes_again_as_soon_as_tokens_that_held_it_out_are_given_back(others: str) -> None:
    fair, caps = capped("a")
    wait(fair, "a", 900, times=3)
    start(fair, caps)
    assert fair.next(10) is None
    if others:
        wait(fair, others, 500)
    caps.record_end("a")
    caps.give_back("a", 800, 0)
    assert fair.opens_at() is None
    assert start(fair, caps, 20).candidate.tenant == (others or "a")
    if others:
        assert start(fair, caps, 20).candidate.tenant == "a"
    assert fair.next(30) is None
    again_ms = fair.opens_at()
    assert again_ms is not None
    assert fair.next(again_ms) is not None, "the instant of the first time changes nothing"


def test_a_tenant_to_which_not_enough_is_given_back_stays_held_out_until_its_new_instant() -> None:
    fair, caps = capped("a")
    wait(fair, "a", 600, times=2)
    start(fair, caps)
    caps.record_start("a", 300, 10_000)
    assert fair.next(20_000) is None
    assert fair.opens_at() == 60_100
    caps.give_back("a", 100, 0)
    assert fair.next(20_000) is None
    assert fair.opens_at() == 60_100
    caps.give_back("a", 200, 0)
    caps.give_back("a", -300, 10_000)
    assert fair.next(20_000) is None
    assert fair.opens_at() == 70_100


def test_tenants_that_are_held_out_again_and_again_leave_few_instants_behind() -> None:
    fair, caps = capped("a", "b")
    for tenant in ("a", "b"):
        wait(fair, tenant, 900, times=2)
        start(fair, caps)
    for tokens in range(1_000):
        assert fair.next(10) is None
        caps.give_back("ab"[tokens % 2], 1 if tokens < 100 else 0, 0)
        caps.record_start("a", 0, 10)
    assert len(fair._opens) <= 2 * 2 + module._STALE_MAX + 1
    assert len(caps._on_given_back.get("a", {})) <= 1
    assert fair.next(60_200) is not None


def test_shares_stay_just_among_tenants_that_caps_hold_out_and_readmit() -> None:
    chance, now_ms = Random(1), 0
    fair, caps = capped("a", "b", cap_tokens=20_000)
    wait(fair, "c", 100, times=500)
    for tenant in ("a", "b"):
        wait(fair, tenant, 400, times=500)
    flying: list[tuple[Ticket, int]] = []
    taken = {"a": 0, "b": 0, "c": 0}
    for _ in range(6_000):
        now_ms += 20
        if (found := fair.next(now_ms)) is not None:
            fair.serve(found)
            caps.record_start(found.candidate.tenant, found.charge, now_ms)
            flying.append((found, now_ms))
        if flying and chance.random() < 0.6:
            ended, sent_ms = flying.pop(0)
            caps.record_end(ended.candidate.tenant)
            given = chance.choice((300, 0)) if ended.candidate.tenant != "c" else 0
            caps.give_back(ended.candidate.tenant, given, sent_ms)
            taken[ended.candidate.tenant] += ended.charge - given
    for tenant in ("a", "b"):
        assert 20_000 <= taken[tenant] <= 3 * 20_000
    assert abs(taken["a"] - taken["b"]) <= 4_000
