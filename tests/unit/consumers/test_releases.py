"""What is back on its lane and what is next, with a fixed amount of progress however many wait."""

import pytest

from headrace.broker.core.progress import offset_map
from headrace.consumers.retries.releases import (
    _TRIMMED_FROM,
    METADATA_CHARS_MAX,
    Releases,
    ReleasesUnreadableError,
    choose,
    progress_in,
)

TERM = 3


def leave(releases: Releases, now_ms: int, count_max: int, *, refused: str = "") -> list[int]:
    """What leaves now, where every lane but one may take all."""
    return [offset for _, offset in choose({0: releases}, now_ms, count_max, lambda lane: lane != refused)]


def next_due_ms(releases: Releases) -> int | None:
    firsts = (releases.first(lane) for lane in releases.lanes)
    return min((first[0] for first in firsts if first is not None), default=None)


def again(releases: Releases) -> Releases:
    """What the next process makes of what Kafka stores now."""
    stored = releases.stored(TERM)
    return Releases.restore(stored.offset, stored.metadata)


def again_after(releases: Releases, log: list[tuple[str, int]]) -> Releases:
    """The next process, once it has read everything again."""
    second = again(releases)
    for offset in range(second.next_offset, len(log)):
        second.see(offset, *log[offset])
    return second


def test_records_leave_when_they_are_due_and_not_in_the_order_they_came() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((300, 100, 200)):
        assert releases.see(offset, "bulk", due_ms)
    assert next_due_ms(releases) == 100
    assert leave(releases, 99, 10) == []
    assert leave(releases, 250, 10) == [1, 2]
    assert (next_due_ms(releases), releases.waiting) == (300, 1)
    assert leave(releases, 300, 10) == [0]
    assert next_due_ms(releases) is None


def test_what_is_due_at_once_leaves_in_the_order_of_offsets_and_bounded() -> None:
    releases = Releases(5)
    for offset in range(5, 9):
        releases.see(offset, "bulk", 0)
    assert leave(releases, 0, 3) == [5, 6, 7]
    assert leave(releases, 0, 3) == [8]


def test_lanes_do_not_wait_for_each_other() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 500)
    releases.see(1, "urgent", 100)
    assert leave(releases, 100, 10) == [1]


def test_a_lane_that_may_take_nothing_holds_up_no_other_and_keeps_its_order() -> None:
    releases = Releases(0)
    for offset, (lane, due_ms) in enumerate((("bulk", 2), ("urgent", 5), ("bulk", 1), ("urgent", 4))):
        releases.see(offset, lane, due_ms)
    assert leave(releases, 9, 10, refused="bulk") == [3, 1]
    assert releases.count_due("bulk", 1) == 1
    assert (releases.count_due("bulk", 9), releases.count_due("urgent", 9), releases.count_due("none", 9)) == (2, 0, 0)
    assert leave(again_after(releases, [("bulk", 2), ("urgent", 5), ("bulk", 1), ("urgent", 4)]), 9, 10) == [2, 0]
    assert leave(releases, 9, 10) == [2, 0]


def test_a_late_record_of_a_lane_that_may_take_nothing_holds_up_no_other() -> None:
    log = [("bulk", 300), ("urgent", 300), ("bulk", 200), ("urgent", 310), ("bulk", 900)]
    releases = Releases(0)
    releases.see(0, *log[0])
    releases.see(1, *log[1])
    assert leave(releases, 300, 10) == [0, 1]
    for offset in (2, 3, 4):
        releases.see(offset, *log[offset])
    assert leave(releases, 400, 10, refused="bulk") == [3]
    stored = releases.stored(TERM)
    assert stored.metadata.startswith("hrr2:"), "a release that knows nothing of it would forget the late one"
    assert (stored.offset, releases.seen) == (2, 5)
    second = again_after(releases, log)
    assert releases.count_due("bulk", 400) == second.count_due("bulk", 400) == 1
    assert leave(second, 1_000, 10) == leave(releases, 1_000, 10) == [2, 4]
    assert second.stored(TERM).metadata.startswith("hrr1:")


def test_a_claim_stores_late_records_as_it_found_them() -> None:
    log = [("bulk", 900), ("bulk", 300), ("bulk", 200)]
    releases = Releases(0)
    releases.see(0, *log[0])
    releases.see(1, *log[1])
    leave(releases, 300, 1)
    releases.see(2, *log[2])
    second = again(releases)
    assert second.stored(TERM) == releases.stored(TERM)
    second.see(0, *log[0])
    assert second.stored(TERM) == releases.stored(TERM)


