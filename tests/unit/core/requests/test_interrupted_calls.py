"""Deaths of dispatchers are held against the calls under way, and the one to blame is singled out."""

from collections.abc import Iterable

import pytest

from headrace.broker.core.bounds import (
    CALLS_OF_SUSPECTS_MAX,
    DEATHS_BY_CALL,
    DEATHS_IN_A_ROW_WITHIN_MS,
    INHERITED_CALLS_MAX,
)
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.requests.interrupted_calls import InterruptedCalls
from tests.unit.core.specimens import identity

Line = tuple[int, str, str]
"""Term, owner, and what it says: `+a` started, `-a` ended, `!a` settled, `?` a record is named, `.` left."""


def attempt(name: str, number: int = 1) -> AttemptEntry:
    return AttemptEntry(identity(name), number)


def fate(name: str, fate: Fate = Fate.COMPLETED) -> SettledEntry:
    return SettledEntry(identity(name), 1, fate)


def read(casualties: InterruptedCalls, *lines: Line, at_ms: int = 0) -> InterruptedCalls:
    for term, owner, said in lines:
        words = said.split()
        casualties.record_line(term, owner, at_ms, left="." in words, named="?" in words)
        casualties.record_starts([attempt(word[1:]) for word in words if word.startswith("+")])
        casualties.record_ends([attempt(word[1:]) for word in words if word.startswith("-")])
        casualties.record_fates([fate(word[1:]) for word in words if word.startswith("!")])
    return casualties


def after(*lines: Line) -> InterruptedCalls:
    return read(InterruptedCalls(), *lines)


def dying(count: int, said: str, first: int = 1) -> list[Line]:
    """So many terms, each of another owner, that say so and die; the next one has claimed."""
    terms = range(first, first + count)
    return [(term, f"p{term}", said) for term in terms] + [(first + count, f"p{first + count}", "")]


def blamed(casualties: InterruptedCalls, names: Iterable[str]) -> set[str]:
    return {name for name in names if casualties.is_to_blame(identity(name))}


def suspected(casualties: InterruptedCalls, names: Iterable[str]) -> set[str]:
    return {name for name in names if casualties.is_suspect(identity(name))}


def test_a_call_under_way_at_three_deaths_is_not_made_again() -> None:
    assert DEATHS_BY_CALL == 3
    for deaths in range(DEATHS_BY_CALL + 2):
        casualties = after(*dying(deaths, "+a"))
        assert blamed(casualties, "a") == ({"a"} if deaths >= DEATHS_BY_CALL else set())
        assert suspected(casualties, "a") == ({"a"} if deaths >= 2 else set())
        assert len(casualties) == (deaths > 0)


def test_another_run_of_the_id_has_done_nothing() -> None:
    casualties = after(*dying(3, "+a"))
    assert not casualties.is_to_blame(identity("a", run=1))
    assert casualties.is_to_blame(identity("a", body="else")), "the ledger names id and run alone"


def test_a_term_that_leaves_in_peace_has_not_died() -> None:
    assert not after(*dying(2, "+a"), (3, "p3", "+a"), (3, "p3", "."), (4, "p4", "")).is_to_blame(identity("a"))
    assert len(after((1, "p1", "+a ."), (2, "p2", ""))) == 0


def test_the_term_that_lives_holds_nothing_against_its_calls() -> None:
    casualties = after(*dying(2, "+a"), (3, "p3", "+a"), (3, "p3", "+a"))
    assert not blamed(casualties, "a")


@pytest.mark.parametrize("ending", ["!a", "-a"], ids=["settled", "ended"])
def test_a_call_that_ended_before_its_dispatcher_died_is_not_held_against_it(ending: str) -> None:
    casualties = after(*dying(2, "+a"), (3, "p3", "+a"), (3, "p3", ending), (4, "p4", ""))
    assert not blamed(casualties, "a")
    assert suspected(casualties, "a") == (set() if ending == "!a" else {"a"})


def test_a_line_may_tell_of_the_beginning_and_the_end_of_a_call_at_once() -> None:
    assert len(after((1, "p1", "+a -a"), (1, "p1", "+b !b"), (2, "p2", ""))) == 0


def test_the_end_of_an_earlier_attempt_is_not_that_of_a_later_one() -> None:
    casualties = after((1, "p1", ""))
    casualties.record_starts([attempt("a", 1), attempt("a", 2)])
    casualties.record_ends([attempt("a", 1), attempt("b", 1)])
    read(casualties, (2, "p2", ""))
    assert len(casualties) == 1
    casualties.record_starts([attempt("a", 3)])
    casualties.record_ends([attempt("a", 3)])
    read(casualties, (3, "p3", ""))
    assert not suspected(casualties, "a")


