"""Which requests of the lanes are probes of a breaker: of the account, of a limit, or of a service tier."""

from headrace.broker.core.bounds import PROBES_LOOKED_AT, PROBES_SOUGHT
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Blame, Blamed, Ticket
from tests.unit.core.lanes.test_lanes import lined_up
from tests.unit.core.specimens import LANES, candidate, ticket


def probed(made: Lanes, *, of_account: bool = False) -> Ticket:
    """Return the next probe; it is noted as one that failed."""
    found = made.probe(0, of_account=of_account)
    assert found is not None
    assert not found.reserved_ppm
    made.record_probe(found.ticket.source.partition.lane)
    return found.ticket


def test_a_probe_keeps_to_the_caps_of_tenants() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    lanes = Lanes(LANES, tenants)
    of_acme = ticket(candidate(charge=1, tenant="acme"))
    lanes.queue("standard").append(of_acme)
    (dear,) = lined_up(lanes, "bulk", 500)
    for expected in (of_acme, dear):
        assert probed(lanes) is expected
        tenants.record_start("acme", 1, 0)


def test_a_probe_is_the_cheapest_in_front_of_its_lane_and_of_those_that_have_been_called_least() -> None:
    made = Lanes(LANES, Tenants())
    assert made.probe(0) is None
    for charge in (700, *[900] * (PROBES_LOOKED_AT - 1), 1):
        made.queue("bulk").append(ticket(candidate(charge=charge), lane="bulk"))
    cheapest = probed(made)
    assert cheapest.charge == 700
    cheapest.calls = 1
    made.record_probe("bulk")
    assert probed(made).charge == 900


def test_every_other_probe_of_the_account_is_one_of_the_last_requests_of_the_lane_that_was_not_called() -> None:
    made = Lanes(LANES, Tenants())
    requests = lined_up(made, "bulk", 100, times=2 * PROBES_LOOKED_AT)
    last = requests[PROBES_LOOKED_AT:]
    assert probed(made, of_account=True) is requests[0]
    assert probed(made, of_account=True) is last[-1]
    assert probed(made, of_account=True) is requests[0]
    assert probed(made, of_account=True) is last[-2]
    for each in last:
        each.calls = 1
    last[5].calls = 0
    made.record_probe("bulk")
    assert probed(made, of_account=True) is last[5]
    last[5].blames = Blamed(Blame(), Blame())
    made.record_probe("bulk")
    assert probed(made, of_account=True) is requests[0], "all of them have been called"


def test_it_is_never_a_late_one_nor_one_of_the_dearer_half_and_a_limit_has_no_such_turns() -> None:
    made = Lanes(LANES, Tenants())
    requests = lined_up(made, "bulk", 100, times=4)
    for charge in (900, 900, 900, 900):
        made.queue("bulk").append(ticket(candidate(charge=charge), lane="bulk"))
    late = ticket(candidate(charge=1), lane="bulk")
    made.queue("bulk").append(late)
    made.queue("bulk").demote(late)
    found = [probed(made, of_account=True) for _ in range(16)]
    assert {*found[1::2]} == {*requests}
    assert {*found[::2]} == {late}
    assert {probed(made) for _ in range(6)} == {late}


def test_a_request_that_has_not_blamed_the_account_is_found_behind_five_hundred_that_have() -> None:
    for place in (0, PROBES_LOOKED_AT, PROBES_SOUGHT - 1, PROBES_SOUGHT + PROBES_LOOKED_AT - 1):
        made = Lanes(LANES, Tenants())
        requests = lined_up(made, "bulk", 100, times=PROBES_SOUGHT + PROBES_LOOKED_AT)
        for number, each in enumerate(requests):
            each.calls, each.blames = 1, None if number == place else Blamed(Blame(), Blame())
        assert probed(made) is requests[place]