def test_partitions_leave_by_when_their_records_are_due() -> None:
    partitions = {0: Releases(0), 1: Releases(0)}
    for offset, (first, second) in enumerate(((10, 20), (40, 30))):
        partitions[0].see(offset, "bulk", first)
        partitions[1].see(offset, "bulk", second)
    assert choose(partitions, 40, 3, lambda _: True) == [(0, 0), (1, 0), (1, 1)]
    assert choose(partitions, 40, 3, lambda _: True) == [(0, 1)]


def test_a_restart_neither_repeats_nor_forgets() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((300, 100, 200)):
        releases.see(offset, "bulk", due_ms)
    leave(releases, 100, 10)
    stored = releases.stored(TERM)
    assert stored.offset == 0
    assert progress_in(stored.metadata).term == TERM
    second = Releases.restore(stored.offset, stored.metadata)
    assert [second.see(0, "bulk", 300), second.see(1, "bulk", 100), second.see(2, "bulk", 200)] == [True, False, True]
    assert leave(second, 300, 10) == [2, 0]
    assert second.stored(TERM).offset == 3


def test_nothing_leaves_before_everything_seen_is_read_again() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((100, 300, 200)):
        releases.see(offset, "bulk", due_ms)
    leave(releases, 100, 10)
    second = again(releases)
    second.see(1, "bulk", 300)
    assert (second.caught_up, next_due_ms(second), leave(second, 400, 10)) == (False, None, [])
    assert second.stored(TERM) == releases.stored(TERM), "a claim stores what it found"
    second.see(2, "bulk", 200)
    assert leave(second, 400, 10) == [2, 1]


def test_a_late_record_leaves_in_the_transaction_that_moves_seen_past_it() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 300)
    leave(releases, 300, 10)
    releases.see(1, "bulk", 200)
    assert next_due_ms(releases) == 0
    crashed = again(releases)
    assert crashed.see(1, "bulk", 200), "it was not looked at before"
    assert leave(releases, 300, 10) == [1]
    moved = again(releases)
    assert moved.next_offset == 2


def test_seen_stops_before_a_late_record_that_does_not_fit_the_transaction() -> None:
    log = [("bulk", due_ms) for due_ms in (900, 300, 100, 250, 290, 301)]
    releases = Releases(0)
    releases.see(0, *log[0])
    releases.see(1, *log[1])
    leave(releases, 300, 10)
    for offset in range(2, 6):
        releases.see(offset, *log[offset])
    assert leave(releases, 1_000, 2) == [2, 3]
    second = again(releases)
    for offset, record in enumerate(log):
        assert second.see(offset, *record) is (offset in {0, 4, 5})
    assert leave(releases, 1_000, 2) == [4, 5]
    assert leave(releases, 1_000, 2) == [0]


def test_a_partition_where_nothing_waits_stores_no_marks() -> None:
    releases = Releases(0)
    releases.see(7, "bulk", 300)
    leave(releases, 300, 10)
    stored = releases.stored(TERM)
    assert (stored.offset, stored.metadata) == (8, 'hrr1:{"term":3,"seen":8,"marks":{}}')


@pytest.mark.slow
def test_a_long_history_takes_no_room() -> None:
    releases = Releases(0)
    for offset in range(140_000):
        releases.see(offset, "bulk", 0)
        if offset % 1_000 == 999:
            leave(releases, 0, 1_000)
    assert releases.stored(TERM).offset == 140_000
    assert len(releases._open) < 70_000


def test_what_retention_removed_is_passed_over() -> None:
    releases = Releases(0)
    for offset in range(4):
        releases.see(offset, "bulk", 100 * offset)
    leave(releases, 0, 10)
    second = again(releases)
    second.lose_below(3)
    assert second.stored(TERM).offset == 3
    assert second.see(3, "bulk", 300)
    assert leave(second, 300, 10) == [3]
    third = again(releases)
    third.lose_below(9)
    assert (third.caught_up, third.stored(TERM).offset) == (True, 9)


def test_lanes_that_do_not_fit_the_metadata_are_said_and_not_cut() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 900)
    for offset in range(1, 200):
        releases.see(offset, f"lane-{offset:028d}", 0)
    leave(releases, 0, 1_000)
    with pytest.raises(ReleasesUnreadableError, match="199 lanes do not fit"):
        releases.stored(TERM)
    assert METADATA_CHARS_MAX == offset_map.METADATA_CHARS_MAX == 4_096