def test_an_outcome_clears_a_request() -> None:
    for each in (Fate.COMPLETED, Fate.FAILED, Fate.WITHDRAWN):
        casualties = after(*dying(3, "+a"))
        casualties.record_fates([fate("a", each)])
        assert len(casualties) == 0
        assert not casualties.is_suspect(identity("a"))


def test_an_owner_that_writes_again_had_not_died() -> None:
    """Leadership went to and fro between two processes, each time with the call under way."""
    there_and_back = [(term, "ab"[term % 2], "+x") for term in range(1, 9)]
    casualties = after(*there_and_back, (9, "c", ""))
    assert suspected(casualties, "x") == {"x"}, "the last two terms may have died"
    assert not blamed(casualties, "x")
    assert not suspected(read(casualties, (10, "a", "")), "x")
    assert len(casualties) == 1, "b may have died"
    assert len(read(casualties, (11, "b", ""))) == 0


def test_a_process_that_claims_anew_goes_on_with_its_calls() -> None:
    casualties = after((1, "a", "+x"), (3, "a", ""), (3, "a", "!x"), (4, "b", ""))
    assert len(casualties) == 0
    casualties = after((1, "a", "+x"), (3, "a", ""), (4, "b", ""))
    assert next(iter(casualties._deaths.values())).keys() == {3}


def test_a_death_while_a_record_was_named_is_that_records() -> None:
    casualties = after(*dying(5, "+a ?"))
    assert not suspected(casualties, "a")
    assert casualties.is_in_doubt(identity("a"))
    assert not casualties.is_in_doubt(identity("b"))
    casualties.record_fates([fate("a", Fate.FAILED)])
    assert len(casualties) == 0
    assert len(after((1, "p1", "+a ?"), (1, "p1", ""), (2, "p2", ""))) == 1


def test_of_calls_that_shared_a_third_death_none_is_blamed_until_one_was_alone() -> None:
    casualties = after(*dying(3, "+a +b +c"))
    assert not blamed(casualties, "abc")
    assert suspected(casualties, "abc") == {"a", "b", "c"}
    read(casualties, (4, "p4", "+b +new"), (5, "p5", ""))
    assert blamed(casualties, "abc") == {"b"}, "a call without deaths was no suspect beside it"
    assert not suspected(casualties, {"new"})


def test_a_suspect_is_called_alone() -> None:
    casualties = after(*dying(2, "+a +b"))
    assert casualties.begin_call(identity("a"), 1)
    assert not casualties.begin_call(identity("b"), 1)
    casualties.record_commit([], [attempt("a")])
    assert casualties.begin_call(identity("b"), 1)
    casualties.record_commit([fate("b")], [])
    assert not casualties.is_suspect(identity("b"))
    assert casualties.begin_call(identity("a"), 1)
    casualties.stand_by()
    assert casualties.begin_call(identity("a"), 1)


@pytest.mark.parametrize("fate_of_a", [Fate.PARKED, Fate.COMPLETED])
def test_a_suspect_that_is_parked_gives_its_place_to_another(fate_of_a: Fate) -> None:
    """Each term counts its attempts anew: two were made in the terms that died, and the first one of this is parked."""
    casualties = InterruptedCalls()
    for term in (1, 2):
        casualties.record_line(term, f"p{term}", 0)
        casualties.record_starts([attempt("a", 2), attempt("b", 2)])
    casualties.record_line(3, "me", 0)
    assert casualties.begin_call(identity("a"), 1)
    assert not casualties.begin_call(identity("b"), 1)
    casualties.record_commit([SettledEntry(identity("a"), 1, fate_of_a)], [])
    assert casualties.is_suspect(identity("a")) is (fate_of_a is Fate.PARKED)
    assert casualties.begin_call(identity("b"), 1), "its place is free"


@pytest.mark.parametrize("fate_of_a", list(Fate))
def test_a_fate_of_our_own_that_is_read_in_the_ledger_frees_the_place_too(fate_of_a: Fate) -> None:
    """The answer to its commit was lost, and the promotion that followed found it committed."""
    casualties = after(*dying(2, "+a +b"))
    assert casualties.begin_call(identity("a"), 3)
    casualties.record_fates([SettledEntry(identity("a"), 2, Fate.PARKED)])
    assert not casualties.begin_call(identity("b"), 3), "that it was parked before is said again while it is called"
    casualties.record_fates([SettledEntry(identity("a"), 3, fate_of_a)])
    assert casualties.begin_call(identity("b"), 3)


