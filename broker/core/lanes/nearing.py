"""Priority boost near a deadline: one lane up, in turn with the lanes above, for a share of their tokens.

A request is near in the last part of its time (`headrace.broker.core.lanes.durations`). While a lane has such requests,
it earns credit with every call of a lane above it: `lift` of the charge. Once that credit covers the request with the
nearest deadline, and it is the turn of the lane directly above, that request goes instead. This saves a few requests
that would have been too late; however many are near, the lanes above lose no more than that share.
"""

from heapq import heapify, heappop, heappush

from headrace.broker.core.bounds import CREDIT_CHARGES_MAX, NEARING_SWEPT_ABOVE
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM


class DeadlineBoost:
    """Tickets of one lane near their deadlines, for one limit.

    Attributes:
        credit_ppm_tokens: What they may take from the lane above.
    """

    __slots__ = ("_heap", "_lift_ppm", "_swept_above", "credit_ppm_tokens")

    def __init__(self, lift_ppm: int) -> None:
        self._lift_ppm = lift_ppm
        self.credit_ppm_tokens = 0
        self._heap: list[tuple[int, int, Ticket]] = []
        self._swept_above = NEARING_SWEPT_ABOVE

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, ticket: Ticket) -> None:
        """Add a waiting ticket that has come near its deadline."""
        if len(self._heap) >= self._swept_above:
            self._sweep()
        heappush(self._heap, (ticket.candidate.deadline_ms, ticket.number, ticket))

    def head(self) -> Ticket | None:
        """Return the ticket with the nearest deadline, of those that wait here and are not late."""
        heap = self._heap
        while heap:
            ticket = heap[0][2]
            if _waits(ticket):
                return ticket
            heappop(heap)
        self.credit_ppm_tokens = 0  # nothing is saved up for later
        return None

    def lifted(self) -> Ticket | None:
        """Return the ticket that goes in the turn of the lane above, if the credit covers it."""
        head = self.head()
        return head if head is not None and self.credit_ppm_tokens >= head.charge * PPM else None

    def earn(self, charge: int) -> None:
        """Earn credit for a call of a lane above."""
        head = self.head()
        if head is not None:
            most = max(charge, head.charge) * PPM * CREDIT_CHARGES_MAX
            self.credit_ppm_tokens = min(self.credit_ppm_tokens + charge * self._lift_ppm, most)

    def pay(self, charge: int) -> None:
        """Pay for a ticket that is called in the turn of the lane above."""
        self.credit_ppm_tokens = max(0, self.credit_ppm_tokens - charge * PPM)

    def _sweep(self) -> None:
        """Forget tickets that no longer wait here; in the first lane none is lifted, and no other look drops them."""
        self._heap = [*{entry[1]: entry for entry in self._heap if _waits(entry[2])}.values()]
        heapify(self._heap)
        self._swept_above = 2 * len(self._heap) + NEARING_SWEPT_ABOVE


def _waits(ticket: Ticket) -> bool:
    return ticket.queued and not (ticket.late or ticket.in_tier_lanes)
