"""Records that may have ended their reader, as the ledger tells."""

import pytest

from headrace.broker.core.bounds import CAUTIOUS_BATCH_MAX, DEATHS_IN_A_ROW_WITHIN_MS
from headrace.broker.core.progress.poison_records import CautiousRead, CrashHistory, NamedRecord
from headrace.broker.core.ticket import LanePartition, Source

FIRST, SECOND = Source(LanePartition("bulk", 0), 7), Source(LanePartition("bulk", 1), 3)
PLAIN = CautiousRead(100)


class Story:
    """The ledger of terms that follow each other, a second apart unless said otherwise."""

    def __init__(self) -> None:
        self.deaths = CrashHistory()
        self.now_ms = 1_000_000

    def term(self, owner: str, *named: str, stands: str = "t/0/5", after_ms: int = 1_000) -> None:
        """A claim, and a line that names these."""
        self.now_ms += after_ms
        self.deaths.record_claim(owner, [stands], self.now_ms)
        self.deaths.record_step(owner, named, self.now_ms)

    def terms(self, owners: str, *named: str) -> None:
        for owner in owners:
            self.term(owner, *named)

    def line(self, owner: str, *named: str) -> None:
        self.deaths.record_step(owner, named, self.now_ms)

    def cautious_read(self, partition: str = "t/0", until: int = 100) -> CautiousRead | None:
        return self.deaths.cautious_read(partition, until)


# ---------------------------------------------------------------------------------------------------- when to begin


def test_the_second_death_in_a_row_calls_for_caution_everywhere() -> None:
    story = Story()
    story.terms("ab")
    assert story.cautious_read() is None, "one death"
    story.term("b")
    assert story.cautious_read() is None, "an owner that claims again has not died"
    story.term("c")
    assert story.cautious_read() == PLAIN
    assert story.cautious_read("t/1", 7) == CautiousRead(7)


def test_a_base_that_moved_leaves_the_row_as_it_is() -> None:
    story = Story()
    for offset, owner in enumerate("abc"):
        story.term(owner, stands=f"t/0/{offset}")
    assert story.cautious_read() == PLAIN


def test_deaths_far_apart_are_no_row() -> None:
    story = Story()
    story.terms("ab")
    story.term("c", after_ms=DEATHS_IN_A_ROW_WITHIN_MS + 1)
    assert story.cautious_read() is None
    story.term("d", after_ms=DEATHS_IN_A_ROW_WITHIN_MS)
    assert story.cautious_read() == PLAIN


def test_a_term_that_left_in_peace_begins_a_new_row() -> None:
    story = Story()
    story.terms("abc")
    story.deaths.record_leave()
    story.terms("de")
    assert story.cautious_read() is None
    story.term("f")
    assert story.cautious_read() == PLAIN


def test_a_term_that_has_left_does_not_count_as_dead() -> None:
    story = Story()
    story.terms("a")
    story.term("b", "t/0/9")
    story.deaths.record_leave()
    story.term("c")
    assert story.cautious_read() is None


# ---------------------------------------------------------------------------------------------------- suspects


def test_a_record_named_alone_when_a_term_dies_is_a_suspect_and_the_next_term_is_cautious_there() -> None:
    story = Story()
    story.term("a", "t/0/9")
    story.term("b", "t/0/9")
    assert story.cautious_read() == CautiousRead(100, {9: 1})
    story.term("c")
    assert story.cautious_read() == CautiousRead(100, {9: 2})
    assert story.cautious_read("t/1") == PLAIN


def test_records_named_together_when_a_term_dies_are_a_crowd_and_none_is_convicted() -> None:
    story = Story()
    story.term("a", "t/0/9", "t/0/10", "t/1/3")
    story.term("b", "t/0/10")
    assert story.cautious_read() == CautiousRead(100, {}, frozenset({9, 10}))
    story.term("c")
    assert story.cautious_read() == CautiousRead(100, {10: 1}, frozenset({9, 10}))
    assert story.cautious_read("t/1") == CautiousRead(100, {}, frozenset({3}))


