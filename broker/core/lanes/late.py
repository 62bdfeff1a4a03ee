"""Requests that will probably not be answered in time: called only when no other of their lane can be.

The one with the most time left is called first. `headrace.broker.core.lanes.durations` says why, and when a request is
late.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from headrace.broker.core.bounds import PROBES_LOOKED_AT
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket


class LateQueue:
    """Queue of a lane's late tickets, for one limit, ordered by deadline: the last one has the best chance."""

    __slots__ = ("_queue", "_tenants")

    def __init__(self, tenants: Tenants) -> None:
        self._queue: TenantQueue | None = None  # made with the first late ticket: most lanes never have one
        self._tenants = tenants

    def __len__(self) -> int:
        return 0 if self._queue is None else len(self._queue)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(()) if self._queue is None else iter(self._queue)

    def __reversed__(self) -> Iterator[Ticket]:
        return iter(()) if self._queue is None else reversed(self._queue)

    @property
    def tokens(self) -> int:
        """The sum of their charges."""
        return 0 if self._queue is None else self._queue.tokens

    @property
    def queue(self) -> TenantQueue:
        """The queue that holds them."""
        if self._queue is None:
            self._queue = TenantQueue()
        return self._queue

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Set every ticket's charge anew."""
        if self._queue is not None:
            self._queue.reprice(price)

    def add(self, ticket: Ticket) -> None:
        """Enqueue a ticket that has left its tenant's queue."""
        ticket.late = True
        self.queue.add(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket, called or not."""
        ticket.late = False
        self.queue.remove(ticket)

    def next(self, now_ms: int) -> Ticket | None:
        """Return the ticket with the best chance among the last few that their tenants' caps allow."""
        for ticket in islice(reversed(self), PROBES_LOOKED_AT):
            if not self._tenants.capping or self._tenants.is_free(ticket.candidate.tenant, ticket.charge, now_ms):
                return ticket
        return None
