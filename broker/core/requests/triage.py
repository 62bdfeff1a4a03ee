"""Triage of incoming records: which request is it, and where does it wait?

Requests are judged by the table of identity, garbage by whether its id is known, cancels by the present state of their
id. The same is asked again of tickets that waited for an id, once it is settled, and of all tickets that a promotion
finds in memory and that answer for no id.
"""

from collections.abc import Callable, Iterable
from typing import assert_never

from headrace.broker.core.commands import DeadLetterOnly, Discard, Fail, Remember, Withdraw
from headrace.broker.core.identity.dedupe import DedupeDecision, DedupeTable, Fate, Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.ticket import Candidate, Garbage, State, Ticket, TicketNumber

TOO_LATE = Fail("deadline_exceeded", "The deadline passed before a call could start.")
CUT_OFF = Fail("deadline_exceeded", "The deadline passed before the answer came; the call was cut off.")
CALL_CRASHED = Fail(
    "crashed", "A defect in the dispatcher ended the call of this request; it may have been paid, and is not repeated."
)
CALLS_KILL = Fail(
    "crashed", "Three dispatchers or more ended while a call for this request was under way; it is not called again."
)
UNREACHABLE = Fail(
    "deadline_unreachable", "The deadline would pass before a call could start, even if no other request came first."
)
_FREE = Prices.flat(0)  # of tickets that are never called
WITHDRAWN = "The request was cancelled while it waited to be tried again."
CONFLICT = Fail("id_conflict", "The id is known with another tenant, endpoint or body; use a new id.", apart=1)
_CANCELLED = Fail("cancelled", "The request was cancelled before it was answered.")


Apart = Callable[[TicketNumber, int], bytes]
"""Hash of a ticket's nth substitute id, which is made of its id and of its record's position; empty: there is none."""
APART_MAX = 3
"""Substitute ids that a request may have. A single one could be chosen by a producer, which would hide the conflict."""


def nameless(_number: TicketNumber, _nth: int) -> bytes:
    """Return no substitute id: the dead letter alone reports a conflict."""
    return b""


