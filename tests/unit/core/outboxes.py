"""Decisions in an outbox, for the tests of `headrace.broker.core.requests.outbox`."""

from headrace.broker.core.commands import Complete
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import ticket


def add(outbox: Outbox, now_ms: int = 0, *, size: int = 10, at_once: bool = False, front: bool = False) -> Ticket:
    made = ticket()
    outbox.add(Decided(made, Complete(), size), now_ms, at_once=at_once, front=front)
    return made


def begun(outbox: Outbox, now_ms: int = 0) -> list[Ticket]:
    return [each.ticket for each in outbox.begin(now_ms)]


REFUSED, UNKNOWN, DENIED = Setback.REFUSED, Setback.UNKNOWN, Setback.DENIED
