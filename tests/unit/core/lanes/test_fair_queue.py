from random import Random

import pytest

from headrace.broker.core.config import WEIGHT_ONE, TenantRule
from headrace.broker.core.lanes import fair_queue as module
from headrace.broker.core.lanes.fair_queue import FairQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket


def of(tenant: str, charge: int = 100, deadline_ms: int = 1_000) -> Ticket:
    return ticket(candidate(charge=charge, tenant=tenant, deadline_ms=deadline_ms))


def wait(fair: FairQueue, tenant: str, charge: int = 100, *, times: int = 1) -> list[Ticket]:
    made = [of(tenant, charge) for _ in range(times)]
    for each in made:
        fair.add(each)
    return made


def serve(fair: FairQueue, now_ms: int = 0) -> Ticket:
    found = fair.next(now_ms)
    assert found is not None
    fair.serve(found)
    return found


def served(fair: FairQueue, times: int) -> str:
    """Whom the next ones are of."""
    return "".join(serve(fair).candidate.tenant for _ in range(times))


def weighted(**weights: int) -> FairQueue:
    return FairQueue(Tenants({tenant: TenantRule(weight * WEIGHT_ONE) for tenant, weight in weights.items()}))


def test_nobody_is_next_where_nobody_waits() -> None:
    assert FairQueue(Tenants()).next(0) is None


def test_one_tenant_alone_is_served_in_its_own_order() -> None:
    fair = FairQueue(Tenants())
    first, second, retry = wait(fair, "a", times=3)
    fair.remove(retry)
    fair.add(retry, front=True)
    assert [serve(fair) for _ in range(3)] == [retry, first, second]
    assert fair.next(0) is None


def test_two_tenants_share_by_tokens_whatever_their_sizes() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 100, times=400)
    wait(fair, "b", 400, times=100)
    order = served(fair, 250)
    assert order.count("a") == pytest.approx(200, abs=4)


def test_weights_are_shares() -> None:
    fair = weighted(a=3, b=1)
    wait(fair, "a", times=300)
    wait(fair, "b", times=300)
    assert served(fair, 200).count("a") == pytest.approx(150, abs=1)


@pytest.mark.parametrize("seed", range(6))
def test_every_tenant_is_within_one_largest_request_of_its_weighted_share_at_every_instant(seed: int) -> None:
    chance = Random(seed)
    names = [chr(97 + number) for number in range(12)]
    weights = {name: chance.randint(1, 5) for name in names}
    largest = {name: chance.choice([100, 4_000]) for name in names}
    fair, got, total = weighted(**weights), dict.fromkeys(names, 0), 0
    for name in names:
        for _ in range(3):
            wait(fair, name, chance.randint(50, largest[name]))
    for _ in range(3_000):
        found = serve(fair)
        name = found.candidate.tenant
        wait(fair, name, chance.randint(50, largest[name]))
        got[name] += found.charge
        total += found.charge
        for each in names:
            share = total * weights[each] / sum(weights.values())
            assert abs(got[each] - share) <= 4_000


def test_a_newcomers_first_goes_next_however_large_and_however_many_wait() -> None:
    fair = FairQueue(Tenants())
    for name in "abcdefgh":
        wait(fair, name, 50, times=100)
    served(fair, 100)
    (large,) = wait(fair, "z", 4_000)
    assert serve(fair) is large


def test_newcomers_do_not_all_go_at_once() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 50, times=1_000)
    served(fair, 10)
    for name in "xyz":
        wait(fair, name, 1_000, times=2)
    order = served(fair, 70)
    assert order[0] == "x"
    assert order[1:6] == 5 * "a"
    assert 4 < order.index("y") < order.index("z") < 40


def test_what_a_tenant_is_served_while_it_is_alone_repays_what_was_let_pass() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "b", 10)
    wait(fair, "a", 100, times=9)
    assert served(fair, 3) == "aba"
    (large,) = wait(fair, "c", 4_000)
    assert serve(fair) is large


