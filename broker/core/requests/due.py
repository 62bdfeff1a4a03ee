"""What follows for a request at an instant that it waited for: the end of a retry's wait, a near deadline, a deadline.

A request whose deadline passes is failed, its call cut off. One whose turn cannot come in time is failed
(`deadline_unreachable`) as soon as `headrace.broker.core.lanes.reachability` is certain of it. The instants are kept by
`headrace.broker.core.requests.timers`.
"""

from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.requests.triage import CUT_OFF, TOO_LATE, UNREACHABLE, Triage
from headrace.broker.core.ticket import CALLING, Ticket


class DueTickets:
    """Handling of the tickets whose instant has come."""

    def __init__(
        self, registry: TicketRegistry, limits: Scheduler, timers: Timers, settling: Settling, triage: Triage
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._timers = timers
        self._settling = settling
        self._triage = triage

    def process(self, now_ms: int) -> None:
        """Enqueue tickets whose wait is over, lift or demote those near their deadline, and fail those past it."""
        if not self._timers.is_due(now_ms):
            return
        for ticket in reversed(self._timers.woken(now_ms)):  # so that the first to wake ends up in front
            self._triage.enqueue(ticket, now_ms, front=True)
        for ticket in self._timers.due(now_ms):
            if ticket.candidate.deadline_ms > now_ms:
                self._timers.watch(ticket, self._limits.apply_deadline(ticket, now_ms), len(self._registry))
            else:
                self._expire(ticket, now_ms)

    def fail_unreachable(self, now_ms: int) -> bool:
        """Fail the tickets that cannot be called in time, then those that prove to be so behind them.

        Return whether there were any: those after them may go earlier now.
        """
        found = False
        while unreachable := self._limits.unreachable(now_ms):
            found = True
            for ticket in unreachable:
                self._settling.settle(ticket, UNREACHABLE, now_ms)
        return found

    def _expire(self, ticket: Ticket, now_ms: int) -> None:
        """Fail a ticket past its deadline: an answer is of no use any more. A call is cut off, and stays charged."""
        cut_off = ticket.state is CALLING
        if cut_off:
            self._settling.withdraw(ticket, now_ms)
        self._settling.settle(ticket, CUT_OFF if cut_off else TOO_LATE, now_ms)
