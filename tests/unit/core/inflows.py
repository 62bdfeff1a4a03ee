"""What flows in, and lines that are looked over, for tests of who is out of reach."""

from headrace.broker.core.budget.inflow import Inflow, Least
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket

TEN_A_MS = ((1, 10),)


def charge_of(each: Ticket) -> int:
    return each.charge


def inflow(least: Least = charge_of, *, lent: int = 100, now_ms: int = 0) -> Inflow:
    """Ten tokens flow in a millisecond, and a hundred are there."""
    return Inflow(TEN_A_MS, (lent - 10 * now_ms,), least, 0)


def line_of(*charges_and_deadlines: tuple[int, int]) -> tuple[TenantQueue, list[Ticket]]:
    line = TenantQueue()
    tickets = [ticket(candidate(charge=charge, deadline_ms=at)) for charge, at in charges_and_deadlines]
    for each in tickets:
        line.add(each)
    return line, tickets
