"""Recall of requests with a call under way when a dispatcher died: called again now, later or never.

Deaths are counted, and suspects named, in `headrace.broker.core.requests.interrupted_calls`. A suspect waits until the
term has been quiet, so that any other cause of death has shown itself, and until the calls of its like have ended.
While there is caution, each call waits for the commit of the ledger line that says that it begins, which takes one
transaction or two.
"""

from collections.abc import Iterable

from headrace.broker.core.bounds import PUT_OFF_MS, QUIET_MS
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.events import LedgerRead
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.requests.interrupted_calls import InterruptedCalls
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.broker.core.ticket import Ticket


class RecallPolicy:
    """Check made before each call."""

    def __init__(self, limits: Scheduler, timers: Timers, settling: Settling) -> None:
        self._interrupted = InterruptedCalls()
        self._limits = limits
        self._timers = timers
        self._settling = settling
        self._quiet_from_ms = 0
        self._cautious_until_ms = 0

    def record_line(self, event: LedgerRead) -> None:
        """Record a line of the ledger."""
        self._interrupted.record_line(event.term, event.owner, event.at_ms, left=event.left, named=event.named)
        self._interrupted.record_starts(event.started)
        self._interrupted.record_ends(event.ended)
        self._interrupted.record_fates(event.settled)

    def record_commit(self, settled: Iterable[SettledEntry], ended: Iterable[AttemptEntry]) -> None:
        """Record a committed line of our own: these calls have ended."""
        self._interrupted.record_commit(settled, ended)

    def begin_term(self, now_ms: int) -> None:
        """Begin the quiet time and the caution of a term that begins or goes on; the ledger is read up to its claim."""
        self.restart_quiet_time(now_ms)
        self._cautious_until_ms = now_ms + self._interrupted.caution_ms()

    def restart_quiet_time(self, now_ms: int) -> None:
        """Restart the quiet time: a term has begun, or a record is read with caution.

        If the process dies in this time, the cause need not be a call.
        """
        self._quiet_from_ms = now_ms + QUIET_MS

    def is_cautious(self, now_ms: int) -> bool:
        """Whether a call may begin only once the ledger says so."""
        return now_ms < self._cautious_until_ms

    def stand_by(self) -> None:
        """Forget the suspects being called: a follower calls nothing."""
        self._interrupted.stand_by()

    def may_call(self, ticket: Ticket, now_ms: int) -> bool:
        """Whether this ticket, whose turn it is, may be called now; if not, it has been put off or has failed."""
        if not self._interrupted:
            return True
        identity, deadline_ms = ticket.candidate.identity, ticket.candidate.deadline_ms
        if self._interrupted.is_to_blame(identity):
            self._settling.settle(ticket, CALLS_KILL, now_ms)
            return False
        is_suspect = self._interrupted.is_suspect(identity)
        if not (is_suspect or self._interrupted.is_in_doubt(identity)):
            return True
        attempt = ticket.candidate.calls_before + ticket.calls + 1
        if now_ms >= self._quiet_from_ms and (not is_suspect or self._interrupted.begin_call(identity, attempt)):
            return True
        self._limits.put_off(ticket)
        self._timers.sleep(ticket, min(deadline_ms, now_ms + PUT_OFF_MS))
        return False