@pytest.mark.parametrize(
    "metadata",
    ["", "hr1:AAAA", "hrr1:", "hrr1:[]", "hrr1:{}", 'hrr1:{"term":1,"seen":9,"marks":{"bulk":[1]}}',
     'hrr1:{"term":1,"seen":9,"marks":[]}', 'hrr1:{"term":1,"seen":2,"marks":{}}',
     'hrr1:{"term":1,"seen":1e999,"marks":{}}', "hrr1:" + "[" * 4_000],
)  # fmt: skip
def test_what_another_wrote_is_refused(metadata: str) -> None:
    with pytest.raises(ReleasesUnreadableError):
        Releases.restore(5, metadata)


@pytest.mark.parametrize("start", [0, 7])
def test_the_memory_of_what_has_left_is_given_back_and_no_place_is_mistaken_for_another(start: int) -> None:
    releases, far = Releases(start), start + _TRIMMED_FROM + 5
    releases.see(start, "bulk", 0)
    releases.see(far, "bulk", 0)
    assert releases.stored(TERM).offset == start
    assert leave(releases, 0, 1) == [start]
    for _ in range(2):
        assert releases.stored(TERM).offset == far
        assert len(releases._open) <= 2
    releases.see(far + 1, "bulk", 0)
    assert leave(releases, 0, 1) == [far]
    assert releases.stored(TERM).offset == far + 1
    releases.see(far + _TRIMMED_FROM + 1, "bulk", 0)
    assert leave(releases, 0, 2) == [far + 1, far + _TRIMMED_FROM + 1]
    assert releases.stored(TERM).offset == far + _TRIMMED_FROM + 2
    assert len(releases._open) <= 1, "nothing waits"
    releases.see(far + _TRIMMED_FROM + 2, "bulk", 0)
    assert releases.stored(TERM).offset == far + _TRIMMED_FROM + 2


def test_what_waits_is_never_given_back_however_long_its_partition_goes_on() -> None:
    releases = Releases(0)
    releases.see(0, "bulk", 500)
    releases.see(_TRIMMED_FROM + 5, "bulk", 500)
    assert releases.stored(TERM).offset == 0
    assert leave(releases, 500, 9) == [0, _TRIMMED_FROM + 5]


def test_retention_that_takes_a_part_of_what_was_seen_lets_nothing_leave_before_the_rest_is_read_again() -> None:
    releases = Releases(0)
    for offset, due_ms in enumerate((0, 900, 900, 800)):
        releases.see(offset, "bulk", due_ms)
    assert leave(releases, 0, 1) == [0]
    second = again(releases)
    second.lose_below(2)
    second.see(2, "bulk", 900)
    assert leave(second, 900, 9) == []
    second.see(3, "bulk", 800)
    assert leave(second, 900, 9) == [3, 2]


def test_of_a_lane_without_records_nothing_leaves() -> None:
    assert Releases(0).first("bulk") is None


def test_without_late_records_it_is_stored_so_that_the_release_before_can_read_it() -> None:
    releases = Releases(0)
    for offset in range(2):
        releases.see(offset, "bulk", 100 * offset)
    assert leave(releases, 0, 9) == [0]
    assert releases.stored(TERM).metadata == 'hrr1:{"term":3,"seen":2,"marks":{"bulk":[0,0]}}'


def test_metadata_may_be_as_long_as_kafka_takes_and_no_longer() -> None:
    def stored(length: int) -> str:
        releases, name = Releases(0), "l" * length
        releases.see(0, name, 0)
        releases.see(1, name, 900)
        assert leave(releases, 0, 9) == [0]
        return releases.stored(TERM).metadata

    longest = METADATA_CHARS_MAX - len(stored(1)) + 1
    assert len(stored(longest)) == METADATA_CHARS_MAX
    with pytest.raises(ReleasesUnreadableError):
        stored(longest + 1)


def test_of_many_lanes_the_records_leave_by_when_they_are_due() -> None:
    releases, lanes = Releases(0), "fedcba"
    for offset, lane in enumerate(lanes):
        releases.see(offset, lane, 100 - 10 * offset)
    assert leave(releases, 100, 9) == [5, 4, 3, 2, 1, 0]


def test_a_lane_that_said_no_once_is_not_asked_again_for_another_partition() -> None:
    partitions = {number: Releases(0) for number in range(3)}
    for each in partitions.values():
        each.see(0, "bulk", 0)
    asked: list[str] = []

    def may_leave(lane: str) -> bool:
        asked.append(lane)
        return len(asked) > 1

    assert choose(partitions, 0, 9, may_leave) == []
    assert asked == ["bulk"]


def test_a_later_version_is_refused_whatever_it_says() -> None:
    with pytest.raises(ReleasesUnreadableError):
        Releases.restore(0, 'hrr9:{"term":3,"seen":2,"marks":{}}')
