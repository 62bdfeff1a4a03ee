"""Removal of a ticket from whatever holds it: its queue, its call, the outbox, or the duplicates of its id.

A ticket is decided and waits for its commit, or is withdrawn to be decided differently, or is dropped for good. Which
of these happens is decided by the caller: triage, parking, a timer, a change of role, or
`headrace.broker.core.dispatch`.
"""

from typing import assert_never

from headrace.broker.core.commands import CancelCall, Command, Complete, Decision, Forget
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.ticket import SETTLED, State, Ticket


class Settling:
    """Consistent change of all parts that hold a ticket; `commands` gathers what the shell must do about it."""

    def __init__(
        self, registry: TicketRegistry, limits: Scheduler, flights: CallsInFlight, outbox: Outbox, *, first_lane: str
    ) -> None:
        """The outcomes of `first_lane` are published at once."""
        self.registry = registry
        self.limits = limits
        self.flights = flights
        self.outbox = outbox
        self._first_lane = first_lane
        self.commands: list[Command] = []

    def take_commands(self) -> list[Command]:
        """Return what has been gathered, and gather anew."""
        commands, self.commands = self.commands, []
        return commands

    def settle(self, ticket: Ticket, decision: Decision, now_ms: int) -> None:
        """Put a decision into the outbox, for the next transaction."""
        ticket.move(SETTLED)
        self.limits.withdraw(ticket, now_ms)
        weight = ticket.held_bytes if isinstance(decision, Complete) else ticket.bytes
        at_once = ticket.source.partition.lane == self._first_lane
        self.outbox.add(Decided(ticket, decision, weight), now_ms, at_once=at_once)

    def withdraw(self, ticket: Ticket, now_ms: int) -> None:
        """Take a ticket out of the part that holds it; a call in flight is cancelled, its answer no longer wanted."""
        match ticket.state:
            case State.WAITING:
                self.limits.withdraw(ticket, now_ms)
            case State.CALLING:
                self.commands.append(CancelCall(self.flights.abandon(ticket)))
                self.limits.withdraw(ticket, now_ms)
            case State.JOINED:
                self.registry.leave(ticket)
            case State.SETTLED:
                self.outbox.withdraw(ticket)
                self.flights.hold(ticket, 0)
            case _:
                assert_never(ticket.state)
        ticket.move(SETTLED)

    def drop(self, ticket: Ticket) -> bytes | None:
        """Forget a ticket whose record is committed or another leader's; return the id it was to answer for, if any."""
        self.flights.hold(ticket, 0)
        self.commands.append(Forget(ticket.number))
        return self.registry.remove(ticket)
