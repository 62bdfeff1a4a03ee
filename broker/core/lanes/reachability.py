"""Detection of requests that cannot be called before their deadlines: `deadline_unreachable`, at once and unpaid.

Two things are certain of a request's turn: the requests before it in its tenant's queue are called first, and no more
tokens flow in than the buckets refill. Everything else is assumed to turn out well: other tenants and lanes have no
requests, levels are as high as they can be, and the cheapest law that is not refuted holds. A request that could not
start in time even then has no chance. Those after it are judged as if it were absent. Late requests
(`headrace.broker.core.lanes.late`) come after all requests of their lane that are not late.

A queue is examined only when a request in it may be out of reach. None can be while all tokens of the queue would flow
in before the deadline even if other requests had emptied the buckets. Until then each arrival costs one comparison, and
each queue a few looks, each after half of the time left. Under overload a request may always be out of reach; a look
then goes over the blocks of a queue, and only into those that may hold one.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import count

from headrace.broker.core.bounds import LOOKS_SWEPT_ABOVE, REACH_EVERY_MS
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.inflow import Inflow, Least
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.ticket import Ticket


class ReachabilityChecks:
    """Schedule of the checks of all queues.

    Attributes:
        check_at_ms: Instant of the next check of any queue; None: there is none.
    """

    def __init__(self) -> None:
        self.check_at_ms: int | None = None
        self._agenda: list[tuple[int, int, TenantQueue]] = []
        self._planned: dict[TenantQueue, tuple[int, Budget, Least]] = {}
        self._serials = count()
        self._swept_above = LOOKS_SWEPT_ABOVE

    def schedule(self, ticket: Ticket, queue: TenantQueue, budget: Budget, least: Least, now_ms: int) -> None:
        """Plan a check of a queue that a ticket has joined, or an earlier one."""
        if not budget.believed:
            return
        tight_ms = ticket.candidate.deadline_ms - budget.flow_ms(queue.tokens)
        planned = self._planned.get(queue)
        if planned is None or tight_ms < planned[0]:
            self._plan(now_ms + max(0, tight_ms - now_ms) // 2, queue, budget, least)

    def unreachable(self, now_ms: int) -> list[Ticket]:
        """Return the tickets whose turn cannot come before their deadline, of all queues due for a check."""
        unreachable: list[Ticket] = []
        while self._agenda and self._agenda[0][0] <= now_ms:
            at_ms, _, queue = heappop(self._agenda)
            planned = self._planned.get(queue)
            if planned is not None and planned[0] == at_ms:  # else stale: checked since, or planned anew
                unreachable += self._check(queue, *planned[1:], now_ms)
        self.check_at_ms = self._agenda[0][0] if self._agenda else None
        return unreachable

    def _check(self, queue: TenantQueue, budget: Budget, least: Least, now_ms: int) -> list[Ticket]:
        del self._planned[queue]
        if queue.head is None:
            return []
        tight_ms = queue.head.candidate.deadline_ms - budget.flow_ms(queue.tokens)
        self._plan(now_ms + max(REACH_EVERY_MS, (tight_ms - now_ms) // 2), queue, budget, least)
        return [] if tight_ms > now_ms else queue.unreachable(budget.inflow(least, now_ms))

    def _plan(self, at_ms: int, queue: TenantQueue, budget: Budget, least: Least) -> None:
        if len(self._agenda) >= self._swept_above:
            self._sweep()
        self._planned[queue] = at_ms, budget, least
        heappush(self._agenda, (at_ms, next(self._serials), queue))
        self.check_at_ms = self._agenda[0][0]

    def _sweep(self) -> None:
        """Forget empty queues: most are served long before their check."""
        self._planned = {queue: planned for queue, planned in self._planned.items() if queue.head is not None}
        self._agenda = [(planned[0], next(self._serials), queue) for queue, planned in self._planned.items()]
        heapify(self._agenda)
        self._swept_above = 2 * len(self._agenda) + LOOKS_SWEPT_ABOVE


def unreachable_late(late: Iterable[Ticket], ahead: int, inflow: Inflow) -> list[Ticket]:
    """Return the late tickets that have no chance if `ahead` tokens are paid before them."""
    return [
        ticket for ticket in late if inflow.is_unreachable(ahead + inflow.least(ticket), ticket.candidate.deadline_ms)
    ]
