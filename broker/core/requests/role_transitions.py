"""Transitions of this process's role, and what each does to requests in memory.

FOLLOWING reads the ledger and changes nothing. LEADING takes, calls and publishes. SUSPENDED has lost its producer and
may no longer lead: it takes, admits, publishes and drops nothing, since calls in flight and outcomes in memory are paid
for. A later promotion publishes only what the stored maps call incomplete and the ledger unanswered.

| event     | from     | to        | requests in memory                                                        |
|-----------|----------|-----------|---------------------------------------------------------------------------|
| Promoted  | any role | LEADING   | kept or judged anew, by the stored maps and the ledger                    |
| Suspended | LEADING  | SUSPENDED | kept                                                                      |
| StoodBy   | any role | FOLLOWING | given up; a term of our own leaves its calls and levels to the next one   |
"""

from dataclasses import dataclass

from headrace.broker.core.config import LEADING, Role
from headrace.broker.core.events import LedgerRead, Promoted, Suspended
from headrace.broker.core.identity.dedupe import DedupeTable
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.lease import Trust
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.ledger_notes import observe
from headrace.broker.core.requests.predecessor import PredecessorState
from headrace.broker.core.requests.recall import RecallPolicy
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.succession import Succession
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.requests.transactions import TransactionBuilder


@dataclass(frozen=True, slots=True)
class TermState:
    """The parts of the core whose content belongs to a term."""

    registry: TicketRegistry
    limits: Scheduler
    flights: CallsInFlight
    batches: TransactionBuilder
    recall: RecallPolicy
    timers: Timers


class RoleTransitions:
    """State machine of the role.

    Attributes:
        role: The present role.
        term: The number of the last term that this process has led.
        confirmed: Whether a transaction of this term was committed; no call starts before.
        wall_offset_ms: The wall clock's lead over the core's clock, as anchored by the last promotion.
    """

    def __init__(
        self,
        trust: Trust,
        state: TermState,
        identities: DedupeTable,
        predecessor: PredecessorState,
        succession: Succession,
    ) -> None:
        """Start as a follower."""
        self.role = Role.FOLLOWING
        self.term = 0
        self.confirmed = False
        self.wall_offset_ms = 0
        self._trust = trust
        self._state = state
        self._identities = identities
        self._predecessor = predecessor
        self._succession = succession

    def record_line(self, event: LedgerRead) -> None:
        """Record a line of the ledger; calls that a leader began are left to its successors."""
        if self.role is Role.FOLLOWING:
            self._predecessor.add_calls(event.started)
        self._predecessor.remove_settled(event.settled)
        self._predecessor.keep_checkpoints(event.levels)
        self._state.recall.record_line(event)
        observe(self._identities, event.settled, event.awaited, event.cancels, event.at_ms)
        self._identities.expire(event.at_ms)

    def promote(self, event: Promoted, now_ms: int) -> None:
        """Begin a term, or go on with requests in memory after a suspension."""
        self.role, self.term = LEADING, event.term
        self.wall_offset_ms, self.confirmed = event.wall_ms - now_ms, False
        self._state.recall.begin_term(now_ms)
        self._state.batches.recommit(now_ms)
        self._succession.begin(event, now_ms)

    def confirm(self, begun_at_ms: int) -> None:
        """Record that a transaction begun at that instant was committed."""
        self._trust.extend_by_commit(begun_at_ms)
        self.confirmed = True

    def suspend(self, event: Suspended) -> None:
        """Keep everything until it is known who leads."""
        if self.role is LEADING:
            self.role = Role.SUSPENDED
        self._state.batches.interrupt(event.setback)

    def stand_by(self, now_ms: int) -> None:
        """Give up all requests; calls in flight and levels are kept for a later term of our own."""
        state = self._state
        if self.role is not Role.FOLLOWING:
            unsettled = state.flights.have_left(state.registry.tickets(), state.batches.has_written)
            self._predecessor.take_over(unsettled, state.limits.checkpoints(now_ms), self.wall_offset_ms)
        self.role = Role.FOLLOWING
        self._trust.revoke(now_ms)
        state.batches.interrupt()
        self._succession.end(now_ms)
        state.limits.clear()
        state.flights.end_term()
        state.batches.clear()
        state.recall.stand_by()
        state.timers.clear()
