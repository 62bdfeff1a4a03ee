from headrace.broker.core.bounds import PROBES_LOOKED_AT
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.late import LateQueue
from headrace.broker.core.lanes.tenants import Tenants
from tests.unit.core.specimens import candidate, ticket


def test_whoever_has_most_time_left_goes_first() -> None:
    late = LateQueue(Tenants())
    near, far, middle = (ticket(candidate(deadline_ms=at)) for at in (10, 30, 20))
    for each in (near, far, middle):
        late.add(each)
    assert (len(late), near.late) == (3, True)
    assert late.next(0) is far
    late.remove(far)
    assert (late.next(0), far.late) == (middle, False)


def test_nobody_is_next_among_nobody() -> None:
    late = LateQueue(Tenants())
    late.reprice(lambda _: 7)
    assert late.next(0) is None
    assert (len(late), late.tokens, list(late), list(reversed(late))) == (0, 0, [], [])


def test_they_stand_by_deadline_and_can_be_priced_again() -> None:
    late = LateQueue(Tenants())
    far, near = (ticket(candidate(deadline_ms=at, charge=100)) for at in (30, 10))
    late.add(far)
    late.add(near)
    assert (list(late), list(reversed(late)), late.tokens) == ([near, far], [far, near], 200)
    late.reprice(lambda _: 7)
    assert (late.tokens, near.charge, list(late.queue)) == (14, 7, [near, far])


def test_a_tenant_whose_cap_is_reached_is_passed_over() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    tenants.record_start("acme", 100, 0)
    late = LateQueue(tenants)
    shut, free = ticket(candidate(tenant="acme", deadline_ms=30)), ticket(candidate(deadline_ms=20))
    late.add(shut)
    assert late.next(0) is None
    late.add(free)
    assert late.next(0) is free
    tenants.record_end("acme")
    assert late.next(0) is shut


def test_only_some_are_looked_at() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    tenants.record_start("acme", 100, 0)
    late = LateQueue(tenants)
    late.add(ticket(candidate(deadline_ms=1)))
    for _ in range(PROBES_LOOKED_AT):
        late.add(ticket(candidate(tenant="acme", deadline_ms=2)))
    assert late.next(0) is None
