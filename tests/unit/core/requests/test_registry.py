import pytest

from headrace.broker.core.bounds import CONTROL_BUFFER_MAX, CRAMPED_BELOW
from headrace.broker.core.config import LaneRule
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.offset_map import MAP_BYTES_MAX, METADATA_CHARS_MAX
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.registry import TicketRegistry, Want
from headrace.broker.core.ticket import CONTROL, Garbage, LanePartition, Source, State, Ticket, TicketNumber
from tests.progress_seen import finish
from tests.unit.core.specimens import LANES, candidate, place, ticket

P0 = place()
SMALL = LaneRule("standard", 0, 0, 0, 3, 100)


def registry(*, next_offset: int = 0) -> TicketRegistry:
    made = TicketRegistry([SMALL])
    made.replace_progress({P0: PartitionProgress(next_offset)})
    return made


def took(made: TicketRegistry, offset: int, name: str = "x", *, size: int = 10) -> Ticket:
    taken = ticket(candidate(name), offset=offset, size=size)
    assert made.progress[P0].take(offset, 0)
    made.add(taken)
    return taken


def test_a_new_record_is_wanted_and_one_in_memory_is_skipped() -> None:
    made = registry()
    assert made.want(Source(P0, 0)) is Want.TAKE
    took(made, 0)
    assert made.want(Source(P0, 0)) is Want.SKIP
    assert made.want(Source(P0, 1)) is Want.TAKE


def test_a_partition_that_is_not_ours_is_not_read() -> None:
    made = registry()
    assert made.want(Source(place("standard", 9), 0)) is Want.FULL
    assert made.room(place("standard", 9)) == 0


def test_a_record_whose_map_might_not_fit_stops_its_partition() -> None:
    made = registry()
    took(made, 0)
    assert made.want(Source(P0, 10_000_000)) is Want.TAKE  # two open offsets fit however far apart
    progress = PartitionProgress(0)
    for offset in range(0, 24_000, 16):
        progress.take(offset, 0)
    made.replace_progress({P0: progress})
    assert made.want(Source(P0, 10_000_000)) is Want.FULL


def test_room_is_bounded_by_count_and_by_bytes_and_comes_back() -> None:
    made = registry()
    assert made.room(P0) == 3
    first = took(made, 0, size=40)
    took(made, 1, size=40)
    assert made.room(P0) == 1
    last = took(made, 2, size=40)
    assert made.room(P0) == 0
    made.remove(last)
    assert made.room(P0) == 1
    took(made, 3, size=20)
    made.remove(first)
    assert made.room(P0) == 1
    took(made, 4, size=90)
    assert made.room(P0) == 0


def test_a_leader_reads_no_further_ahead_than_its_buffer_and_a_marker_behind_each_record() -> None:
    assert registry().read_ahead_max("standard") == 6
    assert registry().read_ahead_max(CONTROL) == 2 * CONTROL_BUFFER_MAX


def test_bytes_alone_close_a_lane() -> None:
    made = registry()
    took(made, 0, size=100)
    assert made.room(P0) == 0


def test_a_lane_is_crowded_when_more_than_half_of_its_buffer_is_in_use_by_count_or_by_bytes() -> None:
    assert registry().crowded() == []
    made = registry()
    made.add(Ticket(TicketNumber(900), Source(place(CONTROL), 0), 10**9, 0, CancelRecord(b"c" * 16, 0)))
    took(made, 0)
    assert made.crowded() == []
    second = took(made, 1, "y")
    assert made.crowded() == [SMALL]
    made.remove(second)
    heavy = took(made, 2, "z", size=41)
    made.remove(heavy)
    assert made.crowded() == []
    made.remove(next(each for each in made.tickets() if each.source.partition == P0))
    took(made, 3, "v", size=51)
    assert made.crowded() == [SMALL]


def test_a_partition_is_cramped_when_its_map_has_hardly_any_room() -> None:
    made = registry()
    assert made.cramped() == []
    for offset in (*range(600), 8 * MAP_BYTES_MAX - CRAMPED_BELOW):
        made.progress[P0].take(offset, 0)
    assert made.cramped() == [P0]


def test_one_ticket_answers_for_its_id() -> None:
    made = registry()
    first, other = took(made, 0), took(made, 1)
    made.open(first)
    assert (made.is_answering(first), made.is_answering(other)) == (True, False)
    assert made.answering(first.candidate.identity.id_hash) is first
    assert made.answering(b"nobody's".ljust(16)) is None
    made.remove(other)
    assert made.tickets() == [first]
    assert made.is_answering(first)
    made.remove(first)
    assert not made.is_answering(first)
    assert (made.tickets(), len(made)) == ([], 0)


def test_the_control_topic_is_read_like_a_lane_with_a_buffer_of_its_own() -> None:
    made = TicketRegistry([SMALL])
    control = LanePartition(CONTROL, 0)
    made.replace_progress({control: PartitionProgress(0)})
    assert made.room(control) == CONTROL_BUFFER_MAX * 4 // 5
    cancel = Ticket(TicketNumber(0), Source(control, 0), 100, 0, CancelRecord(b"i" * 16, 5))
    made.add(cancel)
    assert made.room(control) == CONTROL_BUFFER_MAX * 4 // 5 - 1
    made.join(cancel)
    assert not made.is_answering(cancel)
    assert made.take_joined(b"i" * 16) == [cancel]


