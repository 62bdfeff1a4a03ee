"""Eviction of a ticket after its handling raised: the ticket fails; if the rest is inconsistent, the process ends.

An exception in the core has one of two ends. It can be attributed to one ticket: then the request of that ticket fails
(`crashed`), the ticket leaves every part that may hold it, however far its handling had come, and its record is triaged
anew as one that must not be called. Or the state shared by all may be wrong: then `UnsoundError` ends the process, and
a successor starts from what Kafka holds. The exception does not tell which of the two it is, so the books are compared
afterwards: counts, bytes and reservations against the tickets present.
"""

import contextlib

from headrace.broker.core.commands import CancelCall
from headrace.broker.core.identity.dedupe import DedupeTable
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.triage import Triage
from headrace.broker.core.ticket import CALLING, SETTLED, Candidate, Garbage, State, Ticket

CORE_CRASHED = "A defect in the dispatcher ended the handling of this request; it is not tried again."


class UnsoundError(Exception):
    """Possibly wrong state of the core: the process must end."""


class Eviction:
    """Removal of tickets after their handling raised."""

    def __init__(self, settling: Settling, identities: DedupeTable, triage: Triage) -> None:
        """`settling` knows every other part that may hold a ticket."""
        self._settling = settling
        self._registry = settling.registry
        self._limits = settling.limits
        self._flights = settling.flights
        self._outbox = settling.outbox
        self._identities = identities
        self._triage = triage

    def evict(self, ticket: Ticket, error: Exception, now_ms: int, *, sent: bool = True) -> None:
        """Fail a ticket after its handling raised `error`; `sent`: the shell has its call already, if it has one.

        Raises:
            UnsoundError: It could not be taken out, or the remaining state is inconsistent.
        """
        try:
            if not self._outbox.holds(ticket):  # else it is decided, and the steps after that can be left out
                self._take_out(ticket, now_ms, sent=sent)
                fresh = ticket.fresh_copy()
                _spoil(fresh)
                self._triage.triage(fresh, now_ms)
        except Exception as second:
            raise UnsoundError("A ticket whose handling failed cannot be taken out.") from second
        self.inspect(error)

    def inspect(self, error: Exception) -> None:
        """Compare the books: the counts of all parts against the tickets present.

        Raises:
            UnsoundError: They do not agree.
        """
        fault = self._fault()
        if fault is not None:
            raise UnsoundError(f"After an exception {fault}.") from error

    def _take_out(self, ticket: Ticket, now_ms: int, *, sent: bool) -> None:
        call = self._flights.call_of(ticket)
        if call is not None and sent:
            self._settling.commands.append(CancelCall(self._flights.abandon(ticket)))
        elif call is not None:
            flight = self._flights.land(call, now_ms)
            flight.budget.abandon(call, now_ms, sent=False)
            flight.release_probes(now_ms)
        self._flights.hold(ticket, 0)
        self._limits.withdraw(ticket, now_ms)
        if ticket.state is State.JOINED:
            with contextlib.suppress(KeyError):  # the tickets that waited for its id are being judged
                self._registry.leave(ticket)
        if self._registry.holds(ticket):
            self._registry.remove(ticket)
        if isinstance(ticket.content, Candidate):
            identity = ticket.content.identity
            if not self._is_answered_for(identity.id_hash):
                self._identities.forget_open(identity)
        ticket.move(SETTLED)

    def _is_answered_for(self, id_hash: bytes) -> bool:
        """Whether a ticket answers for an open id, or the transaction under way does, which fails it as overdue."""
        return self._registry.answering(id_hash) is not None or self._identities.is_failing(id_hash)

    def _fault(self) -> str | None:
        """Return the first inconsistency; None if there is none."""
        tickets, flights = self._registry.tickets(), self._flights
        queued = sum(ticket.queued for ticket in tickets)
        held_bytes = sum(ticket.held_bytes for ticket in tickets)
        called = sum(ticket.state is CALLING for ticket in tickets)
        queues = self._limits.limit_queues().values()
        paid = all(queue.budget.inflight == flights.paid_by(queue.budget) for queue in queues)
        answered = all(map(self._is_answered_for, self._identities.open_ids()))
        books = (
            (self._registry.is_sound(), "the registry counts other tickets than it holds"),
            (self._limits.is_sound(queued), "queues count other tickets than they hold"),
            (held_bytes == flights.held_bytes, "answers hold other bytes than are counted"),
            (called == flights.wanted, "tickets are called without a call, or calls wanted by no ticket"),
            (paid, "a limit has reservations without a call, or calls without one"),
            (answered, "an id is open that no ticket answers for"),
        )
        return next((fault for is_right, fault in books if not is_right), None)


def _spoil(fresh: Ticket) -> None:
    """Mark a ticket as not to be called: its request fails, or its record becomes a dead letter."""
    content = fresh.content
    if isinstance(content, Candidate):
        refusal = "crashed", CORE_CRASHED
        prices = Prices.flat(0)
        fresh.set_candidate(Candidate(content.identity, content.attempt, "", "", prices, content.deadline_ms, refusal))
    elif isinstance(content, CancelRecord):
        fresh.content = Garbage(None, CORE_CRASHED, "crashed")
    else:
        fresh.content = Garbage(content.identity, CORE_CRASHED, "crashed", content.offsets, content.attempt)
