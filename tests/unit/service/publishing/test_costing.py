"""Which outcome has a cost: that of its last call, if it was paid."""

from datetime import datetime

import pytest

from headrace.broker.core.commands import Complete, Decision, Fail
from headrace.broker.service.payloads import Payload
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.testing.prices import MemoryPrices
from headrace.schemas.codec import decode_outcome
from headrace.schemas.outcome import Cost, Outcome, Usage
from tests.unit.service.publication_rig import NOW, UNPRICED, Rig, failing

NO = Fail("cancelled", "It was cancelled.")
USED = Usage(input_tokens=10, output_tokens=1)


class Recording(MemoryPrices):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, datetime]] = []

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        self.asked.append((model, tier, at))
        return super().cost(model, usage, tier=tier, at=at)


class Broken(MemoryPrices):
    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        raise ZeroDivisionError(model)


def paid(rig: Rig, **body: str) -> Payload:
    cargo = rig.request(body={"model": "gpt-4o-mini", **body})
    cargo.response = {"model": "gpt-4o-mini-2024-07-18", "choices": []}
    cargo.paid, cargo.usage, cargo.model_served = True, USED, "gpt-4o-mini-2024-07-18"
    return cargo


def outcome(rig: Rig, decision: Decision) -> Outcome:
    first = rig.published(decision)[0]
    return decode_outcome(first.record.value, first.record.headers)


@pytest.mark.parametrize("decision", [Complete(), NO])
def test_a_paid_call_costs_what_the_list_says_whatever_becomes_of_its_request(decision: Decision) -> None:
    rig, prices = Rig(), Recording()
    rig.publish_with(Costing(prices, failing))
    cargo = paid(rig)
    assert outcome(rig, decision).cost == Cost(micro_usd=28.0, price_list="memory")
    assert prices.asked == [("gpt-4o-mini-2024-07-18", "", cargo.finished_at)]
    assert cargo.cost is not None


@pytest.mark.parametrize(
    ("asked", "served", "tier"), [("flex", "", "flex"), ("flex", "default", "default"), ("", "", "")]
)
def test_the_tier_is_the_one_that_served_else_the_one_asked_for(asked: str, served: str, tier: str) -> None:
    rig, prices = Rig(), Recording()
    cargo = paid(rig, **({"service_tier": asked} if asked else {}))
    cargo.tier_served = served
    Costing(prices, failing).cost(cargo)
    assert prices.asked[0][1] == tier


def test_a_call_that_was_not_answered_has_no_cost_though_an_earlier_one_had() -> None:
    rig = Rig()
    rig.publish_with(Costing(MemoryPrices(), failing))
    paid(rig).forget_bill()
    told = outcome(rig, NO)
    assert (told.cost, told.usage) == (None, None)


def test_a_paid_call_whose_answer_says_no_usage_has_a_cost_that_is_not_known() -> None:
    cargo = paid(Rig())
    cargo.usage = None
    assert Costing(MemoryPrices(), failing).cost(cargo) == Cost(
        price_list="memory", note="The answer's usage is not known."
    )


def test_without_a_price_list_no_outcome_has_a_cost() -> None:
    rig = Rig()
    rig.publish_with(UNPRICED)
    paid(rig)
    told = outcome(rig, Complete())
    assert (told.cost, told.usage) == (None, USED)


def test_an_exception_of_the_list_costs_the_outcome_its_cost_alone() -> None:
    rig = Rig()
    observed: list[tuple[str, BaseException]] = []
    rig.publish_with(Costing(Broken(), lambda step, error: observed.append((step, error))))
    paid(rig)
    told = outcome(rig, Complete())
    assert (told.status, told.cost, told.usage) == ("completed", None, USED)
    [(step, error)] = observed
    assert step == "cost"
    assert isinstance(error, ZeroDivisionError)


def test_the_price_is_that_of_the_instant_of_the_answer() -> None:
    prices, cargo = Recording(), paid(Rig())
    cargo.called_at, cargo.finished_at = NOW.replace(year=2020), NOW
    Costing(prices, failing).cost(cargo)
    assert prices.asked[0][2] == NOW
