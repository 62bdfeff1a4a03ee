import random
import sys
from collections.abc import Callable, Iterator
from time import thread_time

import pytest

from headrace.broker.core.progress.offset_map import MAP_BYTES_MAX, METADATA_CHARS_MAX, TIMESTAMP_UNKNOWN, worst_bytes
from headrace.broker.core.progress.partition_progress import PartitionProgress, ProgressUnreadableError
from tests.progress_seen import done_of, finish, holds, incomplete, window


def taken(count: int, start: int = 0) -> PartitionProgress:
    progress = PartitionProgress(start)
    for offset in range(start, start + count):
        assert progress.take(offset, 1_000 + offset)
    return progress


def restored(progress: PartitionProgress, term: int = 1) -> PartitionProgress:
    stored = progress.store(term)
    return PartitionProgress.restore(stored.offset, stored.metadata)


def test_a_new_partition_is_done_up_to_its_start() -> None:
    progress = PartitionProgress(40)
    assert (progress.base, progress.next_offset, incomplete(progress), window(progress)) == (40, 40, 0, 0)
    assert progress.last_timestamp_ms == TIMESTAMP_UNKNOWN


def test_base_rises_only_when_its_own_offset_is_finished() -> None:
    progress = taken(3)
    finish(progress, 1)
    assert (progress.base, incomplete(progress), window(progress)) == (0, 2, 3)
    finish(progress, 0)
    assert (progress.base, incomplete(progress), window(progress)) == (2, 1, 1)
    finish(progress, 2)
    assert (progress.base, incomplete(progress), window(progress)) == (3, 0, 0)


def test_offsets_jumped_over_are_done() -> None:
    progress = taken(1)
    assert progress.take(5, 0)
    finish(progress, 0)
    assert (progress.base, incomplete(progress), progress.next_offset) == (5, 1, 6)
    assert not progress.take(3, 0)


def test_done_is_what_was_finished_or_jumped_over() -> None:
    progress = taken(2)
    progress.take(4, 0)
    finish(progress, 1)
    assert done_of(progress, range(6)) == [1, 2, 3]


def test_a_record_read_again_is_taken_once() -> None:
    progress = taken(2)
    assert not progress.take(1, 0)
    finish(progress, 1)
    assert not progress.take(1, 0)


def test_an_offset_is_held_from_taking_to_finishing() -> None:
    progress = taken(1)
    assert holds(progress, 0)
    finish(progress, 0)
    assert not holds(progress, 0)


def test_an_offset_is_closed_once_and_only_if_it_is_held() -> None:
    progress = taken(2)
    assert [progress.close(offset) for offset in (0, 0, 2)] == [True, False, False]
    successor = restored(progress)
    assert not successor.close(1)
    assert incomplete(successor) == 1


def test_what_is_awaited_is_what_would_be_taken() -> None:
    successor = restored(taken(2))
    successor.take(0, 0)
    assert [successor.awaits(offset) for offset in range(3)] == [False, True, True]


def test_a_restart_takes_what_was_open_and_nothing_else() -> None:
    progress = taken(10, start=100)
    for offset in (101, 102, 107):
        finish(progress, offset)
    successor = restored(progress)
    assert (successor.base, successor.next_offset, incomplete(successor)) == (100, 110, 7)
    again = [offset for offset in range(100, 110) if successor.take(offset, 0)]
    assert again == [100, 103, 104, 105, 106, 108, 109]


def test_a_restored_map_holds_nothing_until_its_records_are_read_again() -> None:
    successor = restored(taken(1))
    assert not holds(successor, 0)
    assert successor.take(0, 0)
    assert holds(successor, 0)


def test_a_restart_without_open_offsets_begins_behind_the_last_one() -> None:
    progress = taken(3)
    for offset in range(3):
        finish(progress, offset)
    assert progress.store(1).offset == 3
    assert restored(progress).next_offset == 3


def test_term_and_last_timestamp_travel_with_the_map() -> None:
    stored = taken(3).store(term=12)
    assert PartitionProgress.term_of(stored.metadata) == 12
    assert PartitionProgress.restore(stored.offset, stored.metadata).last_timestamp_ms == 1_002


def test_what_is_stored_is_the_progress_as_it_was_however_late_its_map_is_written() -> None:
    progress = taken(3)
    at_once, later = progress.store(1).metadata, progress.store(1)
    finish(progress, 0)
    finish(progress, 1)
    assert (later.offset, later.metadata) == (0, at_once)


def test_reading_an_open_record_again_leaves_the_last_timestamp_alone() -> None:
    successor = restored(taken(3))
    assert successor.take(0, 5)
    assert successor.last_timestamp_ms == 1_002


def test_a_map_is_refused_at_another_offset_than_its_own() -> None:
    stored = taken(3).store(1)
    with pytest.raises(ProgressUnreadableError, match="stored at offset 2 was written for offset 0"):
        PartitionProgress.restore(2, stored.metadata)


def test_an_offset_without_a_map_is_refused() -> None:
    with pytest.raises(ProgressUnreadableError):
        PartitionProgress.restore(2, "")


def test_an_entry_in_memory_is_kept_where_the_map_says_open() -> None:
    progress = taken(3)
    finish(progress, 1)
    successor = restored(progress)
    assert [successor.hold(offset) for offset in range(3)] == [True, False, True]
    assert not successor.take(0, 0)
    assert successor.hold(0)
    finish(successor, 0)
    assert not successor.hold(0)