def test_a_record_that_was_struck_off_is_no_suspect_any_more() -> None:
    story = Story()
    story.term("a", "t/0/9")
    story.term("b", "t/0/9", "t/0/10")
    story.line("b", "t/0/10")
    story.line("b")
    assert story.cautious_read() is None


def test_a_record_that_was_struck_off_leaves_the_crowd() -> None:
    story = Story()
    story.term("a", "t/0/9", "t/0/10")
    story.term("b", "t/0/9")
    story.line("b", "t/0/10")
    assert story.cautious_read() == CautiousRead(100, {}, frozenset({10}))


def test_a_record_that_is_done_is_forgotten() -> None:
    story = Story()
    story.term("a", "t/0/9")
    story.term("a", "t/0/8", "t/0/11", stands="t/0/9")
    story.term("b", stands="t/0/9")
    assert story.cautious_read() == CautiousRead(100, {}, frozenset({11}))
    story.term("b", stands="t/0/12")
    assert story.cautious_read() is None


def test_an_owner_that_claims_again_in_its_own_term_has_not_died_of_what_it_named() -> None:
    story = Story()
    story.term("a", "t/0/9")
    story.term("a")
    assert story.cautious_read() is None


def test_a_term_whose_claim_has_left_the_window_shows_in_its_lines() -> None:
    story = Story()
    story.line("a")
    story.line("a", "t/0/9")
    story.term("b")
    assert story.cautious_read() == CautiousRead(100, {9: 1})


def test_lines_of_another_owner_tell_of_a_death_where_no_claim_is_in_the_window() -> None:
    story = Story()
    story.term("a", "t/0/9")
    story.line("b")
    assert story.cautious_read() == CautiousRead(100, {9: 1})


def test_an_owner_that_left_and_writes_again_can_die_again() -> None:
    story = Story()
    story.term("a")
    story.deaths.record_leave()
    story.line("a", "t/0/9")
    story.term("b")
    assert story.cautious_read() == CautiousRead(100, {9: 1})


def test_a_claim_says_nothing_of_a_partition_that_it_does_not_name() -> None:
    story = Story()
    story.term("a", "t/1/0")
    story.term("b", stands="t/0/5")
    assert story.cautious_read("t/1") == CautiousRead(100, {0: 1})


def test_caution_reaches_every_suspect_however_far_it_stands() -> None:
    story = Story()
    story.term("a", "t/0/300")
    story.term("b")
    assert story.cautious_read() == CautiousRead(301, {300: 1})


# ---------------------------------------------------------------------------------------------------- how it is read


@pytest.mark.parametrize(
    ("count", "decode", "take"), [(0, True, True), (1, True, True), (2, False, True), (3, False, False)]
)
def test_after_two_deaths_a_record_is_not_decoded_and_after_three_it_is_not_taken(
    count: int,
    decode: bool,  # noqa: FBT001 — the row of a table
    take: bool,  # noqa: FBT001 — the same
) -> None:
    read = CautiousRead(100, {9: count} if count else {})
    assert (read.may_decode(9), read.may_take(9)) == (decode, take)
    assert (read.may_decode(8), read.may_take(8)) == (True, True)


@pytest.mark.parametrize(
    ("caution", "offset", "most"),
    [
        (PLAIN, 10, CAUTIOUS_BATCH_MAX),
        (PLAIN, 70, 30),
        (PLAIN, 99, 1),
        (CautiousRead(100, {20: 1}), 10, 10),
        (CautiousRead(100, {20: 1}), 20, 1),
        (CautiousRead(100, {20: 1}), 21, CAUTIOUS_BATCH_MAX),
        (CautiousRead(100, {}, frozenset({20, 21})), 20, 1),
        (CautiousRead(100, {}, frozenset({20, 21})), 22, CAUTIOUS_BATCH_MAX),
        (CautiousRead(100, {20: 2}), 50, 1),
        (CautiousRead(100, {}, frozenset({20})), 20, 1),
        (CautiousRead(30, {40: 1}), 10, 20),
        (CautiousRead(100, {40: 1}, frozenset({25, 30})), 20, 5),
        (CautiousRead(100, {25: 1, 40: 1}), 20, 5),
    ],
)
def test_records_are_named_in_batches_but_suspects_and_what_stands_beside_a_deadly_one_alone(
    caution: CautiousRead, offset: int, most: int
) -> None:
    upcoming = range(offset, offset + 100)
    assert caution.together(upcoming) == upcoming[:most]


