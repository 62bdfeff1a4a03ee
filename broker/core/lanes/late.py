"""Who would probably not be answered in time any more: called when nobody else in its lane waits, most time left first.

See `broker.core.lanes.durations` for why, and for when somebody is late.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from broker.core.bounds import PROBES_LOOKED_AT
from broker.core.lanes.tenant_queue import TenantQueue
from broker.core.lanes.tenants import Tenants
from broker.core.ticket import Ticket


class LateQueue:
    """The late ones of a lane, for one limit.

    By deadline: the last one has the best chance.
    """

    __slots__ = ("_line", "_tenants")

    def __init__(self, tenants: Tenants) -> None:
        self._line: TenantQueue | None = None  # made with the first: most lanes have never had one
        self._tenants = tenants

    def __len__(self) -> int:
        return 0 if self._line is None else len(self._line)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(()) if self._line is None else iter(self._line)

    def __reversed__(self) -> Iterator[Ticket]:
        return iter(()) if self._line is None else reversed(self._line)

    @property
    def tokens(self) -> int:
        """Their charges together."""
        return 0 if self._line is None else self._line.tokens

    @property
    def line(self) -> TenantQueue:
        """The line they stand in."""
        if self._line is None:
            self._line = TenantQueue()
        return self._line

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Give each another charge."""
        if self._line is not None:
            self._line.reprice(price)

    def add(self, ticket: Ticket) -> None:
        """It leaves the line it stood in."""
        ticket.late = True
        self.line.add(ticket)

    def remove(self, ticket: Ticket) -> None:
        """It is called, or leaves otherwise."""
        ticket.late = False
        self.line.remove(ticket)

    def next(self, now_ms: int) -> Ticket | None:
        """Who has the best chance, of some whose tenants' caps let them go."""
        for ticket in islice(reversed(self), PROBES_LOOKED_AT):
            if not self._tenants.capping or self._tenants.is_free(ticket.candidate.tenant, ticket.charge, now_ms):
                return ticket
        return None
