"""Offsets count as handled in order, whatever order the outcomes end in, and never before their own outcome has."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.client_ports import Arrived
from headrace.consumers.deliveries import Deliveries, Delivery
from headrace.schemas.outcome import Completed
from headrace.schemas.record import Record


def arrived(offset: int, partition: int = 0, assignment: int = 1) -> Arrived:
    return Arrived(partition, offset, 0, Record(None, b""), assignment)


def outcome(request_id: str, run: int = 0) -> Completed:
    return Completed(id=request_id, run=run, response={})


@dataclass
class Rig:
    remembered_max: int = 100
    handled: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(remembered_max=self.remembered_max, mark_handled=self._mark)

    def _mark(self, record: Arrived) -> None:
        self.handled.append((record.assignment, record.partition, record.offset))

    def begin(self, request_id: str, offset: int, **place: int) -> Delivery | None:
        return self.deliveries.begin(arrived(offset, **place), outcome(request_id))

    def begun(self, request_id: str, offset: int, **place: int) -> Delivery:
        delivery = self.begin(request_id, offset, **place)
        assert delivery is not None
        return delivery

    def offsets(self, partition: int = 0) -> list[int]:
        return [offset for _, number, offset in self.handled if number == partition]


def test_what_ends_early_waits_for_what_came_before_it() -> None:
    rig = Rig()
    first, second, third = (rig.begun(name, offset) for offset, name in enumerate("abc"))
    rig.deliveries.done(third)
    rig.deliveries.done(second)
    assert rig.handled == []
    rig.deliveries.done(first)
    assert rig.offsets() == [0, 1, 2]


def test_partitions_do_not_wait_for_each_other() -> None:
    rig = Rig()
    rig.begun("a", 0)
    rig.deliveries.done(rig.begun("b", 7, partition=1))
    assert (rig.offsets(0), rig.offsets(1)) == ([], [7])


def test_what_is_no_outcome_counts_once_it_is_its_turn() -> None:
    rig = Rig()
    first = rig.begun("a", 0)
    rig.deliveries.skip(arrived(1))
    assert rig.handled == []
    rig.deliveries.done(first)
    assert rig.offsets() == [0, 1]


def test_a_repeat_of_what_is_handled_counts_at_once_and_is_not_delivered() -> None:
    rig = Rig()
    rig.deliveries.done(rig.begun("a", 0))
    assert rig.begin("a", 1) is None
    assert rig.offsets() == [0, 1]
    assert rig.deliveries.duplicates == 1


def test_a_repeat_of_what_is_in_hand_counts_only_when_that_has_ended() -> None:
    rig = Rig()
    in_hand = rig.begun("a", 0)
    assert rig.begin("a", 0, assignment=2) is None, "its partition was dealt out anew, and is ours again"
    assert rig.handled == []
    assert rig.deliveries.duplicates == 1
    rig.deliveries.done(in_hand)
    assert rig.handled == [(2, 0, 0)], "of the former assignment nothing can count any more"


def test_what_is_given_back_never_counts_and_may_be_delivered_again() -> None:
    rig = Rig()
    rig.deliveries.give_back(rig.begun("a", 0))
    rig.deliveries.done(rig.begun("b", 1))
    assert rig.handled == []
    rig.deliveries.done(rig.begun("a", 0, assignment=2))
    assert rig.handled == [(2, 0, 0)]


def test_another_run_is_another_outcome() -> None:
    rig = Rig()
    rig.deliveries.done(rig.begun("a", 0))
    assert rig.deliveries.begin(arrived(1), outcome("a", run=1)) is not None


def test_the_oldest_is_forgotten_first_and_a_repeat_makes_it_young() -> None:
    rig = Rig(remembered_max=2)
    for offset, name in enumerate("ab"):
        rig.deliveries.done(rig.begun(name, offset))
    assert rig.begin("a", 2) is None
    rig.deliveries.done(rig.begun("c", 3))
    assert rig.begin("a", 4) is None
    assert rig.begin("b", 5) is not None, "b was the oldest"


def test_what_has_counted_takes_no_room() -> None:
    rig = Rig(remembered_max=1)
    for offset in range(100):
        rig.deliveries.done(rig.begun(f"{offset}", offset))
    assert len(rig.offsets()) == 100
    (line,) = rig.deliveries._lines.values()
    assert (len(line.waiting), len(line.ended)) == (0, 0)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=60))
def test_handled_is_always_an_unbroken_beginning_of_each_partition(
    steps: list[tuple[int, int, bool]],
) -> None:
    rig, ends = Rig(), [0, 0, 0]
    in_hand: list[tuple[Delivery, int, int]] = []
    open_offsets: set[tuple[int, int]] = set()
    for partition, name, ends_one in steps:
        offset, ends[partition] = ends[partition], ends[partition] + 1
        delivery = rig.begin(f"{name}", offset, partition=partition)
        if delivery is not None:
            in_hand.append((delivery, partition, offset))
            open_offsets.add((partition, offset))
        if ends_one and in_hand:
            ended, at, where = in_hand.pop(len(in_hand) // 2)
            rig.deliveries.done(ended)
            open_offsets.discard((at, where))
        for number in range(3):
            assert rig.offsets(number) == list(range(len(rig.offsets(number))))
            assert all(where >= len(rig.offsets(number)) for at, where in open_offsets if at == number)
    for delivery, _, _ in in_hand:
        rig.deliveries.done(delivery)
    assert [len(rig.offsets(number)) for number in range(3)] == ends
