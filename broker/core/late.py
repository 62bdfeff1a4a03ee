"""Who would probably not be answered in time any more: called when nobody else in its lane waits, most time left first.

See `broker.core.durations` for why, and for when somebody is late.
"""

from itertools import islice

from broker.core.bounds import PROBES_LOOKED_AT
from broker.core.line import Line
from broker.core.tenants import Tenants
from broker.core.ticket import Ticket


class Late:
    """The late ones of a lane, for one limit.

    Attributes:
        line: By deadline; whoever is last in it has the best chance.
    """

    def __init__(self, tenants: Tenants) -> None:
        self.line = Line()
        self._tenants = tenants

    def __len__(self) -> int:
        return len(self.line)

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
        for ticket in islice(reversed(self.line), PROBES_LOOKED_AT):
            if not self._tenants.capping or self._tenants.is_free(ticket.candidate.tenant, ticket.charge, now_ms):
                return ticket
        return None
