from headrace.broker.core.bounds import TIERS_TIMED_MAX
from headrace.broker.core.lanes.tier_table import COUNT_MAX, TierTable

Table = TierTable[list[str]]


def answered(table: Table, *tiers: str) -> None:
    for tier in tiers:
        table.of_answer(tier).append(tier)


def full(times: int = 1) -> Table:
    """A table of tiers that a producer has invented, each answered so many times."""
    table = TierTable[list[str]](list)
    for number in range(TIERS_TIMED_MAX):
        answered(table, *[f"t{number}"] * times)
    return table


def test_each_of_a_few_tiers_has_a_value_of_its_own_and_nothing_is_known_of_others() -> None:
    table = full()
    assert table.get("t0") == ["t0"]
    assert table.get("flex") is None
    assert len([*table]) == TIERS_TIMED_MAX


def test_the_tiers_beyond_them_share_one_which_is_not_among_the_values_of_one_tier() -> None:
    table = full(3)
    answered(table, "a", "b")
    assert table.get("a") == table.get("never answered") == ["a", "b"]
    assert [*table] == [[f"t{number}"] * 3 for number in range(TIERS_TIMED_MAX)]


def test_a_tier_that_is_used_takes_a_place_from_those_that_are_not() -> None:
    table = full(COUNT_MAX + 5)
    answered(table, *["flex"] * COUNT_MAX)
    assert table.get("flex") == ["flex"]
    assert table.get("t0") == ["flex"] * (COUNT_MAX - 1)


def test_a_tier_that_is_used_keeps_its_place_among_names_used_once() -> None:
    table = full()
    for number in range(100):
        answered(table, "flex", "flex", f"invented-{number}")
    assert table.get("flex") == ["flex"] * 200


def test_requests_that_name_no_tier_always_have_a_value_of_their_own() -> None:
    table = full()
    answered(table, "", *[f"invented-{number}" for number in range(50)], "")
    assert table.get("") == ["", ""]
    assert len([*table]) <= TIERS_TIMED_MAX + 1
