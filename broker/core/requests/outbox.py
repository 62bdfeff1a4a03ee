"""Decisions that wait for their commit: gathered into bounded transactions, one under way at a time.

An outcome of the most urgent lane starts a transaction at once; others linger a moment so that more can join. The
decisions under way stay here until their commit has returned, so that an unknown commit loses nothing. A batch that
fails once is sent again; one that fails twice, or that Kafka refuses for its content, is bisected
(`headrace.broker.core.requests.failing_decisions`), and all other decisions go on in transactions of their own.
"""

from collections import OrderedDict
from itertools import islice

from headrace.broker.core.bounds import LINGER_MS, OUTCOMES_PER_TRANSACTION_MAX, TRANSACTION_BYTES_MAX
from headrace.broker.core.commands import Complete, Decision, Discard, Fail, Form, Remember, Withdraw
from headrace.broker.core.requests.failing_decisions import Decided, FailingDecisions
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Ticket, TicketNumber

__all__ = ["Decided", "Outbox"]


class Outbox:
    """Decided tickets in order; `due_at` says when the next transaction should begin."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Ticket, Decided] = OrderedDict()
        self._failing = FailingDecisions()
        self._failed_once: frozenset[TicketNumber] = frozenset()
        self._others_first = False
        self._front = 0  # how many at the head the next transaction must hold: each stores maps
        self._count_max = OUTCOMES_PER_TRANSACTION_MAX
        self._under_way: list[Decided] = []
        self._begun_ms = 0
        self._due_at: int | None = None
        self.busy = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._failing) + (0 if self._failing.is_trying else len(self._under_way))

    @property
    def not_resting(self) -> int:
        """Number of decisions that do not rest: the next transactions hold them."""
        return len(self) - self._failing.resting

    def end_rests(self) -> None:
        """End all rests for one more try now: the process leaves."""
        self._failing.end_rests()

    def add(self, decided: Decided, now_ms: int, *, at_once: bool, front: bool = False) -> None:
        """Enqueue a decision; `front` for one without which no map may be stored."""
        assert decided.ticket not in self._waiting, "a ticket is decided once"
        if _writes(decided.decision) and self._failing.rejoin(decided):
            return
        self._waiting[decided.ticket] = decided
        if front:
            self._waiting.move_to_end(decided.ticket, last=False)
            self._front += 1
        due_at = now_ms if at_once else now_ms + LINGER_MS
        if self._due_at is None or due_at < self._due_at:
            self._due_at = due_at

    def due_at(self) -> int | None:
        """Return when to begin; None while a transaction is under way or nothing waits."""
        if self.busy:
            return None
        failing_at = self._failing.due_at()
        if self._due_at is None or (failing_at is not None and failing_at < self._due_at):
            return failing_at
        return self._due_at

    def begin(self, now_ms: int) -> list[Decided]:
        """Return the decisions of the next transaction, bounded in count and bytes; the first always fits.

        There are none if a doubtful group has just failed and nothing else waits: an empty transaction shows whether
        Kafka takes one at all.
        """
        assert not self.busy
        self.busy, self._begun_ms = True, now_ms
        self._under_way = [] if self._others_first or self._front else self._failing.begin(now_ms)
        if self._under_way:
            return list(self._under_way)
        weight, count_max, self._front = 0, max(self._count_max, self._front), 0
        for decided in islice(self._waiting.values(), count_max):
            weight += decided.bytes
            if self._under_way and weight > TRANSACTION_BYTES_MAX:
                break
            self._under_way.append(decided)
        for decided in self._under_way:
            del self._waiting[decided.ticket]
        self._due_at = now_ms if self._waiting else None
        return list(self._under_way)

    def form(self, ticket: Ticket) -> Form:
        """Return the form in which the decision of a ticket is to be written."""
        return self._failing.form(ticket)

    def end(self) -> list[Decided]:
        """End the transaction whose commit returned; return its decisions, which are settled for good."""
        self._others_first = self._failing.is_trying and bool(self._waiting)
        published = any(
            _publishes(decided.decision) and self.form(decided.ticket) is not Form.LETTER for decided in self._under_way
        )
        settled, self._under_way = self._under_way, []
        self._failing.record_commit(published=published)
        self._failed_once = frozenset()
        self._count_max = min(OUTCOMES_PER_TRANSACTION_MAX, 2 * self._count_max)
        self.busy = False
        return settled

    def interrupt(self, setback: Setback = Setback.UNKNOWN) -> None:
        """End a transaction that failed or is unknown: its decisions wait again, first and in order, or are doubted."""
        under_way, self._under_way = self._under_way, []
        self.busy, self._front = False, 0  # the stored maps are read again
        if self._failing.is_trying:
            self._failing.record_failure(setback, self._begun_ms)
            self._others_first = True
            return
        written = [decided for decided in under_way if _writes(decided.decision)]
        if self._is_doubtful(written, setback):
            self._failing.add(written)
            self._others_first = True
            under_way = [decided for decided in under_way if not _writes(decided.decision)]
        for decided in reversed(under_way):
            self._waiting[decided.ticket] = decided
            self._waiting.move_to_end(decided.ticket, last=False)
            self._due_at = self._begun_ms

    def _is_doubtful(self, written: list[Decided], setback: Setback) -> bool:
        """Whether a batch that failed is to be bisected, and not just sent again."""
        if setback is Setback.REFUSED:
            self._count_max = max(1, len(written) // 2)
            return bool(written)
        if setback is Setback.DENIED:
            return False
        before, self._failed_once = self._failed_once, frozenset([decided.ticket.number for decided in written])
        return not before.isdisjoint(self._failed_once)

    def withdraw(self, ticket: Ticket) -> None:
        """Remove a ticket that is to be decided differently, or by another leader; no transaction may be under way."""
        assert not self.busy
        self._failing.withdraw(ticket)
        self._waiting.pop(ticket, None)
        if not self._waiting:
            self._due_at = None

    def holds(self, ticket: Ticket) -> bool:
        """Whether a ticket is decided and not committed yet."""
        under_way = any(decided.ticket is ticket for decided in self._under_way)
        return ticket in self._waiting or under_way or self._failing.holds(ticket)

    def decision(self, ticket: Ticket) -> Decision | None:
        """Return the decision of a ticket that is not committed yet; None if it is not here."""
        every = (*self._under_way, *self._waiting.values(), *self._failing.values())
        return next((decided.decision for decided in every if decided.ticket is ticket), None)


def _writes(decision: Decision) -> bool:
    """Whether a decision has records of its own; one without can be no reason for a refusal."""
    return not isinstance(decision, Remember) and decision != _SILENT


def _publishes(decision: Decision) -> bool:
    return isinstance(decision, Complete | Fail | Withdraw)


_SILENT = Discard()
