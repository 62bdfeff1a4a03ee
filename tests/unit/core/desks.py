"""Limits with somebody waiting, and who is called."""

from collections.abc import Callable

from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.ticket import State, Ticket
from tests.unit.core.specimens import LANES, budget, candidate, ticket


def limits(make: Callable[[str, int], Budget] = budget) -> Scheduler:
    return Scheduler(LANES, make)


def enqueued(made: Scheduler, limit: str = "gpt", charge: int = 100, *, lane: str = "standard") -> Ticket:
    waiting = ticket(candidate(limit=limit, charge=charge), lane=lane)
    made.enqueue(waiting, 0)
    return waiting


def call(made: Scheduler, now_ms: int = 0) -> Ticket | None:
    """Serve and pay for whoever may go."""
    waiting = next(made.payable(now_ms), None)
    if waiting is not None:
        waiting.state = State.CALLING
        made.serve(waiting, 0)
        made.limit_queue(waiting.candidate.limit, now_ms).budget.reserve(waiting.number, waiting.charge, now_ms)
    return waiting


def all_called(made: Scheduler) -> list[Ticket]:
    """Whoever may go in one instant, in order, each paid for before the next is asked for."""
    found = []
    for waiting in made.payable(0):
        waiting.state = State.CALLING
        made.serve(waiting, 0).reserve(waiting.number, waiting.charge, 0)
        found.append(waiting)
    return found


def answered(made: Scheduler, took_ms: int, limit: str = "gpt") -> None:
    """A call was answered that took so long."""
    made.limit_queue(limit, 0)
    made.record_duration(ticket(candidate(limit=limit)), took_ms)
