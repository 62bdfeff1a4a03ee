from random import Random

import pytest

from headrace.broker.core.bounds import QUEUE_BLOCK_MAX
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket


def waiting(deadline_ms: int = 1_000) -> Ticket:
    return ticket(candidate(deadline_ms=deadline_ms))


def test_nobody_is_first_of_an_empty_line() -> None:
    line = TenantQueue()
    assert line.head is None
    assert (len(line), list(line)) == (0, [])


def test_the_nearest_deadline_goes_first_and_of_like_ones_who_came_first() -> None:
    line = TenantQueue()
    late, early, early_too = waiting(2_000), waiting(1_000), waiting(1_000)
    for each in (late, early, early_too):
        line.add(each)
    assert line.head is early
    assert list(line) == [early, early_too, late]
    assert list(reversed(line)) == [late, early_too, early]


def test_a_retry_goes_before_everybody_and_the_last_one_before_the_others() -> None:
    line = TenantQueue()
    line.add(waiting(0))
    first, second = waiting(9_000), waiting(9_000)
    line.add(first, front=True)
    line.add(second, front=True)
    assert list(line)[:2] == [second, first]
    assert line.head is second


def test_who_leaves_leaves_no_gap_and_may_come_again() -> None:
    line = TenantQueue()
    made = [waiting(deadline) for deadline in (1_000, 2_000, 3_000)]
    for each in made:
        line.add(each)
    line.remove(made[1])
    line.remove(made[0])
    assert line.head is made[2]
    line.remove(made[2])
    assert line.head is None
    line.add(made[0])
    assert list(line) == [made[0]]


@pytest.mark.slow
def test_thousands_who_come_and_leave_anywhere_stand_in_order() -> None:
    chance, line, here = Random(7), TenantQueue(), list[Ticket]()
    for step in range(6_000):
        if here and chance.random() < (0.3 if step < 4_000 else 0.7):
            gone = here.pop(chance.randrange(len(here)))
            line.remove(gone)
        else:
            here.append(waiting(chance.choice([1_000, chance.randrange(100_000)])))
            line.add(here[-1])
    assert len(line) == len(here) > QUEUE_BLOCK_MAX
    assert list(line) == sorted(here, key=lambda each: each.rank or (0, 0))
    assert all(len(block) <= QUEUE_BLOCK_MAX for block in line._blocks)
    while here:
        here.remove(gone := line.head or here[0])
        line.remove(gone)
    assert (len(line), line.head, line._blocks, line._lasts) == (0, None, [], [])


def test_a_line_knows_its_tokens_also_after_another_price() -> None:
    line = TenantQueue()
    for charge in (1, 20, 300):
        line.add(ticket(candidate(charge=charge)))
    assert line.tokens == 321
    line.reprice(lambda each: 2 * each.charge)
    assert line.tokens == 642
    assert line.head is not None
    line.remove(line.head)
    assert line.tokens == 640


def test_one_ticket_may_get_another_charge() -> None:
    line = TenantQueue()
    tickets = [ticket(candidate(charge=charge)) for charge in (1, 20)]
    for each in tickets:
        line.add(each)
    line.reprice_one(tickets[1], 300)
    assert (tickets[1].charge, line.tokens) == (300, 301)
