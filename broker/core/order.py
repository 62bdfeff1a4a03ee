"""Requests of one ordering key, in the order in which they were taken: who may start, and who waits for that.

Only the first of each key stands in a line; the others stand here. In a serial lane the first stays first until it has
its outcome, else until its first call leaves: a retry is a second start, of which nothing is promised.
"""

from collections import OrderedDict
from collections.abc import Collection
from itertools import takewhile

from broker.core.ticket import Ticket

Key = tuple[str, bytes]
"""A lane, and the hash of an ordering key."""


class Order:
    """Those of every key who have not started."""

    def __init__(self, serial_lanes: Collection[str] = ()) -> None:
        self._serial_lanes = frozenset(serial_lanes)
        self._rows: dict[Key, OrderedDict[Ticket, None]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, ticket: Ticket) -> bool:
        """Whether it may start now; else `started` or `left` will say when. Without a key it always may."""
        key = _key(ticket)
        if key is None:
            return True
        row = self._rows.setdefault(key, OrderedDict())
        row[ticket] = None
        return next(iter(row)) is ticket

    def started(self, ticket: Ticket) -> Ticket | None:
        """A call of it leaves; returns who may start now."""
        return None if ticket.source.partition.lane in self._serial_lanes else self.left(ticket)

    def left(self, ticket: Ticket) -> Ticket | None:
        """It is decided, or not ours any more; returns who may start now."""
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
        """Forget all."""
        self._rows.clear()

    def before(self, ticket: Ticket) -> list[Ticket]:
        """Those of its key that must start first, the first one first; none if it may start, or has."""
        key = _key(ticket)
        row = () if key is None else self._rows.get(key, ())
        return list(takewhile(lambda each: each is not ticket, row)) if ticket in row else []


def _key(ticket: Ticket) -> Key | None:
    order = ticket.candidate.order
    return (ticket.source.partition.lane, order) if order else None
