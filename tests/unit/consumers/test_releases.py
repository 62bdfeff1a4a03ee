"""What is back on its lane and what is next, with a fixed amount of progress however many wait."""

import pytest

from consumers.retries.releases import METADATA_CHARS_MAX, Releases, ReleasesUnreadableError

TERM = 3


def again(releases: Releases) -> Releases:
    """What the next process makes of what Kafka stores now."""
    stored = releases.stored(TERM)
    return Releases.restore(stored.offset, stored.metadata)


def test_records_leave_when_they_are_due_and_not_in_the_order_they_came() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((300, 100, 200)):
        assert releases.see(offset, "bulk", due_ms)
    assert releases.next_due_ms() == 100
    assert releases.choose(99, 10) == []
    assert releases.choose(250, 10) == [1, 2]
    assert (releases.next_due_ms(), releases.waiting) == (300, 1)
    assert releases.choose(300, 10) == [0]
    assert releases.next_due_ms() is None


def test_what_is_due_at_once_leaves_in_the_order_of_offsets_and_bounded() -> None:
    releases = Releases(5)
    for offset in range(5, 9):
        releases.see(offset, "bulk", 0)
    assert releases.choose(0, 3) == [5, 6, 7]
    assert releases.choose(0, 3) == [8]


def test_lanes_do_not_wait_for_each_other() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 500)
    releases.see(1, "urgent", 100)
    assert releases.choose(100, 10) == [1]


def test_a_restart_neither_repeats_nor_forgets() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((300, 100, 200)):
        releases.see(offset, "bulk", due_ms)
    releases.choose(100, 10)
    stored = releases.stored(TERM)
    assert stored.offset == 0
    assert Releases.term_of(stored.metadata) == TERM
    second = Releases.restore(stored.offset, stored.metadata)
    assert [second.see(0, "bulk", 300), second.see(1, "bulk", 100), second.see(2, "bulk", 200)] == [True, False, True]
    assert second.choose(300, 10) == [2, 0]
    assert second.stored(TERM).offset == 3


def test_nothing_leaves_before_everything_seen_is_read_again() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((100, 300, 200)):
        releases.see(offset, "bulk", due_ms)
    releases.choose(100, 10)
    second = again(releases)
    second.see(1, "bulk", 300)
    assert (second.caught_up, second.next_due_ms(), second.choose(400, 10)) == (False, None, [])
    assert second.stored(TERM) == releases.stored(TERM), "a claim stores what it found"
    second.see(2, "bulk", 200)
    assert second.choose(400, 10) == [2, 1]


def test_a_late_record_leaves_in_the_transaction_that_moves_seen_past_it() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 300)
    releases.choose(300, 10)
    releases.see(1, "bulk", 200)
    assert releases.next_due_ms() == 0
    crashed = again(releases)
    assert crashed.see(1, "bulk", 200), "it was not looked at before"
    assert releases.choose(300, 10) == [1]
    moved = again(releases)
    assert moved.next_offset == 2


def test_seen_stops_before_a_late_record_that_does_not_fit_the_transaction() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 900)
    releases.see(1, "bulk", 300)
    releases.choose(300, 10)
    for offset, due_ms in ((2, 100), (3, 250), (4, 290), (5, 301)):
        releases.see(offset, "bulk", due_ms)
    assert releases.choose(1_000, 2) == [2, 3]
    second = again(releases)
    for offset, due_ms in ((0, 900), (1, 300), (2, 100), (3, 250), (4, 290), (5, 301)):
        assert second.see(offset, "bulk", due_ms) is (offset in {0, 4, 5})
    assert releases.choose(1_000, 2) == [4, 5]
    assert releases.choose(1_000, 2) == [0]


def test_a_partition_where_nothing_waits_stores_no_marks() -> None:
    releases = Releases(0)
    releases.see(7, "bulk", 300)
    releases.choose(300, 10)
    stored = releases.stored(TERM)
    assert (stored.offset, stored.metadata) == (8, 'hrr1:{"term":3,"seen":8,"marks":{}}')


def test_a_long_history_takes_no_room() -> None:
    releases = Releases(0)
    for offset in range(140_000):
        releases.see(offset, "bulk", 0)
        if offset % 1_000 == 999:
            releases.choose(0, 1_000)
    assert releases.stored(TERM).offset == 140_000
    assert len(releases._open) < 70_000


def test_what_retention_removed_is_passed_over() -> None:
    releases = Releases(0)
    for offset in range(4):
        releases.see(offset, "bulk", 100 * offset)
    releases.choose(0, 10)
    second = again(releases)
    second.lose_below(3)
    assert second.stored(TERM).offset == 3
    assert second.see(3, "bulk", 300)
    assert second.choose(300, 10) == [3]
    third = again(releases)
    third.lose_below(9)
    assert (third.caught_up, third.stored(TERM).offset) == (True, 9)


def test_lanes_that_do_not_fit_the_metadata_are_said_and_not_cut() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 900)
    for offset in range(1, 200):
        releases.see(offset, f"lane-{offset:028d}", 0)
    releases.choose(0, 1_000)
    with pytest.raises(ReleasesUnreadableError, match="199 lanes do not fit"):
        releases.stored(TERM)
    assert METADATA_CHARS_MAX == 4_096


@pytest.mark.parametrize(
    "metadata",
    ["", "hr1:AAAA", "hrr1:", "hrr1:[]", "hrr1:{}", 'hrr1:{"term":1,"seen":9,"marks":{"bulk":[1]}}',
     'hrr1:{"term":1,"seen":9,"marks":[]}', 'hrr1:{"term":1,"seen":2,"marks":{}}'],
)  # fmt: skip
def test_what_another_wrote_is_refused(metadata: str) -> None:
    with pytest.raises(ReleasesUnreadableError):
        Releases.restore(5, metadata)
