import pytest

from headrace.broker.core.lanes.ordering_keys import OrderingKeys
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket


def of(key: str, lane: str = "standard") -> Ticket:
    return ticket(candidate(order=key.encode()), lane=lane)


def test_who_has_no_key_may_always_start_and_is_not_remembered() -> None:
    order, free = OrderingKeys(), of("")
    assert order.add(free)
    assert (order.start(free), order.remove(free), len(order)) == (None, None, 0)


def test_of_one_key_the_next_may_start_once_the_one_before_has() -> None:
    order, first, second, third = OrderingKeys(), of("k"), of("k"), of("k")
    assert [order.add(each) for each in (first, second, third)] == [True, False, False]
    assert order.start(first) is second
    assert order.start(second) is third
    assert order.start(third) is None
    assert len(order) == 0


def test_keys_and_lanes_do_not_wait_for_one_another() -> None:
    order = OrderingKeys()
    assert all(order.add(each) for each in (of("k"), of("other"), of("k", lane="bulk")))


def test_who_leaves_from_the_middle_lets_nobody_start_and_who_leaves_first_the_next() -> None:
    order, first, second, third = OrderingKeys(), of("k"), of("k"), of("k")
    for each in (first, second, third):
        order.add(each)
    assert order.remove(second) is None
    assert order.remove(first) is third
    assert order.remove(first) is None
    assert order.remove(third) is None


def test_who_has_started_has_left() -> None:
    order, first, second = OrderingKeys(), of("k"), of("k")
    order.add(first)
    order.add(second)
    order.start(first)
    assert order.remove(first) is None
    assert order.start(first) is None


@pytest.mark.parametrize("lane", ["serial", "standard"])
def test_in_a_serial_lane_the_next_may_start_when_the_one_before_has_its_outcome(lane: str) -> None:
    order, first, second = OrderingKeys(["serial"]), of("k", lane), of("k", lane)
    order.add(first)
    order.add(second)
    assert order.start(first) is (second if lane == "standard" else None)
    assert order.remove(first) is (second if lane == "serial" else None)


def test_all_can_be_forgotten() -> None:
    order = OrderingKeys()
    order.add(of("k"))
    order.clear()
    assert order.add(of("k"))


def test_who_must_start_before_one_of_a_key_can_be_asked() -> None:
    order, first, second, third = OrderingKeys(), of("k"), of("k"), of("k")
    for each in (first, second, third):
        order.add(each)
    assert [order.predecessors(each) for each in (first, second, third)] == [[], [first], [first, second]]
    order.start(first)
    assert [order.predecessors(each) for each in (first, third)] == [[], [second]]
    assert [order.predecessors(each) for each in (of(""), of("other"))] == [[], []]


def test_who_is_turned_back_stands_where_it_stood_whatever_the_order_of_coming_back() -> None:
    for back in ((0, 1), (1, 0)):
        order, three = OrderingKeys(), [of("k") for _ in range(3)]
        for each in three:
            order.add(each)
        first, second, third = three
        assert (order.start(first), order.start(second)) == (second, third)
        assert [order.requeue(three[place]) for place in back] == ([third, None] if back[0] == 0 else [third, second])
        assert [order.must_wait(each) for each in three] == [False, True, True]
        assert order.start(first) is second
        assert order.start(second) is third
        assert order.start(third) is None
        assert len(order) == 0


def test_who_is_turned_back_with_nobody_behind_it_is_the_first() -> None:
    order, only = OrderingKeys(), of("k")
    order.add(only)
    assert order.start(only) is None
    assert not order.must_wait(only)
    assert order.requeue(only) is None
    assert not order.must_wait(only)
    assert order.remove(only) is None
    assert len(order) == 0


def test_who_has_no_key_or_has_never_left_its_place_is_turned_back_to_no_other() -> None:
    order, free, first, second = OrderingKeys(["serial"]), of(""), of("k", lane="serial"), of("k", lane="serial")
    assert (order.requeue(free), order.must_wait(free), len(order)) == (None, False, 0)
    for each in (first, second):
        order.add(each)
    order.start(first)
    assert order.requeue(first) is None
    assert [order.must_wait(each) for each in (first, second)] == [False, True]
