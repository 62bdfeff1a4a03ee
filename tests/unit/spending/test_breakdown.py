from headrace.broker.spending.breakdown import DIMENSIONS, Breakdown, day_of, name_of_hour
from headrace.broker.spending.sums import SpendingSums
from headrace.schemas.spending import OTHERS, SpendingKey

HOUR = 498_853  # hours from 1970 until 2026-11-28 13:00


def sums(tokens: int) -> SpendingSums:
    return SpendingSums(outcomes=1, input_tokens=tokens)


def test_a_key_has_a_value_in_each_dimension() -> None:
    key = SpendingKey(HOUR, "bulk", "gpt-4", "acme", "welcome", "flex", ">272000")
    assert Breakdown(DIMENSIONS).values_of(key) == (
        "bulk",
        "gpt-4",
        "acme",
        "welcome",
        "flex",
        "2026-11-28",
        "2026-11-28T13:00Z",
    )
    assert Breakdown(("tenant", "lane")).values_of(key) == ("acme", "bulk")


def test_days_and_hours_are_named_in_utc() -> None:
    assert (day_of(HOUR + 11), name_of_hour(HOUR + 11)) == ("2026-11-29", "2026-11-29T00:00Z")


def test_beyond_the_bound_the_smallest_groups_are_put_together_and_the_whole_stays() -> None:
    breakdown = Breakdown(("tenant",), groups_max=10)
    for number in range(100):
        breakdown.add_totals([((f"t{number}",), sums(1_000 if number in {3, 97} else 1))])
    assert len(breakdown.groups) <= 10
    assert breakdown.groups["t3",].input_tokens == breakdown.groups["t97",].input_tokens == 1_000
    assert (OTHERS,) in breakdown.groups
    assert breakdown.whole().outcomes == 100
    assert breakdown.foldings > 0


def test_groups_that_are_put_together_keep_their_lane_and_their_day() -> None:
    breakdown = Breakdown(("day", "lane", "tenant"), groups_max=8)
    for number in range(20):
        breakdown.add_totals([(("2026-11-28", "bulk", f"t{number}"), sums(number + 1))])
    assert ("2026-11-28", "bulk", OTHERS) in breakdown.groups


def test_lanes_and_models_give_way_too_where_producers_invent_them() -> None:
    breakdown = Breakdown(("model", "hour"), groups_max=8)
    for number in range(50):
        breakdown.add_totals([((f"m{number}", "2026-11-28T13:00Z"), sums(1))])
    assert len(breakdown.groups) <= 8
    assert (OTHERS, "2026-11-28T13:00Z") in breakdown.groups
    assert breakdown.whole().outcomes == 50


def test_hours_alone_are_never_put_together() -> None:
    breakdown = Breakdown(("hour",), groups_max=8)
    for number in range(50):
        breakdown.add_totals([((name_of_hour(HOUR + number),), sums(1))])
    assert len(breakdown.groups) == 50


def test_sums_handed_out_count_until_a_folding() -> None:
    breakdown = Breakdown(("tenant",), groups_max=4)
    held = breakdown.sums_of(("acme",))
    held.outcomes += 3
    assert breakdown.groups["acme",].outcomes == 3
