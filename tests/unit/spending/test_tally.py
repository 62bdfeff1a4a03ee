from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.breakdown import Values
from headrace.broker.spending.question import NameFilters, ReportPeriod, ReportQuestion
from headrace.broker.spending.tally import SpendingTally
from headrace.schemas.outcome import Cost, Timings, Usage
from headrace.schemas.spending import OTHERS, SpendingKey, SpendingTotal, SpentOutcome

UNTIL = datetime(2026, 11, 28, 14, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=1)
HOUR = int(UNTIL.timestamp()) // 3_600 - 1


def spent(**given: Any) -> SpentOutcome:
    told: dict[str, Any] = {
        "status": "completed",
        "lane": "bulk",
        "model": "gpt-4",
        "attempts": 1,
        "usage": Usage(input_tokens=300, output_tokens=100),
        "cost": Cost(micro_usd=15_000.5, price_list="list 1"),
        "timings": Timings(finished_at=UNTIL - timedelta(minutes=1)),
    }
    return SpentOutcome(**{**told, **given})


def tally(*dimensions: str, costs: CostFinder | None = None, groups_max: int = 100, **asked: Any) -> SpendingTally:
    return SpendingTally(
        ReportQuestion(ReportPeriod(SINCE, UNTIL), dimensions or ("lane",), **asked), costs, groups_max=groups_max
    )


def outcomes(of: SpendingTally) -> dict[Values, int]:
    return {values: sums.outcomes for values, sums in of.groups.groups.items()}


class Dime:
    """Ten cents for every call; it notes how often it was loaded."""

    version = "dimes"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, datetime]] = []

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        self.asked.append((model, tier, at))
        return Cost(micro_usd=None if model == "new" else 100_000, price_list=self.version)


@pytest.mark.parametrize(
    ("finished_at", "counts"),
    [
        (SINCE, True),
        (SINCE - timedelta(milliseconds=1), False),
        (UNTIL - timedelta(milliseconds=1), True),
        (UNTIL, False),
    ],
)
def test_an_outcome_belongs_to_the_instant_at_which_it_finished(finished_at: datetime, *, counts: bool) -> None:
    counted = tally()
    assert (counted.add(spent(timings=Timings(finished_at=finished_at)), SINCE.timestamp() + 1) is not None) is counts
    assert outcomes(counted) == ({("bulk",): 1} if counts else {})


def test_an_outcome_that_was_not_called_belongs_to_the_instant_at_which_it_was_published() -> None:
    counted = tally("hour")
    assert counted.add(spent(timings=Timings()), UNTIL.timestamp() - 1)
    assert not counted.add(spent(timings=Timings()), UNTIL.timestamp() + 1)
    assert outcomes(counted) == {("2026-11-28T13:00Z",): 1}


def test_outcomes_are_told_apart_by_the_dimensions_and_by_nothing_else() -> None:
    counted = tally("tenant", "tier")
    counted.add(spent(tenant="a", tier_asked="flex", template="x"), 0)
    counted.add(spent(tenant="a", tier_served="flex", template="y"), 0)
    counted.add(spent(tenant="b"), 0)
    assert outcomes(counted) == {("a", "flex"): 2, ("b", "default"): 1}


def test_outcomes_that_no_filter_matches_are_not_counted() -> None:
    counted = tally(filters=NameFilters({"model": ["gpt-4o*"]}))
    for model in ("gpt-4", "gpt-4o-mini", "gpt-4"):
        counted.add(spent(model=model), 0)
    assert outcomes(counted) == {("bulk",): 1}


def test_the_timeline_is_by_the_first_dimension_that_is_no_time() -> None:
    counted = tally("day", "template", "lane", by_hour=True)
    counted.add(spent(template="x"), 0)
    counted.add(spent(template="x", usage=None, cost=None), 0)
    counted.add(spent(timings=Timings(finished_at=SINCE)), 0)
    assert counted.timeline is not None
    rows = counted.timeline.rows
    assert (rows["x"].tokens[-1], rows["x"].pico_usd[-1]) == (400, 15_000_500_000)
    assert (rows[""].tokens[0], sum(rows[""].tokens)) == (400, 400)


