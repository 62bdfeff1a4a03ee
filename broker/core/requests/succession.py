"""Tickets in memory when leadership begins, begins again or ends: kept, judged anew, or given up.

A promotion after a suspension finds tickets with records that another leader may have settled meanwhile. The stored
maps say which records are open, the ledger which ids are answered; a ticket that both leave open goes on where it
stood, and a ticket that answers for no id is judged anew.
"""

from headrace.broker.core.events import Promoted
from headrace.broker.core.identity.dedupe import DedupeDecision, DedupeTable
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.triage import Triage
from headrace.broker.core.ticket import Ticket


class Succession:
    """Pass over all tickets at a promotion and at the end of a term."""

    def __init__(self, registry: TicketRegistry, identities: DedupeTable, triage: Triage, settling: Settling) -> None:
        self._registry = registry
        self._identities = identities
        self._triage = triage
        self._settling = settling

    def begin(self, promoted: Promoted, now_ms: int) -> None:
        """Go on from the stored maps; afterwards forget the answers that have left the window."""
        for ticket in self._registry.replace_progress(promoted.progress):
            self._give_up(ticket, now_ms)
        self._identities.forget_expected()
        for ticket in sorted(self._registry.tickets(), key=self._registry.is_answering, reverse=True):
            if not self._still_answers(ticket):
                self._settling.withdraw(ticket, now_ms)
                self._registry.remove(ticket)
                self._triage.triage(ticket.fresh_copy(), now_ms)
        self._identities.expire(promoted.wall_ms)
        if promoted.ledger_is_new:
            self._identities.rewrite_all(promoted.wall_ms)

    def end(self, now_ms: int) -> None:
        """Give up every ticket: another process leads."""
        for ticket in self._registry.tickets():
            self._give_up(ticket, now_ms)
        self._registry.clear()
        self._identities.forget_expected()

    def _still_answers(self, ticket: Ticket) -> bool:
        """Whether this ticket still has to answer for its id, after what leaders in between have done.

        A ticket that answers for no id starts anew: the one that it was a duplicate of, or in conflict with, may be
        gone. So does a request that was cancelled under a leader in between.
        """
        if not self._registry.is_answering(ticket):
            return False
        identity, attempt = ticket.candidate.identity, ticket.candidate.attempt
        self._identities.forget_open(identity)
        if ticket.contested is not None:
            return False
        decision = self._identities.judge(identity, attempt)
        if self._triage.is_cancelled(ticket) or decision is not DedupeDecision.TAKE:
            return False
        self._identities.open(identity, attempt)
        return True

    def _give_up(self, ticket: Ticket, now_ms: int) -> None:
        """Give up a ticket: its record is settled elsewhere, or not read by this process any more."""
        self._settling.withdraw(ticket, now_ms)
        if self._settling.drop(ticket) is not None:
            self._identities.forget_open(ticket.candidate.identity)
