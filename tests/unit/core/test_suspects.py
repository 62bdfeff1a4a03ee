"""Who may have ended the process that read it, as the ledger tells."""

import pytest

from broker.core.suspects import Caution, Deaths, Suspects
from broker.core.ticket import LanePartition, Source

FIRST, SECOND = Source(LanePartition("bulk", 0), 7), Source(LanePartition("bulk", 1), 3)


def died(deaths: Deaths, owners: str, stands: str = "t/0/5", *, named: tuple[str, ...] = ()) -> None:
    """Terms of these owners, one after the other; none of them leaves."""
    for owner in owners:
        deaths.claimed(owner, [stands])
        deaths.stepped(owner, named)


def caution(deaths: Deaths, stands: str = "t/0/5", partition: str = "t/0") -> Caution | None:
    """What the next leader makes of it, which claims as well."""
    deaths.claimed("next", [stands])
    return deaths.caution(partition, 100)


# ---------------------------------------------------------------------------------------------------- when to begin


def test_three_terms_in_a_row_that_died_where_a_partition_stands_call_for_caution() -> None:
    deaths = Deaths()
    died(deaths, "ab")
    assert caution(deaths) is None
    assert caution(deaths) is None, "who claims again has not died"
    deaths.claimed("d", ["t/0/5"])
    assert deaths.caution("t/0", 100) == Caution(100)
    assert deaths.caution("t/1", 100) is None


def test_a_base_that_moved_begins_a_new_row() -> None:
    deaths = Deaths()
    died(deaths, "ab")
    died(deaths, "c", "t/0/6")
    died(deaths, "de", "t/0/6")
    assert caution(deaths, "t/0/7") is None
    died(deaths, "fgh", "t/0/7")
    assert caution(deaths, "t/0/7") is not None


def test_a_term_that_left_in_peace_begins_a_new_row() -> None:
    deaths = Deaths()
    died(deaths, "abc")
    deaths.left()
    assert caution(deaths) is None
    died(deaths, "d")
    assert caution(deaths) is None


def test_a_term_that_has_left_does_not_count_as_dead() -> None:
    deaths = Deaths()
    died(deaths, "ab")
    died(deaths, "c", named=("t/0/9",))
    deaths.left()
    assert caution(deaths) is None


def test_claims_of_a_release_that_does_not_say_where_partitions_stand_count_for_nothing() -> None:
    deaths = Deaths()
    for owner in "abcd":
        deaths.claimed(owner, [])
    assert caution(deaths) is None


# ---------------------------------------------------------------------------------------------------- who it is


def test_who_is_named_when_a_term_dies_is_a_suspect_and_the_next_term_is_cautious_there() -> None:
    deaths = Deaths()
    died(deaths, "a", named=("t/0/9",))
    assert caution(deaths) == Caution(100, {9: 1})
    deaths.stepped("next", ("t/0/9",))
    deaths.claimed("last", ["t/0/5"])
    assert deaths.caution("t/0", 100) == Caution(100, {9: 2})
    assert deaths.caution("t/1", 100) is None


def test_who_was_struck_off_is_no_suspect_any_more() -> None:
    deaths = Deaths()
    died(deaths, "a", named=("t/0/9",))
    deaths.claimed("b", ["t/0/5"])
    deaths.stepped("b", ("t/0/9",))
    deaths.stepped("b", ("t/0/9", "t/1/3"))
    deaths.stepped("b", ("t/1/3",))
    assert caution(deaths) is None


def test_who_is_done_is_forgotten() -> None:
    deaths = Deaths()
    died(deaths, "a", named=("t/0/9",))
    assert caution(deaths, "t/0/9") == Caution(100, {9: 1})
    deaths.claimed("next", ["t/0/10"])
    assert deaths.caution("t/0", 100) is None


def test_who_claims_again_in_its_own_term_has_not_died_of_whom_it_named() -> None:
    deaths = Deaths()
    died(deaths, "a", named=("t/0/9",))
    deaths.claimed("a", ["t/0/5"])
    assert caution(deaths) is None


def test_a_term_whose_claim_has_left_the_window_shows_in_its_lines() -> None:
    deaths = Deaths()
    deaths.stepped("a", ())
    deaths.stepped("a", ("t/0/9",))
    assert caution(deaths) == Caution(100, {9: 1})


@pytest.mark.parametrize(
    ("count", "decode", "take"), [(0, True, True), (1, True, True), (2, False, True), (3, False, False)]
)
def test_after_two_deaths_nobody_decodes_it_and_after_three_nobody_takes_it(
    count: int,
    decode: bool,  # noqa: FBT001 — the row of a table
    take: bool,  # noqa: FBT001 — the same
) -> None:
    read = Caution(100, {9: count} if count else {})
    assert (read.may_decode(9), read.may_take(9)) == (decode, take)
    assert (read.may_decode(8), read.may_take(8)) == (True, True)


# ---------------------------------------------------------------------------------------------------- our own


def test_who_is_named_is_written_once_the_line_is_committed() -> None:
    suspects = Suspects()
    assert not suspects.due
    suspects.name(FIRST)
    assert suspects.due
    assert suspects.begin() == FIRST
    suspects.name(SECOND)
    suspects.end()
    assert (suspects.is_written(FIRST), suspects.is_written(SECOND), suspects.due) == (True, False, True)
    suspects.name(None)
    assert suspects.begin() is None
    assert not suspects.is_written(None)
    suspects.end()
    assert (suspects.is_written(None), suspects.due) == (True, False)


def test_in_doubt_nobody_is_named() -> None:
    suspects = Suspects()
    suspects.name(FIRST)
    suspects.begin()
    suspects.end()
    suspects.clear()
    assert (suspects.begin(), suspects.due, suspects.is_written(None)) == (None, False, True)
