"""What becomes of requests when an instant has come that they waited for: a retry, a near deadline, a deadline.

A request whose deadline passes is failed, its call cut off; one whose turn cannot come in time is failed as soon as
that is certain. Instants are kept by `broker.core.requests.timers`; this is what follows when one has come.
"""

from broker.core.lanes.scheduler import Scheduler
from broker.core.requests.registry import TicketRegistry
from broker.core.requests.settling import Settling
from broker.core.requests.timers import Timers
from broker.core.requests.triage import CUT_OFF, TOO_LATE, UNREACHABLE, Triage
from broker.core.ticket import CALLING, Ticket


class DueTickets:
    """Goes through what is due."""

    def __init__(
        self, register: TicketRegistry, limits: Scheduler, alarms: Timers, settling: Settling, reception: Triage
    ) -> None:
        self._register = register
        self._limits = limits
        self._alarms = alarms
        self._settling = settling
        self._reception = reception

    def ring(self, now_ms: int) -> None:
        """Line up what has slept long enough, hurry what is near its deadline, and fail what is past it."""
        if not self._alarms.rings(now_ms):
            return
        for ticket in reversed(self._alarms.woken(now_ms)):  # so that the first to wake ends up in front
            self._reception.line_up(ticket, now_ms, front=True)
        for ticket in self._alarms.due(now_ms):
            if ticket.candidate.deadline_ms > now_ms:
                self._alarms.watch(ticket, self._limits.hurry(ticket, now_ms), len(self._register))
            else:
                self._expire(ticket, now_ms)

    def tell_off(self, now_ms: int) -> None:
        """Fail what cannot come in time, and then what stood behind it."""
        while lost := self._limits.out_of_reach(now_ms):
            for ticket in lost:
                self._settling.settle(ticket, UNREACHABLE, now_ms)

    def _expire(self, ticket: Ticket, now_ms: int) -> None:
        """The answer is of no use any more. A call in flight is cut off; what it took is taken."""
        cut_off = ticket.state is CALLING
        if cut_off:
            self._settling.withdraw(ticket, now_ms)
        self._settling.settle(ticket, CUT_OFF if cut_off else TOO_LATE, now_ms)