def test_a_request_that_has_blamed_the_account_is_no_probe_while_another_may_go_in_whatever_lane() -> None:
    made = Lanes(LANES, Tenants())
    (first, second), (other,) = lined_up(made, "urgent", 1, times=2), lined_up(made, "bulk", 900)
    first.blames, other.calls = Blamed(Blame(), Blame()), 5
    assert probed(made) is second
    second.blames = Blamed(Blame(), Blame())
    assert probed(made) is other
    other.blames, second.calls = Blamed(Blame(), Blame()), 1
    assert probed(made) is first


def test_the_most_urgent_lane_is_the_first_probe_and_none_is_left_out() -> None:
    made = Lanes(LANES, Tenants())
    for lane, charge in (("urgent", 900), ("standard", 500), ("bulk", 1)):
        lined_up(made, lane, charge)
    lanes = [probed(made).source.partition.lane for _ in range(12)]
    assert "".join(lane[0] for lane in lanes) == "uusubusuusbu"  # as one to a half to a third


def test_a_lane_whose_tenants_have_reached_their_caps_is_not_probed_for() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=1)})
    tenants.record_start("acme", 100, 0)
    lanes = Lanes(LANES, tenants)
    lanes.queue("urgent").append(ticket(candidate(tenant="acme"), lane="urgent"))
    assert lanes.probe(0) is None
    (free,) = lined_up(lanes, "bulk")
    assert lanes.probe(0) == Pick(free, 0)


def test_the_probe_of_a_tier_is_one_that_can_be_answered_of_those_called_least_often_then_the_cheapest() -> None:
    lanes = Lanes(LANES, Tenants())
    lanes.durations.add("", 1_000)
    late, called, dear, usual = (
        ticket(candidate(tenant=name, deadline_ms=deadline_ms, charge=charge))
        for name, deadline_ms, charge in (
            ("late", 900, 1),
            ("called", 9_000, 1),
            ("dear", 9_000, 50),
            ("usual", 9_000, 10),
        )
    )
    called.calls = 1
    for each in (late, called, dear, usual):
        lanes.queue("standard").append(each)
    chosen = []
    while (probe := lanes.tier_probe("standard", 500)) is not None:
        chosen.append(probe)
        lanes.queue("standard").remove(probe)
    assert chosen == [usual, dear, called, late]


def test_the_probe_of_a_tier_is_of_a_tenant_whose_cap_allows_it() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=100)})
    lanes = Lanes(LANES, tenants)
    lanes.queue("standard").append(ticket(candidate(tenant="acme", charge=10)))
    tenants.record_start("acme", 100, 0)
    assert lanes.tier_probe("standard", 0) is None
    other = ticket(candidate(tenant="other", charge=90))
    lanes.queue("standard").append(other)
    assert lanes.tier_probe("standard", 0) is other
    assert lanes.tier_probe("urgent", 0) is None


def test_the_probe_of_a_limit_is_of_a_tenant_whose_cap_allows_it_however_many_are_held() -> None:
    tenants = Tenants({f"t{number}": TenantRule(inflight_max=1) for number in range(100)})
    lanes = Lanes(LANES, tenants)
    for number in range(100):
        tenants.record_start(f"t{number}", 100, 0)
        lanes.queue("standard").append(ticket(candidate(tenant=f"t{number}")))
    assert lanes.probe(0) is None
    assert lanes.tier_probe("standard", 0) is None
    free = ticket(candidate(tenant="free"))
    lanes.queue("standard").append(free)
    probe = lanes.probe(0)
    assert probe is not None
    assert probe.ticket is free
    assert lanes.tier_probe("standard", 0) is free


def test_if_it_must_be_paid_at_once_the_probe_of_a_tier_is_the_cheapest_however_often_it_was_called() -> None:
    lanes = Lanes(LANES, Tenants())
    cheap, dear = ticket(candidate(charge=10)), ticket(candidate(charge=50))
    cheap.calls = 9
    for each in (cheap, dear):
        lanes.queue("standard").append(each)
    assert lanes.tier_probe("standard", 0) is dear
    assert lanes.tier_probe("standard", 0, cheapest=True) is cheap