def test_gaps_are_no_part_of_a_batch() -> None:
    assert CautiousRead(100, {30: 1}).together([10, 20, 29, 31, 99, 100]) == [10, 20, 29, 31, 99]
    assert CautiousRead(100, {29: 1}).together([10, 20, 29, 31]) == [10, 20]
    assert len(PLAIN.together([*range(10, 99)])) == CAUTIOUS_BATCH_MAX
    assert PLAIN.together([100, 101]) == [100], "the first, wherever it stands"


def test_offsets_without_a_record_extend_the_reach_once() -> None:
    caution = CautiousRead(100).passing(range(10, 16), [10, 12, 15])
    assert caution == CautiousRead(103, gaps_known_to=16)
    assert caution.passing(range(11, 19), [12, 15, 18]) == CautiousRead(105, gaps_known_to=19), "the first are counted"
    assert CautiousRead(100).passing(range(30, 30)) == CautiousRead(100)
    assert caution.passing(range(16, 16)) == caution.passing(range(10, 16)) == caution
    assert caution.passing(range(13, 20)) == CautiousRead(107, gaps_known_to=20), "a range that is lost"
    known = [10, 12, 16, 17]
    assert CautiousRead(100).passing(range(10, 16), known) == CautiousRead(104, gaps_known_to=16), "16 comes later"


def test_a_suspect_was_named_when_a_term_died_alone_or_among_others() -> None:
    caution = CautiousRead(100, {20: 1}, frozenset({30}))
    assert [offset for offset in (10, 20, 25, 30) if caution.is_suspect(offset)] == [20, 30]


# ---------------------------------------------------------------------------------------------------- our own


def test_a_record_that_is_named_is_written_once_the_line_is_committed() -> None:
    suspects = NamedRecord()
    assert not suspects.due
    suspects.name((FIRST,))
    assert suspects.due
    assert suspects.begin() == (FIRST,)
    suspects.name((SECOND,))
    suspects.end()
    assert (suspects.is_written((FIRST,)), suspects.is_written((SECOND,)), suspects.due) == (True, False, True)
    assert not suspects.are_read, "others are to be named"
    suspects.name((FIRST,))
    assert suspects.are_read
    suspects.name(())
    assert suspects.begin() == ()
    assert not suspects.is_written(())
    suspects.end()
    assert (suspects.is_written(()), suspects.due, suspects.are_read) == (True, False, False)


def test_in_doubt_no_record_is_named() -> None:
    suspects = NamedRecord()
    suspects.name((FIRST,))
    suspects.begin()
    suspects.end()
    suspects.clear()
    assert (suspects.begin(), suspects.due, suspects.is_written(())) == ((), False, True)


def test_a_claim_needs_to_name_the_partitions_of_suspects_alone() -> None:
    deaths = CrashHistory()
    assert deaths.suspected == set()
    deaths.record_claim("a", ["t/0/1", "t/1/1"], 0)
    deaths.record_step("a", ["t/0/5"], 0)
    assert deaths.suspected == {"t/0"}, "should the term die now, that record is a suspect"
    deaths.record_claim("b", ["t/0/5"], 0)
    deaths.record_step("b", ["t/1/7", "t/1/8"], 0)
    deaths.record_claim("c", [], 0)
    assert deaths.suspected == {"t/0", "t/1"}
    deaths.record_claim("d", ["t/0/6"], 0)
    assert deaths.suspected == {"t/1"}
