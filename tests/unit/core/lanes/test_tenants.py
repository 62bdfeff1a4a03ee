from headrace.broker.core.bounds import TENANTS_CAPPED_SWEPT_ABOVE
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.tenants import Tenants

MINUTE = 60_000


def test_who_has_no_rule_has_that_of_the_others() -> None:
    tenants = Tenants({"acme": TenantRule(3_000)}, TenantRule(500))
    assert (tenants.rule("acme").weight, tenants.rule("").weight) == (3_000, 500)
    assert Tenants().rule("anybody") == TenantRule(1_000, None, None)


def test_who_has_no_cap_is_never_kept_out_nor_remembered() -> None:
    tenants = Tenants()
    tenants.record_start("acme", 1_000_000, 0)
    tenants.record_end("acme")
    assert tenants.is_free("acme", 1_000_000, 0)
    assert not tenants._uses


def test_no_minute_has_more_tokens_than_the_cap() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=1_000)})
    assert tenants.free_at("acme", 700, 0) == 0
    tenants.record_start("acme", 700, 0)
    tenants.record_end("acme")
    assert tenants.free_at("acme", 300, 50) == 50
    assert tenants.free_at("acme", 301, 50) == MINUTE + 100  # slots of a tenth of a second
    assert not tenants.is_free("acme", 301, MINUTE)
    assert tenants.is_free("acme", 301, MINUTE + 100)
    assert tenants.is_free("other", 301, 50)


def test_a_charge_above_the_cap_goes_when_nothing_else_was_taken() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=1_000)})
    assert tenants.is_free("acme", 5_000, 0)
    tenants.record_start("acme", 5_000, 0)
    assert tenants.free_at("acme", 5_000, 0) == MINUTE + 100


def test_where_too_many_are_in_flight_one_must_end_first_and_who_asked_is_told_once() -> None:
    tenants, told = Tenants({"acme": TenantRule(inflight_max=2)}), list[str]()
    for _ in range(2):
        assert tenants.is_free("acme", 1, 0)
        tenants.record_start("acme", 1, 0)
    assert tenants.free_at("acme", 1, 0) is None
    assert not tenants.is_free("acme", 1, 0)
    tenants.on_call_ended("acme", tenants, lambda: told.append("landed"))
    tenants.record_end("other")
    assert not told
    tenants.record_end("acme")
    tenants.record_end("acme")
    assert told == ["landed"]
    assert tenants.is_free("acme", 1, 0)


def test_capped_tenants_that_took_nothing_of_late_are_forgotten() -> None:
    tenants = Tenants(others=TenantRule(cap_tokens=10, inflight_max=1))
    for number in range(TENANTS_CAPPED_SWEPT_ABOVE):
        tenants.record_start(str(number), 1, 0)
        if number:
            tenants.record_end(str(number))
    tenants.record_start("new", 1, MINUTE // 2)
    assert len(tenants._uses) == TENANTS_CAPPED_SWEPT_ABOVE + 1
    for name in ("0", "new"):
        tenants.on_given_back(name, tenants, lambda: None)
    tenants.record_end("new")
    tenants.record_start("newer", 1, 2 * MINUTE + 100)
    assert sorted(tenants._uses) == ["0", "newer"]
    assert sorted(tenants._on_given_back) == ["0"]


def test_the_calls_of_a_capped_tenant_that_are_in_flight_are_counted_for_whoever_asks() -> None:
    tenants = Tenants({"acme": TenantRule(inflight_max=2)})
    for tenant in ("acme", "acme", "free"):
        tenants.record_start(tenant, 1, 0)
    assert [tenants.inflight(tenant) for tenant in ("acme", "free", "unknown")] == [2, 0, 0]


def test_tokens_that_a_call_did_not_take_may_be_taken_by_another_in_the_same_minute() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=1_000)})
    tenants.record_start("acme", 900, 50)
    tenants.record_end("acme")
    tenants.give_back("acme", 700, 50)
    assert tenants.is_free("acme", 800, 60)
    assert not tenants.is_free("acme", 801, 60)
    tenants.give_back("acme", -300, 50)
    assert tenants.is_free("acme", 500, 60)
    assert not tenants.is_free("acme", 501, 60)


def test_what_a_minute_has_forgotten_is_not_given_back_nor_anything_of_a_tenant_that_took_nothing() -> None:
    tenants = Tenants({"acme": TenantRule(cap_tokens=1_000)})
    tenants.give_back("acme", 700, 0)
    tenants.record_start("acme", 900, 0)
    tenants.record_start("acme", 900, MINUTE + 200)
    tenants.give_back("acme", 900, 0)
    assert tenants.free_at("acme", 200, MINUTE + 200) == 2 * MINUTE + 300


def test_tokens_given_back_are_told_once_and_only_while_a_call_is_in_flight() -> None:
    tenants, told = Tenants({"acme": TenantRule(cap_tokens=1_000)}), list[str]()
    tenants.on_given_back("acme", tenants, lambda: told.append("never"))
    tenants.record_start("acme", 900, 0)
    tenants.on_given_back("acme", tenants, lambda: told.append("replaced"))
    tenants.on_given_back("acme", tenants, lambda: told.append("given"))
    tenants.on_given_back("acme", "another", lambda: told.append("to another"))
    tenants.give_back("acme", -5, 0)
    assert not told
    for _ in range(2):
        tenants.give_back("acme", 5, 0)
    assert told == ["given", "to another"]
