"""Instants that tickets wait for: the end of a retry's wait, a near deadline, and the deadline.

Two heaps, from which an outdated entry is dropped only when its instant comes up. A deadline may lie days ahead of a
ticket that is served within a second, so entries later than every other awaited instant are not looked at, and entries
of settled tickets are swept once they outnumber the living.
"""

from heapq import heapify, heappop, heappush

from headrace.broker.core.bounds import DEADLINES_SWEPT_ABOVE
from headrace.broker.core.ticket import CALLING, SETTLED, WAITING, State, Ticket

_WAITING = (WAITING,)
_ALIVE = (WAITING, CALLING)


class Timers:
    """Waits and deadlines of tickets; a settled ticket is never returned."""

    def __init__(self) -> None:
        self._asleep: list[tuple[int, int, Ticket]] = []
        self._deadlines: list[tuple[int, int, Ticket]] = []
        self._order = 0

    def sleep(self, ticket: Ticket, until_ms: int) -> None:
        """Wake a waiting ticket at that instant."""
        self._order += 1
        heappush(self._asleep, (until_ms, self._order, ticket))

    def watch(self, ticket: Ticket, at_ms: int, living: int) -> None:
        """Set the instant at which a ticket is near its deadline, or past it; `living` is the number of tickets."""
        if len(self._deadlines) > 2 * living + DEADLINES_SWEPT_ABOVE:
            self._deadlines = [entry for entry in self._deadlines if entry[2].state is not SETTLED]
            heapify(self._deadlines)
        self._order += 1
        heappush(self._deadlines, (at_ms, self._order, ticket))

    def woken(self, now_ms: int) -> list[Ticket]:
        """Return the tickets whose wait is over, in order."""
        return _due(self._asleep, now_ms, _WAITING)

    def due(self, now_ms: int) -> list[Ticket]:
        """Return watched tickets that wait or are called: near their deadline now, or past it."""
        return _due(self._deadlines, now_ms, _ALIVE)

    def is_due(self, now_ms: int) -> bool:
        """Whether the instant of some ticket has come, perhaps of a settled one."""
        asleep, deadlines = self._asleep, self._deadlines
        return bool(asleep and asleep[0][0] <= now_ms) or bool(deadlines and deadlines[0][0] <= now_ms)

    def next_at(self, until_ms: int | None = None) -> int | None:
        """Return the earliest instant of either kind that a ticket still waits for; None if it is after `until_ms`."""
        earliest_ms: int | None = None
        for heap in (self._asleep, self._deadlines):
            while heap and (until_ms is None or heap[0][0] <= until_ms):
                at_ms, _, ticket = heap[0]
                if ticket.state is not SETTLED:
                    earliest_ms = until_ms = at_ms
                    break
                heappop(heap)
        return earliest_ms

    def clear(self) -> None:
        """Forget all instants."""
        self._asleep, self._deadlines = [], []

    def sleeps_until(self, ticket: Ticket) -> int | None:
        """Return when a ticket is woken, found by a search through all that sleep; None if it does not sleep."""
        return next((until_ms for until_ms, _, sleeper in self._asleep if sleeper is ticket), None)


def _due(heap: list[tuple[int, int, Ticket]], now_ms: int, states: tuple[State, ...]) -> list[Ticket]:
    due = []
    while heap and heap[0][0] <= now_ms:
        ticket = heappop(heap)[2]
        if ticket.state in states:
            due.append(ticket)
    return due
