import pytest

from headrace.broker.core.bounds import LINGER_MS, OUTCOMES_PER_TRANSACTION_MAX, TRANSACTION_BYTES_MAX
from headrace.broker.core.commands import Complete, Discard
from headrace.broker.core.requests.outbox import Decided, Outbox
from tests.unit.core.outboxes import add, begun
from tests.unit.core.specimens import candidate, ticket


def test_a_patient_outcome_lingers_and_an_urgent_one_takes_it_along_at_once() -> None:
    outbox = Outbox()
    assert outbox.due_at() is None
    patient = add(outbox, 1_000)
    assert outbox.due_at() == 1_000 + LINGER_MS
    late = add(outbox, 1_020)
    assert outbox.due_at() == 1_000 + LINGER_MS
    urgent = add(outbox, 1_030, at_once=True)
    assert outbox.due_at() == 1_030
    assert begun(outbox, 1_030) == [patient, late, urgent]


def test_one_transaction_at_a_time() -> None:
    outbox = Outbox()
    first = add(outbox, at_once=True)
    assert begun(outbox) == [first]
    add(outbox, 5, at_once=True)
    assert outbox.busy
    assert outbox.due_at() is None
    with pytest.raises(AssertionError):
        outbox.begin(6)
    assert [each.ticket for each in outbox.end()] == [first]
    assert outbox.due_at() == 5


def test_a_transaction_is_bounded_in_count_and_the_rest_goes_next() -> None:
    outbox = Outbox()
    made = [add(outbox) for _ in range(OUTCOMES_PER_TRANSACTION_MAX + 1)]
    assert begun(outbox, 70) == made[:-1]
    outbox.end()
    assert outbox.due_at() == 70
    assert begun(outbox, 70) == made[-1:]
    outbox.end()
    assert outbox.due_at() is None


def test_a_transaction_is_bounded_in_bytes_but_the_first_always_fits() -> None:
    outbox = Outbox()
    huge = add(outbox, size=TRANSACTION_BYTES_MAX + 1)
    half = add(outbox, size=TRANSACTION_BYTES_MAX // 2)
    other_half = add(outbox, size=TRANSACTION_BYTES_MAX // 2)
    small = add(outbox, size=1)
    batches = []
    while len(outbox):
        batches.append(begun(outbox))
        outbox.end()
    assert batches == [[huge], [half, other_half], [small]]


def test_an_unknown_commit_loses_nothing_and_keeps_the_order() -> None:
    outbox = Outbox()
    first, second = add(outbox), add(outbox)
    begun(outbox, 50)
    third = add(outbox, 60)
    outbox.interrupt()
    assert len(outbox) == 3
    assert not outbox.busy
    assert begun(outbox, 60) == [first, second, third]


def test_what_an_unknown_commit_held_is_due_without_another_word() -> None:
    outbox = Outbox()
    add(outbox)
    begun(outbox, 50)
    outbox.interrupt()
    assert outbox.due_at() == 50


def test_an_interruption_of_nothing_changes_nothing() -> None:
    outbox = Outbox()
    add(outbox, 100)
    outbox.interrupt()
    assert (len(outbox), outbox.due_at()) == (1, 100 + LINGER_MS)


def test_what_must_come_before_any_map_comes_first() -> None:
    outbox = Outbox()
    ordinary = add(outbox)
    lost = add(outbox, at_once=True, front=True)
    assert begun(outbox) == [lost, ordinary]


def test_a_withdrawn_decision_is_gone_and_an_empty_outbox_is_never_due() -> None:
    outbox = Outbox()
    keeps, leaves = add(outbox), add(outbox)
    outbox.withdraw(leaves)
    assert outbox.due_at() is not None
    outbox.withdraw(leaves)  # was not there any more
    assert begun(outbox) == [keeps]
    outbox.interrupt()
    outbox.withdraw(keeps)
    assert (len(outbox), outbox.due_at()) == (0, None)


def test_nothing_is_withdrawn_from_under_a_commit() -> None:
    outbox = Outbox()
    made = add(outbox)
    begun(outbox)
    with pytest.raises(AssertionError):
        outbox.withdraw(made)


def test_a_ticket_is_decided_once() -> None:
    outbox = Outbox()
    made = add(outbox)
    with pytest.raises(AssertionError):
        outbox.add(Decided(made, Discard(), 1), 0, at_once=False)


def test_what_becomes_of_a_ticket_can_be_asked_until_its_commit_has_returned() -> None:
    outbox = Outbox()
    under_way = add(outbox)
    begun(outbox)
    waiting, elsewhere = add(outbox), ticket()
    assert [outbox.decision(each) for each in (under_way, waiting, elsewhere)] == [Complete(), Complete(), None]
    outbox.end()
    assert outbox.decision(under_way) is None


def test_it_holds_what_waits_and_what_is_under_way() -> None:
    outbox, one, other = Outbox(), ticket(), ticket(candidate("y"))
    assert not outbox.holds(one)
    outbox.add(Decided(one, Complete(), 1), 0, at_once=True)
    assert outbox.holds(one)
    outbox.begin(0)
    assert outbox.holds(one)
    assert not outbox.holds(other)
    outbox.end()
    assert not outbox.holds(one)