def test_garbage_answers_for_nobody() -> None:
    made = registry()
    garbage = Ticket(TicketNumber(0), Source(P0, 0), 1, 0, Garbage(None, "No JSON."))
    made.add(garbage)
    assert not made.is_answering(garbage)
    made.remove(garbage)
    assert len(made) == 0


def test_duplicates_part_together_in_the_order_in_which_they_came() -> None:
    made = registry()
    first, second, third = (took(made, offset) for offset in range(3))
    made.open(first)
    made.join(second)
    made.join(third)
    assert (second.state, third.state) == (State.JOINED, State.JOINED)
    id_hash = first.candidate.identity.id_hash
    assert made.take_joined(id_hash) == [second, third]
    assert made.take_joined(id_hash) == []


def test_a_duplicate_that_leaves_alone_is_not_remembered() -> None:
    made = registry()
    first, second = took(made, 0), took(made, 1)
    made.join(first)
    made.join(second)
    made.leave(first)
    made.leave(second)
    assert made._joined == {}


def test_a_transaction_stores_the_maps_it_changes_and_no_other() -> None:
    made = registry()
    other = place("standard", 1)
    made.progress[other] = PartitionProgress(7)
    made.stored(1)
    took(made, 0)
    assert made.stored(1) == {}
    made.finish(Source(P0, 0))
    stored = made.stored(1)
    assert list(stored) == [P0]
    assert stored[P0].offset == 1
    assert len(stored[P0].metadata) <= METADATA_CHARS_MAX
    made.touch_all()
    assert set(made.stored(1)) == {P0, other}


def test_the_end_of_a_lost_range_closes_nothing_twice() -> None:
    made = registry()
    assert made.progress[P0].lose_below(5) == range(5)
    made.finish(Source(P0, 0))
    assert made.stored(1)[P0].offset == 5


def test_new_progress_names_the_tickets_that_are_settled_or_somebody_elses() -> None:
    made = registry()
    made.progress[place("standard", 1)] = PartitionProgress(0)
    done, kept, ahead = took(made, 0), took(made, 1), took(made, 2)
    moved = ticket(candidate("m"))
    moved.source = Source(place("standard", 1), 0)
    made.add(moved)
    stored = PartitionProgress(0)
    stored.take(0, 0)
    stored.take(1, 0)
    finish(stored, 0)
    restored = PartitionProgress.restore(*_parts(stored))
    assert set(made.replace_progress({P0: restored})) == {done, moved}
    assert made.want(kept.source) is Want.SKIP
    assert made.want(ahead.source) is Want.SKIP
    assert set(made.stored(1)) == {P0}


def test_whoever_leaves_says_whether_it_was_to_answer_for_its_id() -> None:
    made = registry()
    first, second = took(made, 0), took(made, 1)
    made.open(first)
    made.join(second)
    assert not made.remove(second)
    assert made.remove(first)


def _parts(progress: PartitionProgress) -> tuple[int, str]:
    stored = progress.store(1)
    return stored.offset, stored.metadata


def test_a_follower_knows_no_progress_and_forgets_it_only_when_no_ticket_is_left() -> None:
    made = registry()
    taken = took(made, 0)
    with pytest.raises(AssertionError):
        made.clear()
    made.remove(taken)
    made.clear()
    assert made.progress == {}
    assert made.stored(1) == {}
    assert made.want(Source(LanePartition("standard", 0), 0)) is Want.FULL


WIDE = LaneRule("wide", 0, 0, 0, 1_000, 100_000)


def filled(registry: TicketRegistry, partition: LanePartition, *, size: int = 10) -> int:
    """Take all that there is room for; how much that was."""
    taken = 0
    while (room := registry.room(partition)) > 0:
        for _ in range(room):
            registry.add(ticket(lane="wide", number=partition.number, size=size))
        taken += room
    return taken


def test_no_partition_fills_the_whole_buffer_and_who_comes_to_another_finds_room() -> None:
    registry = TicketRegistry([WIDE])
    registry.progress = {place("wide", number): PartitionProgress(0) for number in range(3)}
    assert filled(registry, place("wide", 0)) == 800
    assert filled(registry, place("wide", 1)) == 160
    assert filled(registry, place("wide", 2)) == 32


def test_partitions_with_a_backlog_come_to_hold_the_same() -> None:
    registry = TicketRegistry([WIDE])
    registry.progress = {place("wide", number): PartitionProgress(0) for number in range(2)}
    for number in range(2):
        filled(registry, place("wide", number))
    for _ in range(2_000):
        registry.remove(registry.tickets()[0])
        for number in range(2):
            filled(registry, place("wide", number))
    held = [sum(each.source.partition.number == number for each in registry.tickets()) for number in range(2)]
    assert held == pytest.approx([444, 444], abs=5)


