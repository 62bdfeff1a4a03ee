import asyncio
from typing import Any

import pytest

from headrace.broker.service.containment import said
from headrace.broker.service.spending.follower import SpendingFollower
from headrace.broker.service.spending.shown import FRESH_MS, NAME_CHARS_MAX, NAMES_SHOWN, SpendingShown, figures
from headrace.broker.spending.sums import SpendingSums
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.totals_door import MemoryTotals
from headrace.schemas.record import Record
from headrace.schemas.spending import HOUR_S, OTHERS, SpendingKey, SpendingTotal, encode_total
from tests.unit.service.rig import World, bookkeeping_of
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]


class Shown:
    def __init__(self) -> None:
        world = World()
        self.clock = world.clock
        self.follower = SpendingFollower(MemoryTotals(KafkaLink(world.kafka), topic="t"), world.clock, said)
        self.made = SpendingShown(
            self.follower, bookkeeping_of(world.kafka, world.clock), world.clock, costs_enabled=True
        )

    @property
    def hour(self) -> int:
        return self.clock.utc_ms() // (HOUR_S * 1_000)

    def observe(self, *records: Record) -> None:
        self.follower.window.observe(records, self.hour)

    def record(self, hours_ago: int = 0, tenant: str = "acme", **sums: Any) -> Record:
        key = SpendingKey(self.hour - hours_ago, "bulk", "gpt-4", tenant, "welcome", "flex")
        return encode_total(key, "a", SpendingTotal(**({"outcomes": 1} | sums)))


async def test_the_spans_are_this_hour_the_last_one_and_a_day() -> None:
    shown = Shown()
    shown.observe(*(shown.record(hours_ago) for hours_ago in (0, 1, 2, 24)))
    told = shown.made.shown()
    assert [told[name]["outcomes"] for name in ("this_hour", "last_hour", "last_25_hours")] == [1, 1, 4]
    assert told["last_hour"]["since"] == "2026-12-01T08:00:00.000Z"
    assert told["last_25_hours"]["since"] == "2026-11-30T09:00:00.000Z"
    assert told["caught_up"] is False


async def test_each_kind_has_its_largest_names_and_the_rest() -> None:
    shown = Shown()
    shown.observe(*(shown.record(tenant=f"t{number:02}", pico_usd=number * 10**6) for number in range(30)))
    by = shown.made.shown()["this_hour"]["by"]
    assert list(by["tenant"]) == [*(f"t{29 - number:02}" for number in range(NAMES_SHOWN)), OTHERS]
    assert sum(each["micro_usd"] for each in by["tenant"].values()) == sum(range(30))
    assert {kind: list(by[kind]) for kind in ("lane", "model", "template", "tier")} == {
        "lane": ["bulk"], "model": ["gpt-4"], "template": ["welcome"], "tier": ["flex"],
    }  # fmt: skip


async def test_names_that_are_the_same_when_they_are_cut_are_summed_together() -> None:
    shown = Shown()
    shown.observe(*(shown.record(tenant="x" * NAME_CHARS_MAX + end, pico_usd=10**6) for end in "abc"))
    by = shown.made.shown()["this_hour"]["by"]["tenant"]
    assert {name: each["micro_usd"] for name, each in by.items()} == {"x" * NAME_CHARS_MAX: 3.0}


async def test_records_that_no_sum_counts_are_counted_themselves() -> None:
    shown = Shown()
    shown.observe(Record(b"[]", b"{}"), *(shown.record(hours_ago) for hours_ago in (5, 2, 1, 0)))
    shown.observe(shown.record(5))
    told = shown.made.shown()
    assert (told["unreadable"], told["too_late"], told["last_25_hours"]["outcomes"]) == (1, 1, 4)


async def test_it_is_put_together_anew_only_when_sums_have_changed_and_not_each_second() -> None:
    shown = Shown()
    shown.observe(shown.record())
    first = shown.made.shown()["this_hour"]
    shown.observe(shown.record(outcomes=2))
    assert shown.made.shown()["this_hour"] is first
    await asyncio.sleep(FRESH_MS / 1_000)
    second = shown.made.shown()["this_hour"]
    assert second["outcomes"] == 2
    await asyncio.sleep(FRESH_MS / 1_000)
    assert shown.made.shown()["this_hour"] is second


async def test_an_hour_that_ends_is_the_last_one_at_once() -> None:
    shown = Shown()
    shown.observe(shown.record())
    assert shown.made.shown()["last_hour"]["outcomes"] == 0
    await asyncio.sleep(HOUR_S)
    assert shown.made.shown()["last_hour"]["outcomes"] == 1


def test_figures_of_nothing_are_not_known_rather_than_zero() -> None:
    told = figures(SpendingSums())
    assert [told[name] for name in ("cached_share", "tokens_mean", "tokens_p50", "tokens_p95")] == [None] * 4


def test_cost_is_in_millionths_of_a_dollar() -> None:
    told = figures(SpendingSums(pico_usd=1_500_000, input_tokens=100, cached_tokens=25, output_tokens=20, metered=2))
    assert (told["micro_usd"], told["cached_share"], told["tokens_mean"]) == (1.5, 0.25, 60.0)