class Triage:
    """Triage of tickets: each is queued, joined to another one, or settled."""

    def __init__(  # noqa: PLR0913, PLR0917 — composed in one place
        self,
        registry: TicketRegistry,
        identities: DedupeTable,
        limits: Scheduler,
        timers: Timers,
        settling: Settling,
        apart: Apart = nameless,
    ) -> None:
        """`apart` makes the substitute ids of requests whose id belongs to another one."""
        self._apart = apart
        self._registry = registry
        self._identities = identities
        self._limits = limits
        self._timers = timers
        self._settling = settling

    def triage(self, ticket: Ticket, now_ms: int) -> None:
        """Register a ticket that has not been judged yet, and judge it."""
        self._registry.add(ticket)
        match ticket.content:
            case Candidate():
                self._triage_request(ticket, now_ms)
            case Garbage():
                self._triage_garbage(ticket, ticket.content, now_ms)
            case CancelRecord():
                self._cancel(ticket, ticket.content, now_ms)
            case _:
                assert_never(ticket.content)

    def judge_again(self, waited: Iterable[Ticket], now_ms: int) -> None:
        """Judge tickets again, since the id that they waited for is settled.

        Cancels come first: a cancel concerns the run that is settled, and so is judged before a replay is taken.
        """
        for ticket in sorted(waited, key=lambda ticket: not isinstance(ticket.content, CancelRecord)):
            ticket.move(State.WAITING)
            if isinstance(ticket.content, CancelRecord):
                self._cancel(ticket, ticket.content, now_ms)
            else:
                self._triage_request(ticket, now_ms)

    def enqueue(self, ticket: Ticket, now_ms: int, *, front: bool = False) -> None:
        """Enqueue a ticket that answers for its id, unless it must not or never could be called."""
        candidate = ticket.candidate
        if candidate.refusal is not None:
            self._settling.settle(ticket, Fail(*candidate.refusal), now_ms)
        elif candidate.deadline_ms <= now_ms:
            self._settling.settle(ticket, TOO_LATE, now_ms)
        elif (charge := self._limits.too_large(ticket, now_ms)) is not None:
            sentence = f"One call charges {charge} tokens, more than limit {candidate.limit!r} holds when full."
            self._settling.settle(ticket, Fail("too_large", sentence), now_ms)
        else:
            self._limits.enqueue(ticket, now_ms, front=front)
            if not front:
                self._timers.watch(ticket, self._limits.near_at(ticket), len(self._registry))

    def requeue(self, ticket: Ticket, now_ms: int) -> None:
        """Return a request to its former position, since its call was not sent."""
        self._limits.requeue(ticket)
        self.enqueue(ticket, now_ms, front=True)

    def is_cancelled(self, ticket: Ticket) -> bool:
        """Whether a cancel waits for this request."""
        candidate = ticket.candidate
        cancels = self._identities.cancels
        return cancels.covers(candidate.identity.id_hash, ticket.timestamp_ms, candidate.tenant_mark)

    def _triage_request(self, ticket: Ticket, now_ms: int) -> None:
        candidate = ticket.candidate
        decision = self._identities.judge_and_open(candidate.identity, candidate.attempt)
        match decision:
            case DedupeDecision.TAKE:
                if candidate.attempt:
                    candidate = self._believed(ticket, candidate)
                self._registry.open(ticket)
                ticket.failures = candidate.failures
                if self.is_cancelled(ticket):
                    self._settling.settle(ticket, _CANCELLED, now_ms)
                else:
                    self.enqueue(ticket, now_ms)
            case DedupeDecision.DONE:
                returned = self._identities.is_returning_copy(candidate.identity, candidate.attempt)
                overdue = returned and self._identities.was_overdue(candidate.identity.id_hash)
                self._settling.settle(ticket, Discard(returned=returned, overdue=overdue), now_ms)
            case DedupeDecision.CONFLICT:
                self._contest(ticket, candidate, now_ms)
            case DedupeDecision.JOIN | DedupeDecision.WAIT:
                self._registry.join(ticket)
            case _:
                assert_never(decision)

    def _contest(self, ticket: Ticket, candidate: Candidate, now_ms: int) -> None:
        """Fail a request whose id belongs to another one under a substitute id, so that its sender learns of it.

        A producer may have chosen that very id for another request, which has an outcome or will have one, and no id
        may have two. Then the next substitute is taken; if all are taken, the dead letter alone reports the conflict.
        """
        for nth in range(1, APART_MAX + 1):
            hashed = self._apart(ticket.number, nth)
            if not hashed:
                break
            substitute = Identity(hashed, 0, candidate.identity.fingerprint)
            if self._identities.judge_and_open(substitute, 0) is DedupeDecision.TAKE:
                ticket.contested = candidate
                ticket.set_candidate(candidate.apart(substitute))
                self._registry.open(ticket)
                self._settling.settle(ticket, Fail(CONFLICT.reason, CONFLICT.sentence, apart=nth), now_ms)
                return
        self._settling.settle(ticket, DeadLetterOnly(CONFLICT.reason, CONFLICT.sentence), now_ms)

    def _believed(self, ticket: Ticket, candidate: Candidate) -> Candidate:
        """Check the claim of a record to come from the retrier: true if the ledger says that this run is parked.

        If not, it is a first submission whatever it says: no producer may have its request count as tried.
        """
        parked = self._identities.parked(candidate.identity.id_hash)
        if parked is None or parked[0].run != candidate.identity.run:
            candidate = candidate.with_attempts(0, 0)
            self._identities.forget_open(candidate.identity)
            self._identities.open(candidate.identity, 0)
        elif candidate.failures > parked[1]:
            candidate = candidate.with_attempts(candidate.attempt, parked[1])
        ticket.set_candidate(candidate)
        return candidate

    def _triage_garbage(self, ticket: Ticket, garbage: Garbage, now_ms: int) -> None:
        identity = garbage.identity
        if identity is None:
            self._settling.settle(ticket, DeadLetterOnly.of(garbage), now_ms)
            return
        parked = self._identities.parked(identity.id_hash)
        if garbage.attempt and parked is not None and garbage.is_copy_of(parked[0]):
            identity = parked[0]  # the copy of a parked request: no other record will answer for it
        elif self._identities.knows(identity.id_hash):
            self._settling.settle(ticket, DeadLetterOnly(garbage.reason, garbage.sentence), now_ms)
            return
        refusal = garbage.reason, garbage.sentence
        ticket.set_candidate(Candidate(identity, garbage.attempt, "", "", _FREE, 0, refusal))
        self._triage_request(ticket, now_ms)

    def _cancel(self, ticket: Ticket, cancel: CancelRecord, now_ms: int) -> None:
        """Apply a cancel, by the table of `headrace.broker.core.identity.pending_cancels`."""
        answering = self._registry.answering(cancel.id_hash)
        if self._identities.is_failing(cancel.id_hash):
            self._registry.join(ticket)
        elif answering is None:
            self._cancel_settled(ticket, cancel, now_ms)
        elif answering.state is State.SETTLED:
            self._registry.join(ticket)
        elif cancel.spares(answering.candidate.tenant_mark):
            self._remember(ticket, cancel, now_ms)
        else:
            self._settling.withdraw(answering, now_ms)
            self._settling.settle(answering, _CANCELLED, now_ms)
            self._settling.settle(ticket, Discard(), now_ms)  # behind it in the outbox: never done without it

    def _cancel_settled(self, ticket: Ticket, cancel: CancelRecord, now_ms: int) -> None:
        """Apply a cancel whose id is not open."""
        parked, fate = self._identities.parked(cancel.id_hash), self._identities.fate(cancel.id_hash)
        if parked is not None and cancel.spares(self._identities.tenant_of_parked(cancel.id_hash)):
            self._remember(ticket, cancel, now_ms)
        elif parked is not None:
            self._stand_in(ticket, cancel, *parked, now_ms=now_ms)
        elif fate is None:
            self._remember(ticket, cancel, now_ms)
        elif fate[0] is Fate.COMPLETED:
            self._settling.settle(ticket, Discard(), now_ms)
        else:
            self._remember(ticket, cancel.for_replays(), now_ms)

    def _remember(self, ticket: Ticket, cancel: CancelRecord, now_ms: int) -> None:
        self._identities.cancels.expect(cancel)
        self._settling.settle(ticket, Remember(cancel), now_ms)

    def _stand_in(
        self, ticket: Ticket, cancel: CancelRecord, identity: Identity, attempts: int, *, now_ms: int
    ) -> None:
        """Answer for a parked request in place of its copy, which joins if it comes before this is committed."""
        ticket.cancel = cancel
        parked_tenant = self._identities.tenant_of_parked(cancel.id_hash)
        of_tenant = bool(parked_tenant) and parked_tenant == cancel.tenant_mark
        ticket.set_candidate(Candidate(identity, attempts + 1, "", "", _FREE, 0))
        self._identities.open(identity, attempts + 1)
        self._registry.open(ticket)
        self._settling.settle(ticket, Withdraw(identity.run, attempts, WITHDRAWN, of_tenant), now_ms)