def test_partitions_with_a_backlog_hold_alike_and_are_served_alike_by_bytes_however_large_their_records_are() -> None:
    registry = TicketRegistry([WIDE])
    registry.progress = {place("wide", number): PartitionProgress(0) for number in range(2)}
    sizes, served = (10, 50), [0, 0]
    for step in range(6_000):
        if step:
            first = registry.tickets()[0]
            registry.remove(first)
            served[first.source.partition.number] += first.bytes if step > 3_000 else 0
        for number, size in enumerate(sizes):
            filled(registry, place("wide", number), size=size)
    held = [sum(each.bytes for each in registry.tickets() if each.bytes == size) for size in sizes]
    assert held[1] / held[0] == pytest.approx(1, abs=0.2)
    assert served[1] / served[0] == pytest.approx(1, abs=0.2)


def test_bytes_are_left_to_other_partitions_too() -> None:
    registry = TicketRegistry([WIDE])
    registry.progress = {place("wide", number): PartitionProgress(0) for number in range(2)}
    for _ in range(9):
        registry.add(ticket(lane="wide", size=10_000))
    assert registry.room(place("wide", 0)) == 0
    assert registry.room(place("wide", 1)) > 0


def test_it_is_sound_while_its_counts_and_ids_are_those_of_its_tickets() -> None:
    registry = TicketRegistry(LANES)
    registry.replace_progress({place(): PartitionProgress(0)})
    first, duplicate, stranger = ticket(), ticket(), ticket()
    for each in (first, duplicate):
        registry.add(each)
    registry.open(first)
    registry.join(duplicate)
    assert registry.holds(first)
    assert not registry.holds(stranger)
    assert registry.is_sound()
    registry.leave(duplicate)
    registry.join(stranger)
    assert not registry.is_sound(), "a copy waits that is not there"
    registry.leave(stranger)
    assert registry.is_sound()
    registry.open(stranger)
    assert not registry.is_sound(), "somebody answers that is not there"
    registry.open(first)
    registry._held["bulk"] += 1
    assert not registry.is_sound()
    registry._held["bulk"] -= 1
    registry._held_bytes["bulk"] += 1
    assert not registry.is_sound()


def test_it_is_sound_with_tickets_that_take_more_of_their_buffer_than_they_weigh() -> None:
    registry = TicketRegistry(LANES)
    registry.replace_progress({place(): PartitionProgress(0)})
    heavy = ticket()
    heavy.buffer_bytes = heavy.bytes + 3_500
    registry.add(heavy)
    assert registry.is_sound()


def test_a_small_lane_is_crowded_however_large_the_others_are() -> None:
    large = LaneRule("bulk", 1, 0, 0, 1_000, 1 << 30)
    for rule, size in ((LaneRule("standard", 0, 0, 0, 12, 1 << 30), 1), (LaneRule("standard", 0, 0, 0, 12, 12), 1)):
        made = TicketRegistry([rule, large])
        made.replace_progress({P0: PartitionProgress(0)})
        for offset in range(6):
            took(made, offset, size=size)
            assert made.crowded() == []
        took(made, 6, size=size)
        assert made.crowded() == [rule]
    made = TicketRegistry([LaneRule("standard", 0, 0, 0, 12, 100), large])
    made.replace_progress({P0: PartitionProgress(0)})
    took(made, 0, size=50)
    assert made.crowded() == []
    took(made, 1, size=1)
    assert len(made.crowded()) == 1


def test_the_last_byte_that_is_free_lets_one_more_partition_begin() -> None:
    made, other = registry(), place("standard", 1)
    made.replace_progress({P0: PartitionProgress(0), other: PartitionProgress(0)})
    took(made, 0, size=99)
    assert (made.room(P0), made.room(other) > 0) == (0, True)


def test_a_partition_that_holds_the_whole_buffer_has_no_room_and_no_less() -> None:
    made = TicketRegistry([LaneRule("standard", 0, 0, 0, 6, 1_000)])
    made.replace_progress({P0: PartitionProgress(0)})
    for offset in range(6):
        took(made, offset, size=1)
    assert made.room(P0) == 0


def test_exactly_half_of_a_buffer_is_no_crowd_whatever_the_others_hold() -> None:
    rule, large = LaneRule("standard", 0, 0, 0, 12, 100), LaneRule("bulk", 1, 0, 0, 1_000, 1 << 30)
    for sizes, crowded in (([1] * 6, False), ([1] * 7, True), ([49], False), ([50], False), ([51], True)):
        made = TicketRegistry([rule, large])
        made.replace_progress({P0: PartitionProgress(0)})
        for number in range(10):
            made.add(ticket(candidate(str(number)), lane="bulk", offset=number, size=10))
        for offset, size in enumerate(sizes):
            took(made, offset, size=size)
        assert (made.crowded() == [rule]) is crowded, sizes


@pytest.mark.parametrize("size", [100, 120])
def test_a_buffer_whose_bytes_are_held_by_one_partition_has_no_room_for_another(size: int) -> None:
    other = place("standard", 1)
    made = registry()
    made.replace_progress({P0: PartitionProgress(0), other: PartitionProgress(0)})
    took(made, 0, size=size)
    assert made.room(other) == 0