def test_the_end_of_an_earlier_attempt_that_is_said_late_frees_no_place_of_a_later_one() -> None:
    names = [f"r{number}" for number in range(CALLS_OF_SUSPECTS_MAX + 2)]
    casualties = after(*dying(2, " ".join(f"+{name}" for name in names)))
    assert all(casualties.begin_call(identity(name), 1) for name in names[: CALLS_OF_SUSPECTS_MAX - 1])
    assert casualties.begin_call(identity("r0"), 2), "a place is free, though its first call is not said to have ended"
    assert casualties.begin_call(identity(names[-1]), 1)
    casualties.record_commit([], [attempt("r0", 1), attempt("of no suspect", 1)])
    assert not casualties.begin_call(identity(names[-2]), 1)
    casualties.record_commit([], [attempt("r0", 2)])
    assert casualties.begin_call(identity(names[-2]), 1)


def test_a_deadly_call_that_is_refused_and_parked_in_between_is_singled_out_all_the_same() -> None:
    """Else it would end two leaders each time it is tried again, until its deadline (seed 6000702)."""
    casualties = InterruptedCalls()
    for term in range(1, DEATHS_BY_CALL + 1):
        casualties.record_line(2 * term, f"p{term}", 0)
        casualties.record_starts([attempt("a", term)])
        casualties.record_line(2 * term + 1, f"q{term}", 0)
        casualties.record_starts([attempt("a", term)])
        casualties.record_fates([SettledEntry(identity("a"), term, Fate.PARKED)])
        casualties.record_line(2 * term + 1, f"q{term}", 0, left=True)
    casualties.record_line(20, "me", 0)
    assert casualties.is_to_blame(identity("a"))


def test_what_is_parked_is_under_way_no_more() -> None:
    casualties = after((1, "p1", "+a"))
    casualties.record_fates([SettledEntry(identity("a"), 1, Fate.PARKED)])
    assert not read(casualties, (2, "p2", ""))


def test_that_a_suspect_was_parked_before_is_said_again_while_its_copy_is_called_and_frees_no_place() -> None:
    casualties = InterruptedCalls()
    for term in (1, 2):
        casualties.record_line(term, f"p{term}", 0)
        casualties.record_starts([attempt("a", 3), attempt("b", 1)])
    casualties.record_line(3, "me", 0)
    assert casualties.begin_call(identity("a"), 3)
    casualties.record_commit([SettledEntry(identity("a"), 2, Fate.PARKED)], [])
    assert casualties.is_suspect(identity("a"))
    assert not casualties.begin_call(identity("b"), 1)


def test_many_suspects_are_called_a_few_at_a_time_until_one_more_death_has_made_them_few() -> None:
    names = [f"r{number}" for number in range(CALLS_OF_SUSPECTS_MAX + 2)]
    casualties = after(*dying(2, " ".join(f"+{name}" for name in names)))
    assert [casualties.begin_call(identity(name), 1) for name in names].count(True) == CALLS_OF_SUSPECTS_MAX
    worse = after(*dying(2, " ".join(f"+{name}" for name in names)), (3, "p3", "+r0 +r1"), (4, "p4", ""))
    assert worse.begin_call(identity("r0"), 1)
    assert not any(worse.begin_call(identity(name), 1) for name in names[1:])
    worse.record_commit([fate("r0")], [])
    assert worse.begin_call(identity("r2"), 1)
    assert not worse.begin_call(identity("r1"), 1), "it must be alone"


def test_what_is_committed_while_nothing_is_held_against_any_call_says_nothing() -> None:
    casualties = after((1, "p1", ""))
    casualties.record_commit([fate("a")], [attempt("a")])
    casualties.record_fates([fate("a")])
    assert len(casualties) == 0


def test_lines_that_are_read_twice_or_from_another_place_on_count_once() -> None:
    lines = [*dying(2, "+a +b"), (3, "p3", "+a +b !b"), (4, "p4", "+a"), (5, "p5", "+c")]
    once = after(*lines)
    assert blamed(once, "abc") == {"a"}
    for begin in range(len(lines)):
        twice = read(after(*lines), *lines[begin:])
        assert blamed(twice, "abc") == {"a"}, begin
        assert not suspected(twice, "bc")
        assert twice.begin_call(identity("a"), 1)


WITHIN_MS = DEATHS_IN_A_ROW_WITHIN_MS


def lived(*claims: tuple[str, int]) -> InterruptedCalls:
    """After terms of these owners, each begun then; a `.` behind the name: the former one had left in peace."""
    casualties = InterruptedCalls()
    for term, (owner, at_ms) in enumerate(claims, start=1):
        if owner.endswith("."):
            read(casualties, (term - 1, claims[term - 2][0], "."), at_ms=at_ms)
        read(casualties, (term, owner, ""), at_ms=at_ms)
    return casualties