def test_the_timeline_of_tiers_names_the_default_one() -> None:
    counted = tally("tier", by_hour=True)
    counted.add(spent(tier_asked="flex"), 0)
    counted.add(spent(), 0)
    assert counted.timeline is not None
    assert set(counted.timeline.rows) == {"flex", "default"}


def test_no_outcome_is_lost_where_groups_are_put_together_while_it_counts() -> None:
    counted = tally("tenant", groups_max=8)
    for number in range(400):
        counted.add(spent(tenant=f"t{number % 40}"), 0)
    assert counted.groups.whole().outcomes == 400
    assert counted.groups.whole().pico_usd == 400 * 15_000_500_000
    assert len(counted.groups.groups) <= 8
    assert (OTHERS,) in counted.groups.groups


def test_the_price_lists_that_outcomes_carry_and_models_without_a_price_are_noted() -> None:
    counted = tally()
    for cost in (Cost(micro_usd=1, price_list="a"), Cost(micro_usd=1, price_list="a"), Cost(price_list="b"), None):
        counted.add(spent(cost=cost), 0)
    counted.add(spent(usage=None, cost=None), 0)
    assert counted.notes.price_lists == {"a": 2, "b": 1}
    assert counted.notes.unpriced == {"gpt-4": 1}
    whole = counted.groups.whole()
    assert (whole.unpriced, whole.without_cost, whole.priced) == (1, 1, 2)
    assert (counted.notes.priced_here, counted.notes.priced_by) == (0, "")


def test_only_outcomes_without_a_cost_are_priced_by_the_present_list() -> None:
    prices = Dime()
    counted = tally(costs=CostFinder(lambda: prices))
    counted.add(spent(cost=Cost(micro_usd=1, price_list="a")), 0)
    counted.add(spent(cost=Cost(price_list="a", note="No price.")), 0)
    assert not prices.asked
    assert counted.notes.priced_by == ""
    counted.add(spent(cost=None, tier_served="flex"), 0)
    assert prices.asked == [("gpt-4", "flex", UNTIL - timedelta(minutes=15))]
    assert counted.groups.whole().pico_usd == 100_001_000_000
    assert (counted.notes.priced_here, counted.notes.priced_by) == (1, "dimes")


def test_a_bill_that_reprices_replaces_every_cost_and_the_carried_lists_are_noted() -> None:
    counted = tally(costs=CostFinder(Dime, reprices=True))
    counted.add(spent(), 0)
    counted.add(spent(cost=None), 0)
    counted.add(spent(model="new"), 0)
    counted.add(spent(usage=None, cost=None), 0)
    assert counted.groups.whole().pico_usd == 200_000_000_000
    assert (counted.notes.price_lists, counted.notes.unpriced) == ({"list 1": 2}, {"new": 1})


def test_totals_of_other_hours_or_names_are_not_counted() -> None:
    counted = tally("model", filters=NameFilters({"lane": ["bulk"]}), by_hour=True)
    total = SpendingTotal(outcomes=5, unpriced=2, input_tokens=70)
    assert counted.add_total(SpendingKey(HOUR, "bulk", "m"), total)
    assert counted.add_total(SpendingKey(HOUR - 23, "bulk", "m"), total)
    assert not counted.add_total(SpendingKey(HOUR - 24, "bulk", "m"), total)
    assert not counted.add_total(SpendingKey(HOUR + 1, "bulk", "m"), total)
    assert not counted.add_total(SpendingKey(HOUR, "urgent", "m"), total)
    assert outcomes(counted) == {("m",): 10}
    assert counted.notes.unpriced == {"m": 4}
    assert counted.timeline is not None
    tokens = counted.timeline.rows["m"].tokens
    assert (tokens[0], tokens[-1], sum(tokens)) == (70, 70, 140)


def test_names_beyond_a_thousand_are_noted_together() -> None:
    counted = tally()
    for number in range(1_100):
        counted.add(spent(model=f"m{number}", cost=Cost()), 0)
    assert len(counted.notes.unpriced) == 1_001
    assert counted.notes.unpriced[OTHERS] == 100
