"""The buffer of a lane: it never holds more than it may, and no partition leaves another without room.

Records come one at a time, wherever there is room, and leave in any order. A record is weighed when it has been read,
so bytes may be exceeded by one record and no more.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.config import LaneRule
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import place, ticket

pytestmark = pytest.mark.timeout(300)  # what fails is made small first

GREEDY = 3
NEVER_TAKEN = GREEDY
OTHERS_HOLD_AT_MOST = 4
"""Times what is free: so much one partition may hold."""

SIZES = st.one_of(st.just(100), st.integers(1, 400))
BYTES = st.one_of(st.just(1_000), st.integers(1, 20_000))
STEPS = st.lists(
    st.one_of(st.tuples(st.integers(0, GREEDY - 1), SIZES, st.integers(1, 60)), st.integers(0, 1_000)),
    max_size=40,
)


class Buffer:
    """One lane of some partitions, and who is in it."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.registry = TicketRegistry([LaneRule("standard", 0, 0, 0, count_max, bytes_max)])
        self.registry.progress = {place("standard", number): PartitionProgress(0) for number in range(GREEDY + 1)}
        self.held: list[Ticket] = []
        self.next: Counter[int] = Counter()

    def room(self, number: int) -> int:
        """How much a partition has."""
        return self.registry.room(place("standard", number))

    def take(self, number: int, size: int) -> None:
        """The next record of a partition."""
        made = ticket(offset=self.next[number], size=size, number=number)
        self.next[number] += 1
        self.registry.progress[made.source.partition].take(made.source.offset, 0)
        self.registry.add(made)
        self.held.append(made)

    def leave(self, which: int) -> None:
        """Somebody is done."""
        if self.held:
            gone = self.held.pop(which % len(self.held))
            self.registry.finish(gone.source)
            self.registry.remove(gone)


@given(count_max=st.integers(1, 200), bytes_max=BYTES, steps=STEPS)
def test_a_lane_never_holds_more_records_and_bytes_than_its_buffer_but_for_one_record(
    count_max: int, bytes_max: int, steps: list[tuple[int, int, int] | int]
) -> None:
    buffer = Buffer(count_max, bytes_max)
    for step in steps:
        if isinstance(step, int):
            buffer.leave(step)
            continue
        number, size, times = step
        while times and buffer.room(number):
            assert sum(each.bytes for each in buffer.held) < bytes_max
            times -= 1
            buffer.take(number, size)
        assert len(buffer.held) <= count_max


@given(count_max=st.integers(1, 200), bytes_max=BYTES, steps=STEPS)
def test_as_many_records_as_there_is_room_for_at_once_fit(
    count_max: int, bytes_max: int, steps: list[tuple[int, int, int] | int]
) -> None:
    buffer = Buffer(count_max, bytes_max)
    for step in steps:
        if isinstance(step, int):
            buffer.leave(step)
        else:
            for _ in range(buffer.room(step[0])):
                buffer.take(step[0], step[1])
            assert len(buffer.held) <= count_max


@given(count_max=st.integers(6, 200), bytes_max=st.integers(6_000, 20_000), steps=STEPS)
def test_whatever_backlog_one_partition_has_the_others_find_room_at_once(
    count_max: int, bytes_max: int, steps: list[tuple[int, int, int] | int]
) -> None:
    buffer = Buffer(count_max, bytes_max)
    for step in steps:
        if isinstance(step, int):
            buffer.leave(step)
        else:
            while buffer.room(0):
                buffer.take(0, step[1])
            assert buffer.room(NEVER_TAKEN) > 0


@given(count_max=st.integers(1, 200), bytes_max=BYTES, steps=STEPS)
def test_whatever_backlogs_several_have_a_partition_that_holds_nothing_finds_room_while_anything_is_free(
    count_max: int, bytes_max: int, steps: list[tuple[int, int, int] | int]
) -> None:
    buffer = Buffer(count_max, bytes_max)
    for step in steps:
        if isinstance(step, int):
            buffer.leave(step)
        else:
            while buffer.room(step[0]):
                buffer.take(step[0], step[1])
        is_free = len(buffer.held) < count_max and sum(each.bytes for each in buffer.held) < bytes_max
        assert (buffer.room(NEVER_TAKEN) > 0) == is_free


@given(count_max=st.integers(1, 200), steps=STEPS)
def test_a_partition_alone_gets_four_parts_in_five_of_its_lane(
    count_max: int, steps: list[tuple[int, int, int] | int]
) -> None:
    buffer = Buffer(count_max, 1 << 30)
    for step in steps:
        if isinstance(step, int):
            buffer.leave(step)
        else:
            while buffer.room(0):
                buffer.take(0, 1)
            assert len(buffer.held) * (OTHERS_HOLD_AT_MOST + 1) >= count_max * OTHERS_HOLD_AT_MOST
