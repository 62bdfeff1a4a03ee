import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.spending.sums import Difference, SpendingSums, key_of
from headrace.schemas.outcome import Completed, Cost, Failed, Timings, Usage
from headrace.schemas.spending import SpendingKey, SpendingTotal, SpentOutcome

AT = datetime(2026, 11, 28, 13, 59, 59, tzinfo=UTC)
HOUR = 498_853  # hours from 1970 until 2026-11-28 13:00


def spent(**given: Any) -> SpentOutcome:
    told: dict[str, Any] = {
        "id": "lead-1",
        "lane": "bulk",
        "model": "gpt-4",
        "tenant": "acme",
        "template": "welcome",
        "attempts": 1,
        "usage": Usage(input_tokens=300, output_tokens=100, cached_tokens=50),
        "cost": Cost(micro_usd=15_000.5),
        "timings": Timings(finished_at=AT),
    }
    if given.get("status") == "failed":
        return SpentOutcome.model_validate(Failed(**{**told, "reason": "exhausted", **given}))
    return SpentOutcome.model_validate(Completed(**{**told, "response": {}, "charge_tokens": 320, **given}))


def test_an_outcome_is_counted_under_the_hour_in_which_it_finished() -> None:
    assert key_of(spent()) == SpendingKey(HOUR, "bulk", "gpt-4", "acme", "welcome", "default")


def test_the_tier_served_counts_before_the_one_asked_for() -> None:
    assert key_of(spent(tier_asked="auto", tier_served="flex")).tier == "flex"
    assert key_of(spent(tier_asked="flex")).tier == "flex"


def test_money_adds_up_in_whole_millionths_of_a_micro_dollar() -> None:
    sums = SpendingSums()
    for _ in range(3):
        sums.add(spent(cost=Cost(micro_usd=0.1)))
    assert sums.pico_usd == 300_000


def test_what_failed_or_was_cut_off_is_summed_apart_too() -> None:
    sums = SpendingSums()
    sums.add(spent())
    sums.add(spent(status="failed", attempts=3))
    sums.add(spent(finish="length"))
    assert (sums.outcomes, sums.completed, sums.calls, sums.cut) == (3, 2, 5, 1)
    assert (sums.failed_pico_usd, sums.cut_pico_usd) == (15_000_500_000, 15_000_500_000)
    assert sums.pico_usd == 45_001_500_000


def test_an_outcome_without_a_price_still_counts_its_tokens_and_is_said_to_have_none() -> None:
    sums = SpendingSums()
    sums.add(spent(cost=Cost(note="no price for gpt-x")))
    sums.add(spent(cost=None, usage=None, status="failed", attempts=0))
    assert (sums.metered, sums.unpriced, sums.input_tokens, sums.pico_usd) == (1, 1, 300, 0)


def test_an_outcome_that_carries_no_cost_is_told_from_one_whose_list_has_no_price() -> None:
    sums = SpendingSums()
    for cost in (None, Cost(note="no price for gpt-x"), Cost(micro_usd=1.0)):
        sums.add(spent(cost=cost))
    assert (sums.metered, sums.unpriced, sums.without_cost, sums.priced) == (3, 1, 1, 1)


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    one, two, whole = SpendingSums(), SpendingSums(), SpendingSums()
    for part, outcome in ((one, spent()), (two, spent(finish="length")), (two, spent(status="failed"))):
        part.add(outcome)
        whole.add(outcome)
    together = SpendingSums()
    together.add_total(one)
    together.add_total(SpendingTotal(**two.fields()))
    assert together == whole


@pytest.mark.parametrize("micro_usd", [math.nan, math.inf, -math.inf, 1e308, 1.1e15, -1.0])
def test_an_amount_that_is_no_money_stops_no_sum(micro_usd: float) -> None:
    sums = SpendingSums()
    sums.add(spent(cost=Cost(micro_usd=micro_usd)))
    assert (sums.unpriced, sums.pico_usd) == (1, 0)


def test_a_size_that_no_outcome_has_any_more_is_forgotten() -> None:
    sums = SpendingSums(outcomes=3, sizes=Counter({5: 2, 6: 1}))
    sums.change(Difference.of(SpendingTotal(outcomes=1, sizes={6: 1}), sums))
    assert (sums.outcomes, dict(sums.sizes)) == (1, {6: 1})


def test_no_more_than_all_of_the_input_was_cached() -> None:
    assert SpendingSums(input_tokens=4, cached_tokens=1).cached_share == 0.25
    assert SpendingSums(input_tokens=4, cached_tokens=9).cached_share == 1.0
    assert SpendingSums(cached_tokens=9).cached_share is None
