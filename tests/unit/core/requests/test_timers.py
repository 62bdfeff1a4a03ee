from headrace.broker.core.bounds import DEADLINES_SWEPT_ABOVE
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.ticket import State, Ticket
from tests.unit.core.specimens import candidate, ticket


def due_at(deadline_ms: int) -> Ticket:
    return ticket(candidate(deadline_ms=deadline_ms))


def watch(alarms: Timers, ticket_: Ticket, living: int) -> None:
    alarms.watch(ticket_, ticket_.candidate.deadline_ms, living)


def test_sleepers_wake_in_the_order_of_their_instants_and_then_of_their_coming() -> None:
    alarms, first, second, third = Timers(), ticket(), ticket(), ticket()
    alarms.sleep(third, 30)
    alarms.sleep(first, 20)
    alarms.sleep(second, 20)
    assert alarms.next_at() == 20
    assert alarms.woken(19) == []
    assert alarms.woken(30) == [first, second, third]
    assert alarms.next_at() is None


def test_a_deadline_passes_at_its_instant_and_once() -> None:
    alarms, late = Timers(), due_at(50)
    watch(alarms, late, 1)
    assert (alarms.due(49), alarms.due(50), alarms.due(51)) == ([], [late], [])


def test_a_deadline_in_the_middle_of_a_call_is_one_too() -> None:
    alarms, calling = Timers(), due_at(50)
    watch(alarms, calling, 1)
    calling.state = State.CALLING
    assert alarms.next_at() == 50
    assert alarms.due(60) == [calling]


def test_nobody_is_woken_for_what_is_settled() -> None:
    alarms, asleep, watched, waiting = Timers(), ticket(), due_at(50), due_at(90)
    alarms.sleep(asleep, 20)
    watch(alarms, watched, 3)
    watch(alarms, waiting, 3)
    asleep.state = watched.state = State.SETTLED
    assert alarms.next_at() == 90
    waiting.state = State.SETTLED
    assert alarms.next_at() is None


def test_it_rings_from_the_first_instant_of_either_kind_on() -> None:
    asleep, watched = Timers(), Timers()
    assert not asleep.is_due(60)
    asleep.sleep(ticket(), 60)
    watch(watched, due_at(50), 1)
    assert [asleep.is_due(now_ms) for now_ms in (59, 60, 61)] == [False, True, True]
    assert [watched.is_due(now_ms) for now_ms in (49, 50, 51)] == [False, True, True]


def test_an_instant_after_all_that_one_waits_for_is_none() -> None:
    alarms = Timers()
    alarms.sleep(ticket(), 60)
    watch(alarms, due_at(50), 1)
    assert [alarms.next_at(until_ms) for until_ms in (49, 50, 70, None)] == [None, 50, 50, 50]


def test_who_is_settled_is_passed_over_as_far_as_one_waits() -> None:
    alarms, settled = Timers(), due_at(50)
    watch(alarms, settled, 2)
    watch(alarms, due_at(60), 2)
    settled.state = State.SETTLED
    assert [alarms.next_at(until_ms) for until_ms in (49, 59, 60)] == [None, None, 60]


def test_deadlines_of_the_settled_are_swept_once_they_outnumber_the_living() -> None:
    alarms, head = Timers(), due_at(1)  # keeps the settled from the front of the heap
    watch(alarms, head, 1)
    for _ in range(3 * DEADLINES_SWEPT_ABOVE):
        settled = due_at(1_000_000)
        watch(alarms, settled, 1)
        settled.state = State.SETTLED
    assert len(alarms._deadlines) <= DEADLINES_SWEPT_ABOVE + 4
    assert alarms.due(1) == [head]


def test_a_sweep_keeps_every_deadline_of_the_living() -> None:
    alarms = Timers()
    living = [due_at(1_000 + number % 7) for number in range(20)]
    for each in living:
        watch(alarms, each, 20)
    for _ in range(2 * DEADLINES_SWEPT_ABOVE):
        settled = due_at(500)
        settled.state = State.SETTLED
        watch(alarms, settled, 20)
    assert set(alarms.due(2_000)) == set(living)


def test_a_follower_remembers_no_instant() -> None:
    alarms = Timers()
    alarms.sleep(ticket(), 20)
    watch(alarms, due_at(50), 1)
    alarms.clear()
    assert alarms.next_at() is None
    assert alarms.woken(100) == alarms.due(100) == []


def test_until_when_a_ticket_sleeps_can_be_asked_without_waking_it() -> None:
    alarms, first, second, awake = Timers(), ticket(), ticket(), ticket()
    alarms.sleep(first, 30)
    alarms.sleep(second, 20)
    assert [alarms.sleeps_until(each) for each in (first, second, awake)] == [30, 20, None]
    assert alarms.woken(30) == [second, first]
    assert alarms.sleeps_until(first) is None
