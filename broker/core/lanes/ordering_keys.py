"""Order among requests with the same ordering key: only the first unstarted one may start; the others wait for it.

Only that first request stands in a tenant's queue; the others are held here. In a serial lane it stays first until it
has its outcome, in other lanes until its first call leaves: a retry is a second start, whose order is not guaranteed. A
call that was not sent after all was no start: its request returns to its place.
"""

from collections import OrderedDict
from collections.abc import Collection
from itertools import takewhile

from headrace.broker.core.ticket import Ticket

Key = tuple[str, bytes]
"""A lane, and the hash of an ordering key."""


class OrderingKeys:
    """The unstarted requests of every key, in the order in which they were taken."""

    def __init__(self, serial_lanes: Collection[str] = ()) -> None:
        self._serial_lanes = frozenset(serial_lanes)
        self._rows: dict[Key, OrderedDict[Ticket, None]] = {}
        self._turns = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ticket: Ticket) -> bool:
        """Add a ticket; return whether it may start now, as one without a key always may.

        Otherwise `start` or `remove` will return it later.
        """
        key = _key(ticket)
        if key is None:
            return True
        self._turns += 1
        ticket.turn = self._turns
        row = self._rows.setdefault(key, OrderedDict())
        row[ticket] = None
        return next(iter(row)) is ticket

    def start(self, ticket: Ticket) -> Ticket | None:
        """Note that a call of the ticket leaves; return the ticket that may start now."""
        return None if ticket.source.partition.lane in self._serial_lanes else self.remove(ticket)

    def requeue(self, ticket: Ticket) -> Ticket | None:
        """Put a ticket back whose call was not sent; return the one that was first of its key and is behind it now."""
        key = _key(ticket)
        row = None if key is None else self._rows.setdefault(key, OrderedDict())
        if row is None or ticket in row:
            return None
        first = next(iter(row), None)
        before = list(takewhile(lambda earlier: earlier.turn < ticket.turn, row))
        row[ticket] = None
        for earlier in (ticket, *reversed(before)):
            row.move_to_end(earlier, last=False)
        return None if before else first

    def must_wait(self, ticket: Ticket) -> bool:
        """Whether another ticket of its key must start before it."""
        key = _key(ticket)
        row = None if key is None else self._rows.get(key)
        return row is not None and ticket in row and next(iter(row)) is not ticket

    def remove(self, ticket: Ticket) -> Ticket | None:
        """Remove a ticket that is decided, or not ours any more; return the ticket that may start now."""
        key = _key(ticket)
        row = None if key is None else self._rows.get(key)
        if key is None or row is None or ticket not in row:
            return None
        was_first = next(iter(row)) is ticket
        del row[ticket]
        if not row:
            del self._rows[key]
            return None
        return next(iter(row)) if was_first else None

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()

    def predecessors(self, ticket: Ticket) -> list[Ticket]:
        """Return the tickets of its key that must start first, in order; none if it may start, or has."""
        key = _key(ticket)
        row = () if key is None else self._rows.get(key, ())
        return list(takewhile(lambda earlier: earlier is not ticket, row)) if ticket in row else []


def _key(ticket: Ticket) -> Key | None:
    order = ticket.candidate.order
    return (ticket.source.partition.lane, order) if order else None
