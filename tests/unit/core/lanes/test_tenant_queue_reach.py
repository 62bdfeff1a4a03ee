from itertools import pairwise
from random import Random

import pytest

from headrace.broker.core.bounds import QUEUE_BLOCK_MAX
from headrace.broker.core.budget.inflow import Inflow, Least
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.ticket import Ticket
from tests.unit.core.inflows import TEN_A_MS, charge_of, inflow, line_of
from tests.unit.core.specimens import candidate, ticket


def test_who_comes_in_time_even_in_its_turn_is_not_told_off() -> None:
    line, _ = line_of((100, 1), (500, 51), (500, 1_000))
    assert line.unreachable(inflow()) == []


def test_whose_turn_cannot_come_before_its_deadline_is_told_off_and_those_after_it_are_judged_without_it() -> None:
    line, tickets = line_of((600, 51), (600, 51), (10, 52), (9, 53))
    assert line.unreachable(inflow()) == [tickets[1]]


def test_only_what_a_call_takes_at_least_is_certain() -> None:
    line, tickets = line_of((600, 50))
    assert line.unreachable(inflow()) == tickets
    line, tickets = line_of((600, 50))
    assert line.unreachable(inflow(lambda each: each.charge - 10)) == []


def test_who_is_told_off_and_stays_is_told_off_again() -> None:
    line, tickets = line_of((100, 1), (600, 50), (10, 61))
    assert line.unreachable(inflow()) == [tickets[1]]
    assert line.unreachable(inflow()) == [tickets[1]]
    line.remove(tickets[1])
    assert line.unreachable(inflow()) == []


def test_another_law_or_another_limit_is_measured_anew() -> None:
    line, tickets = line_of((100, 1), (600, 60))
    assert line.unreachable(inflow(lambda _: 50)) == []
    assert line.unreachable(inflow()) == [], "by the same law as before, as far as was told"
    assert line.unreachable(Inflow(TEN_A_MS, (100,), charge_of, 1)) == [tickets[1]]
    assert line.unreachable(Inflow(((1, 20),), (100,), charge_of, 1)) == []


def plainly_out(tickets: list[Ticket], seen: Inflow, now_ms: int, lent: tuple[int, ...]) -> list[Ticket]:
    """What the words say, one after the other."""
    lost, ahead = [], 0
    for each in tickets:
        tokens = ahead + seen.least(each)
        missing = [tokens - there for there in lent]
        soonest_ms = max(
            now_ms + max(0, lacks) * period_ms // capacity
            for lacks, (period_ms, capacity) in zip(missing, seen.rates, strict=True)
        )
        if soonest_ms >= each.candidate.deadline_ms:
            lost.append(each)
        else:
            ahead = tokens
    return lost


@pytest.mark.slow
@pytest.mark.parametrize("crowd", [30, 3 * QUEUE_BLOCK_MAX])
@pytest.mark.parametrize("seed", range(4))
def test_whoever_comes_and_leaves_where_it_may_the_same_are_told_off_as_if_each_were_looked_at(
    seed: int, crowd: int
) -> None:
    """More comes than can be served, most of it with the same patience, in which a crowd can be served."""
    dice, line, now_ms, law, looks, told = Random(seed), TenantQueue(), 0, 0, 0, 0
    capacity = dice.choice([700, 10_000, 333_333])
    laws: list[Least] = [lambda each: each.charge, lambda each: each.charge * 15 // 16, lambda each: each.charge - 1]
    patience_ms = crowd * 500 * 60_000 // capacity
    comes = served = 0
    for step in range(500):
        now_ms += 1 + dice.randrange(patience_ms // 100)
        flown = now_ms * capacity // 60_000
        while comes < flown * 5 // 3:
            waits_ms = patience_ms if dice.random() < 0.9 else dice.randrange(1, 2 * patience_ms)
            made = ticket(candidate(charge=dice.randrange(1, 1_000), deadline_ms=now_ms + waits_ms))
            comes += made.charge
            line.add(made, front=dice.random() < 0.02)
        for each in [each for each in line if each.candidate.deadline_ms <= now_ms]:
            line.remove(each)
        while served < flown and (head := line.head) is not None:
            gone = head if dice.random() < 0.9 else dice.choice(list(line))
            served += gone.charge if dice.random() < 0.9 else 0
            line.remove(gone)
        law = dice.randrange(3) if dice.random() < 0.005 else law
        held = capacity * 2 if 300 < step < 320 else capacity
        rates = ((60_000, held), (86_400_000, 1_440 * held))
        lent = dice.choice([0, held // 3]), dice.choice([0, held])
        bars = tuple(there * period_ms - now_ms * full for there, (period_ms, full) in zip(lent, rates, strict=True))
        seen = Inflow(rates, bars, laws[law], law)
        lost = line.unreachable(seen)
        assert lost == plainly_out(list(line), seen, now_ms, lent)
        looks, told = looks + bool(lost), told + len(lost)
        if dice.random() < 0.8:
            for each in lost:
                line.remove(each)
    assert 5 <= looks < 480
    assert told > crowd // 6


def test_a_long_line_in_which_nobody_comes_near_is_not_looked_into() -> None:
    line, tickets = line_of(*((100, 10 * place + 20) for place in range(20 * QUEUE_BLOCK_MAX)))
    asked: list[Ticket] = []

    def least(each: Ticket) -> int:
        asked.append(each)
        return each.charge

    assert line.unreachable(inflow(least)) == []
    assert len(asked) == len(tickets), "once each, to measure"
    asked.clear()
    for now_ms, (gone, after) in enumerate(pairwise(tickets[:500]), start=1):
        line.remove(gone)
        made = ticket(candidate(charge=100, deadline_ms=tickets[-1].candidate.deadline_ms + 10 * now_ms))
        line.add(made)
        assert line.unreachable(inflow(least, now_ms=10 * now_ms)) == []
        assert line.head is after
    assert len(asked) < 5 * 500, "those who came, and now and then a block that was halved"