def test_entries_in_memory_that_no_commit_mentions_extend_the_map() -> None:
    successor = restored(taken(2))
    assert successor.hold(2)
    assert successor.hold(4)  # 3 was a marker
    assert (successor.next_offset, incomplete(successor)) == (5, 4)
    assert not successor.take(4, 0)
    assert successor.last_timestamp_ms == TIMESTAMP_UNKNOWN


def test_an_entry_for_which_another_leaders_map_has_no_place_is_read_again_later() -> None:
    successor = restored(taken(8 * MAP_BYTES_MAX))
    assert not successor.hold(30_000)
    assert successor.next_offset == 8 * MAP_BYTES_MAX


def test_the_window_is_bounded_by_the_bitmap_it_may_become() -> None:
    progress = PartitionProgress(7)
    offset = 7
    while progress.accepts(offset):
        progress.take(offset, 0)
        offset += 1
    assert (window(progress), progress.room()) == (8 * MAP_BYTES_MAX, 0)
    with pytest.raises(AssertionError, match="may not fit"):
        progress.take(offset, 0)
    finish(progress, 7)
    assert progress.accepts(offset)


def test_a_wide_window_is_bounded_by_its_open_offsets() -> None:
    progress = taken(1)
    offset = 1
    for _ in range(30_000):
        progress.take(offset, 0)
        finish(progress, offset)
        offset += 1
    opened = 1
    while progress.accepts(offset):
        assert progress.room() > 0
        progress.take(offset, 0)
        offset += 1
        opened += 1
    assert progress.room() == 0
    assert progress.accepts(offset - 1)  # already paid for
    assert opened == MAP_BYTES_MAX // (2 * 3)


def test_no_order_of_completions_outgrows_the_commit() -> None:
    progress = taken(8 * MAP_BYTES_MAX)
    order = list(range(1, 8 * MAP_BYTES_MAX))  # the head stays: nothing rises
    random.Random(5).shuffle(order)
    longest = 0
    for done, offset in enumerate(order):
        finish(progress, offset)
        if done % 500 == 0:
            longest = max(longest, len(progress.store(1).metadata))
    assert 4_000 < longest <= METADATA_CHARS_MAX


def test_room_is_what_accepts_will_pass() -> None:
    for opened, done in [
        (0, 0),
        (1, 10),
        (400, 30_000),
        (499, 30_000),
        (400, 2_096_701),
        (3, 2_097_148),
        (374, 2_097_148),
    ]:
        progress = taken(opened)
        if opened:
            progress.next_offset += done  # as if so many had been taken and finished
        first, room = progress.next_offset, progress.room()
        fits = [n for n in (1, room, room + 1) if worst_bytes(window(progress) + n, opened + n) <= MAP_BYTES_MAX]
        assert room + 1 not in fits
        assert room == 0 or room in fits
        assert (room > 0) == progress.accepts(first)


def test_a_stuck_head_does_not_let_memory_grow() -> None:
    progress = taken(1)
    for offset in range(1, 5_000):
        progress.take(offset, 0)
        finish(progress, offset)
    assert len(progress._open.starts) == 1
    assert progress.base == 0


def test_retention_closes_what_nobody_can_read() -> None:
    successor = restored(taken(4))
    assert successor.hold(1)
    assert successor.lose_below(3) == range(3)
    assert (successor.base, incomplete(successor), successor.next_offset) == (1, 2, 4)
    assert holds(successor, 1)
    assert successor.lose_below(3) is None
    finish(successor, 1)
    assert successor.base == 3


def test_retention_loses_what_was_never_taken() -> None:
    progress = PartitionProgress(5)
    assert progress.lose_below(5) is None
    assert progress.lose_below(9) == range(5, 9)
    assert (progress.base, progress.next_offset, window(progress)) == (9, 9, 0)


def test_a_leap_of_retention_neither_forgets_the_held_nor_outgrows_the_commit() -> None:
    progress = taken(24_000)
    order = list(range(1, 24_000))
    random.Random(6).shuffle(order)
    for offset in order[:12_000]:
        finish(progress, offset)
    assert progress.lose_below(1 << 40) == range(24_000, 1 << 40)
    assert not progress.accepts(1 << 40)
    successor = restored(progress)
    assert (successor.base, incomplete(successor), successor.next_offset) == (0, 12_000, 1 << 40)
    assert successor.last_timestamp_ms == TIMESTAMP_UNKNOWN


@pytest.fixture
def untraced() -> Iterator[None]:
    """Coverage's tracer would be measured instead."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.mark.usefixtures("untraced")
def test_storing_a_full_window_takes_milliseconds_and_taking_microseconds() -> None:
    def busy(work: Callable[[], object]) -> float:
        """Processor time, best of five: other processes do not count."""
        return min(-thread_time() + (work(), thread_time())[1] for _ in range(5))

    assert busy(lambda: taken(24_000)) / 24_000 < 20e-6
    progress = taken(24_000)
    for offset in random.Random(7).sample(range(1, 24_000), 12_000):
        finish(progress, offset)
    assert busy(lambda: progress.store(1)) < 0.008