def test_a_newcomer_that_was_served_while_it_was_alone_is_none_any_more() -> None:
    fair = FairQueue(Tenants())
    (gone,) = wait(fair, "b", 10)
    wait(fair, "a", 100, times=9)
    fair.remove(gone)
    assert served(fair, 1) == "a"
    (large,) = wait(fair, "c", 4_000)
    assert serve(fair) is large


def test_a_newcomer_that_leaves_unserved_gives_its_turn_to_the_next() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 50, times=10)
    (gone,) = wait(fair, "x", 500)
    (second,) = wait(fair, "y", 500)
    fair.remove(gone)
    assert serve(fair) is second


def test_who_is_next_holds_its_place_whoever_comes_later() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 50, times=4)
    (large,) = wait(fair, "b", 4_000)
    assert fair.next(0) is large
    wait(fair, "c", 1)
    assert fair.next(0) is large
    fair.remove(large)
    assert fair.next(0) is not large


def test_a_probe_of_another_leaves_the_place_of_who_is_next() -> None:
    fair = FairQueue(Tenants())
    first, probe = wait(fair, "a", 50, times=2)
    _, (large,) = wait(fair, "b", 50), wait(fair, "b", 4_000)
    assert served(fair, 1) == "b"
    assert serve(fair) is first
    fair.remove(probe)
    assert fair.next(0) is large
    fair.add(probe)
    wait(fair, "c", 1)
    fair.serve(probe)
    assert fair.next(0) is large


def test_nobody_saves_up_by_having_nobody_wait() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", times=200)
    served(fair, 100)
    wait(fair, "b", times=100)
    assert served(fair, 40).count("b") == pytest.approx(20, abs=1)


def test_who_had_more_than_its_share_does_not_begin_anew_by_coming_again() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 100, times=100)
    (large,) = wait(fair, "b", 1_000)
    assert serve(fair) is large
    wait(fair, "b", 1_000)
    assert served(fair, 9) == 9 * "a"
    assert served(fair, 3).count("b") == 1


def test_where_everybody_has_left_all_begin_anew() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", 100)
    wait(fair, "b", 1_000)
    served(fair, 2)
    assert (fair.mean, len(fair), fair._resting) == (0, 0, {})
    wait(fair, "b", 1_000)
    assert fair.mean == 0


def test_those_at_rest_whom_the_mean_has_passed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS_RESTING_MAX", 4)
    fair = FairQueue(Tenants())
    wait(fair, "a", 100, times=1_000)
    for number in range(4):
        fair.serve(*wait(fair, f"once-{number}", 10_000))
    assert len(fair._resting) == 4
    served(fair, 900)
    fair.serve(*wait(fair, "again", 10))
    assert list(fair._resting) == ["again"]


def test_those_at_rest_who_had_most_lately_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS_RESTING_MAX", 4)
    fair = FairQueue(Tenants())
    wait(fair, "a", 1)
    for number in range(6):
        fair.serve(*wait(fair, str(number), 1_000_000))
    assert list(fair._resting) == ["3", "4", "5"]


def test_another_price_changes_who_is_next() -> None:
    fair = FairQueue(Tenants())
    (a,), (b,) = wait(fair, "a", 100), wait(fair, "b", 200)
    wait(fair, "a", 100)
    fair._new.clear()
    prices = {a: 300, b: 100}
    fair.reprice(lambda each: prices.get(each, 100))
    assert fair.next(0) is b
    assert fair.tenant_queue("a").tokens == 400


def test_a_nearer_deadline_becomes_the_first_of_its_tenant() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", times=2)
    wait(fair, "b")
    near = of("a", deadline_ms=1)
    fair.add(near)
    assert [serve(fair) for _ in range(4)].index(near) <= 1