def test_two_deaths_within_ten_minutes_are_followed_by_ten_minutes_of_caution() -> None:
    assert lived(("a", 0), ("b", 10)).caution_ms() == 0
    assert lived(("a", 0), ("b", 10), ("c", 10 + WITHIN_MS)).caution_ms() == WITHIN_MS
    assert lived(("a", 0), ("b", 10), ("c", 11 + WITHIN_MS)).caution_ms() == 0, "they are no row"
    assert lived(("a", 0), ("b", 5), ("c", 9), ("d", 9 + WITHIN_MS)).caution_ms() == WITHIN_MS
    cautious = lived(("a", 0), ("b", 5), ("c", 9))
    assert read(cautious, (3, "c", ""), at_ms=8 + WITHIN_MS).caution_ms() == 1
    assert read(cautious, (3, "c", ""), at_ms=10 + WITHIN_MS).caution_ms() == 0


def test_caution_outlives_a_term_that_leaves_and_is_no_matter_of_owners_that_live() -> None:
    assert lived(("a", 0), ("b", 5), ("c.", 7), ("d", 9)).caution_ms() == WITHIN_MS
    assert lived(("a", 0), ("b", 5), ("c", 9), ("d.", 10)).caution_ms() == WITHIN_MS - 1
    assert lived(("a", 0), ("b", 1), ("a", 2), ("b", 3), ("a", 4)).caution_ms() == 0
    assert lived(("a", 0), ("b", 1), ("a", 2), ("b", 3), ("c", 4)).caution_ms() == WITHIN_MS, "both may have died"


def test_caution_is_the_same_whatever_lines_are_read_twice() -> None:
    lines = dying(3, "+a")
    for begin in range(len(lines)):
        assert read(after(*lines), *lines[begin:]).caution_ms() == WITHIN_MS


def test_what_is_remembered_is_bounded_and_the_oldest_go() -> None:
    casualties = after((1, "p1", ""))
    casualties.record_starts([attempt(f"{number}") for number in range(INHERITED_CALLS_MAX + 5)])
    assert len(casualties._under_way) == INHERITED_CALLS_MAX
    read(casualties, (2, "p2", ""))
    casualties.record_starts([attempt(f"x{number}") for number in range(5)])
    read(casualties, (3, "p3", ""))
    assert len(casualties) == INHERITED_CALLS_MAX
    assert (identity("x4").id_hash, 0) in casualties._deaths


def parked(name: str, attempts: int) -> list[SettledEntry]:
    return [SettledEntry(identity(name), attempts, Fate.PARKED)]


def test_that_a_request_was_parked_before_its_call_is_said_again_and_clears_no_death() -> None:
    """Twice a window, also while its copy is called, and by whoever leads next."""
    casualties = InterruptedCalls()
    for term in range(1, DEATHS_BY_CALL + 1):
        casualties.record_line(term, f"p{term}", 0)
        casualties.record_fates(parked("a", 2))
        casualties.record_starts([attempt("a", 3)])
        casualties.record_fates(parked("a", 2))
    casualties.record_line(9, "p9", 0)
    casualties.record_commit(parked("a", 2), [])
    assert blamed(casualties, "a") == {"a"}
    casualties.record_commit([SettledEntry(identity("a"), 3, Fate.FAILED)], [])
    assert not casualties


def test_that_it_was_parked_takes_no_doubt_away() -> None:
    casualties = InterruptedCalls()
    casualties.record_line(1, "p1", 0, named=True)
    casualties.record_starts([attempt("a", 3)])
    casualties.record_line(2, "p2", 0)
    casualties.record_fates(parked("a", 2))
    casualties.record_fates(parked("a", 3))
    assert casualties.is_in_doubt(identity("a"))
    casualties.record_fates([fate("a")])
    assert not casualties.is_in_doubt(identity("a"))


def test_deaths_and_doubts_are_counted_together() -> None:
    assert len(after(*dying(1, "+a"), (2, "p2", "+b ?"), (3, "p3", ""))) == 2


def test_calls_of_a_term_that_left_in_peace_are_not_those_of_the_next_term_of_its_owner() -> None:
    assert len(after((1, "a", "+x"), (1, "a", "."), (2, "a", ""), (3, "b", ""))) == 0


def test_another_owner_of_the_same_term_tells_of_a_death() -> None:
    assert len(after((1, "a", "+x"), (1, "b", ""))) == 1


def test_calls_in_doubt_are_bounded_too() -> None:
    casualties = after((1, "p1", ""))
    casualties.record_starts([attempt(f"{number}") for number in range(INHERITED_CALLS_MAX)])
    read(casualties, (1, "p1", "?"), (2, "p2", "+x"), (2, "p2", "?"), (3, "p3", ""))
    assert len(casualties) == INHERITED_CALLS_MAX
    assert casualties.is_in_doubt(identity("x"))


def test_as_many_suspects_as_there_are_places_are_called_one_at_a_time() -> None:
    names = [f"r{number}" for number in range(CALLS_OF_SUSPECTS_MAX)]
    casualties = after(*dying(2, " ".join(f"+{name}" for name in names)))
    assert [casualties.begin_call(identity(name), 1) for name in names].count(True) == 1
