"""Who cannot be called before its deadline, whatever happens: it is told so at once, unpaid.

What is certain of a request's turn: those before it in its tenant's line are called before it, and no more tokens flow
in than the buckets refill. Everything else may turn out well: nobody of other tenants and lanes may wait, levels may be
as high as they can be, the cheapest law that is not refuted may hold. Who could not start in time even then has no
chance. Those after it are judged as if it were not there. Who is late (`broker.core.lanes.late`) comes after all of its
lane who are not.

A line is looked over when somebody may be out of reach: not before as much has been spent by others as can be. Until
then it costs a comparison when somebody comes, and a few looks, each after half of the time left. Where more waits than
can be served that is always so; a look then goes over the blocks of a line, and into those alone that may hide one.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import count

from broker.core.bounds import LOOKS_SWEPT_ABOVE, REACH_EVERY_MS
from broker.core.budget.budget import Budget
from broker.core.budget.inflow import Inflow, Least
from broker.core.lanes.tenant_queue import TenantQueue
from broker.core.ticket import Ticket


class ReachabilityChecks:
    """When to look over which line.

    Attributes:
        look_at_ms: The next look at any; None: there is none.
    """

    def __init__(self) -> None:
        self.look_at_ms: int | None = None
        self._agenda: list[tuple[int, int, TenantQueue]] = []
        self._planned: dict[TenantQueue, tuple[int, Budget, Least]] = {}
        self._serials = count()
        self._swept_above = LOOKS_SWEPT_ABOVE

    def came(self, ticket: Ticket, line: TenantQueue, budget: Budget, least: Least, now_ms: int) -> None:
        """A ticket has come to a line."""
        if not budget.believed:
            return
        tight_ms = ticket.candidate.deadline_ms - budget.flow_ms(line.tokens)
        planned = self._planned.get(line)
        if planned is None or tight_ms < planned[0]:
            self._plan(now_ms + max(0, tight_ms - now_ms) // 2, line, budget, least)

    def lost(self, now_ms: int) -> list[Ticket]:
        """Those whose turn cannot come before their deadline, of all lines that are to be looked over now."""
        lost: list[Ticket] = []
        while self._agenda and self._agenda[0][0] <= now_ms:
            at_ms, _, line = heappop(self._agenda)
            planned = self._planned.get(line)
            if planned is not None and planned[0] == at_ms:  # else it was looked over since, or will be earlier
                lost += self._look(line, *planned[1:], now_ms)
        self.look_at_ms = self._agenda[0][0] if self._agenda else None
        return lost

    def _look(self, line: TenantQueue, budget: Budget, least: Least, now_ms: int) -> list[Ticket]:
        del self._planned[line]
        if line.head is None:
            return []
        tight_ms = line.head.candidate.deadline_ms - budget.flow_ms(line.tokens)
        self._plan(now_ms + max(REACH_EVERY_MS, (tight_ms - now_ms) // 2), line, budget, least)
        return [] if tight_ms > now_ms else line.out_of_reach(budget.inflow(least, now_ms))

    def _plan(self, at_ms: int, line: TenantQueue, budget: Budget, least: Least) -> None:
        if len(self._agenda) >= self._swept_above:
            self._sweep()
        self._planned[line] = at_ms, budget, least
        heappush(self._agenda, (at_ms, next(self._serials), line))
        self.look_at_ms = self._agenda[0][0]

    def _sweep(self) -> None:
        """Forget lines in which nobody waits any more: most are served long before a look."""
        self._planned = {line: planned for line, planned in self._planned.items() if line.head is not None}
        self._agenda = [(planned[0], next(self._serials), line) for line, planned in self._planned.items()]
        heapify(self._agenda)
        self._swept_above = 2 * len(self._agenda) + LOOKS_SWEPT_ABOVE


def out_of_time(late: Iterable[Ticket], ahead: int, inflow: Inflow) -> list[Ticket]:
    """Those who are late, and have no chance when `ahead` tokens are paid before."""
    return [each for each in late if inflow.is_out(ahead + inflow.least(each), each.candidate.deadline_ms)]