def test_a_capped_tenant_leaves_the_competition_until_its_minute_is_over() -> None:
    fair = FairQueue(tenants := Tenants({"a": TenantRule(cap_tokens=100)}))
    wait(fair, "a", times=3)
    wait(fair, "b", times=10)
    order = ""
    for _ in range(5):
        order += (found := serve(fair)).candidate.tenant
        tenants.record_start(found.candidate.tenant, found.charge, 0)
    assert (order.count("a"), order.count("b")) == (1, 4)
    assert fair.opens_at() == 60_100
    fair.add(of("a", deadline_ms=1))
    fair.reprice(lambda each: each.charge)
    assert fair.next(60_099) is not None
    order = "".join(serve(fair, 60_100).candidate.tenant for _ in range(4))
    assert order.count("a") == 2  # it saved up nothing meanwhile
    assert fair.opens_at() is None


def test_a_tenant_with_too_many_in_flight_comes_back_when_one_has_ended() -> None:
    fair = FairQueue(tenants := Tenants({"a": TenantRule(inflight_max=1)}))
    first, _, third = wait(fair, "a", times=3)
    assert serve(fair) is first
    tenants.record_start("a", 100, 0)
    assert fair.next(0) is None
    assert fair.opens_at() is None
    fair.remove(third)
    tenants.record_end("a")
    assert fair.next(0) is not None


@pytest.mark.parametrize("rule", [TenantRule(cap_tokens=100), TenantRule(inflight_max=1)])
def test_who_leaves_while_a_cap_keeps_it_out_is_not_let_in_again(rule: TenantRule) -> None:
    fair = FairQueue(tenants := Tenants({"a": rule}))
    tenants.record_start("a", 100, 0)
    first, second = wait(fair, "a", times=2)
    assert fair.next(0) is None
    wait(fair, "b", times=2)
    fair.remove(first)
    assert fair.next(0) is not second
    fair.remove(second)
    assert fair.opens_at() is None
    tenants.record_end("a")
    assert "".join(serve(fair, 60_100).candidate.tenant for _ in range(2)) == "bb"
    assert len(fair) == 0


def test_a_probe_of_a_tenant_that_is_kept_out_moves_it_on_all_the_same() -> None:
    fair = FairQueue(tenants := Tenants({"a": TenantRule(inflight_max=1)}))
    tenants.record_start("a", 1, 0)
    wait(fair, "b", 100, times=20)
    probe, _ = wait(fair, "a", 1_000, times=2)
    assert fair.next(0) is not probe
    fair.serve(probe)
    tenants.record_end("a")
    assert served(fair, 9) == 9 * "b"


def test_heaps_forget_entries_that_say_nothing_any_more() -> None:
    fair = FairQueue(Tenants())
    wait(fair, "a", times=2)
    wait(fair, "b", times=2)
    for _ in range(2_000):
        near = of("a", deadline_ms=1)
        fair.add(near)
        fair.remove(near)
    assert len(fair._ahead) + len(fair._eligible) < 200


def test_when_those_who_were_far_on_have_left_the_mean_falls_and_nobody_beyond_it_is_served() -> None:
    fair = FairQueue(Tenants())
    ahead, _ = wait(fair, "a", 100)[0], wait(fair, "a", 1)
    (behind,) = wait(fair, "b", 1_000)
    far = wait(fair, "c", 5_000, times=2)
    small = wait(fair, "d", 1, times=2)
    fair._new.clear()
    fair.serve(ahead)
    fair.serve(far[0])
    assert fair.next(0) is small[0]
    fair.remove(far[1])
    fair.serve(small[0])
    assert serve(fair) is small[1]
    assert serve(fair) is behind


def test_those_who_wait_are_told_line_by_line() -> None:
    fair = FairQueue(Tenants())
    (a,), (b,) = wait(fair, "a"), wait(fair, "b")
    assert [list(line) for line in fair.tenant_queues()] == [[a], [b]]


def test_who_is_eligible_and_changes_its_mind_again_and_again_leaves_nothing_behind() -> None:
    fair = FairQueue(Tenants())
    for charge in (4_000, 1):
        wait(fair, "a", charge)
        wait(fair, "b", 4_000)
    served(fair, 2)
    for step in range(2_000):
        near = of("b", 3_999 - step, deadline_ms=1)
        fair.add(near)
        found = fair._fairest()
        assert found is not None
        assert found.tenant == "a"
        fair.remove(near)
    assert len(fair._ahead) + len(fair._eligible) < 200
