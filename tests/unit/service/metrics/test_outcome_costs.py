from typing import Any

from headrace.broker.adapters.prometheus.meter import LABELS_MAX, Meter
from headrace.broker.clock import WallClock
from headrace.broker.service.containment import Containment
from headrace.broker.service.metrics.outcome_costs import OutcomeCosts
from headrace.broker.settings.metrics import MetricsSettings
from headrace.schemas.outcome import Completed, Cost, Failed, Usage
from headrace.schemas.spending import Spent, spent


class Counted:
    def __init__(self, **settings: bool) -> None:
        self.meter = Meter()
        clock = WallClock(lambda: 0.0)
        self.costs = OutcomeCosts(self.meter, Containment(self.meter, clock), MetricsSettings(**settings))

    def value(self, name: str, **labels: str) -> float | None:
        found: float | None = self.meter._registry.get_sample_value(name, labels)
        return found

    def names(self) -> set[str]:
        return {sample.name for family in self.meter._registry.collect() for sample in family.samples}


def outcome(**given: Any) -> Spent:
    told: dict[str, Any] = {
        "id": "x",
        "lane": "bulk",
        "model": "gpt-4",
        "tenant": "acme",
        "template": "welcome",
        "usage": Usage(input_tokens=300, output_tokens=100, cached_tokens=50),
        "cost": Cost(micro_usd=1_500_000.0),
    }
    return spent(Completed(**{**told, "response": {}, **given}))


OF = {"lane": "bulk", "model": "gpt-4", "tier": "default"}


def test_tokens_and_dollars_count_by_lane_model_and_tier() -> None:
    counted = Counted()
    counted.costs.count([outcome(), outcome(tier_served="flex"), outcome()])
    assert counted.value("headrace_cost_usd_total", **OF) == 3.0
    assert counted.value("headrace_cost_usd_total", **(OF | {"tier": "flex"})) == 1.5
    assert counted.value("headrace_outcome_tokens_total", **OF, kind="input") == 600
    assert counted.value("headrace_outcome_tokens_total", **OF, kind="cached") == 100


def test_an_outcome_without_a_price_is_counted_as_such_and_its_tokens_count() -> None:
    counted = Counted()
    counted.costs.count([outcome(cost=Cost(note="unknown")), outcome(cost=None)])
    assert counted.value("headrace_unpriced_total", model="gpt-4") == 1, "the other carries no cost: costs were off"
    assert counted.value("headrace_cost_usd_total", **OF) == 0
    assert counted.value("headrace_outcome_tokens_total", **OF, kind="output") == 200


def test_an_outcome_that_cost_nothing_adds_no_series() -> None:
    counted = Counted()
    counted.costs.count([spent(Failed(id="x", reason="rejected", model="invented-1"))])
    assert counted.value("headrace_cost_usd_total", lane="", model="invented-1", tier="default") is None


def test_tenants_and_templates_are_labels_only_if_that_is_asked_for() -> None:
    plain = Counted()
    plain.costs.count([outcome()])
    assert not {name for name in plain.names() if "tenant" in name or "template" in name}
    both = Counted(by_tenant=True, by_template=True)
    both.costs.count([outcome(), outcome(tenant=None)])
    assert both.value("headrace_tenant_cost_usd_total", tenant="acme") == 1.5
    assert both.value("headrace_tenant_cost_usd_total", tenant="") == 1.5
    assert both.value("headrace_template_tokens_total", template="welcome", kind="input") == 600


def test_names_are_bounded_and_the_rest_is_other() -> None:
    counted = Counted(by_tenant=True)
    counted.costs.count([outcome(tenant=f"t{number}") for number in range(LABELS_MAX + 3)])
    assert counted.value("headrace_tenant_cost_usd_total", tenant="other") == 4.5
