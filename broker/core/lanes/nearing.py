"""Who of a lane must hurry: lifted one lane, in turn with those above, for a share of what those are served.

A request is near in the last part of its time (`broker.core.lanes.durations`). While somebody is, the lane earns credit
with every call of a lane above it: `lift` of the charge. Once that covers the nearest deadline of them, and it is the
turn of the lane directly above, that request goes instead. So a few are saved that would have come too late, and
however many are near, those above lose no more than that share.
"""

from heapq import heappop, heappush

from broker.core.bounds import CREDIT_CHARGES_MAX
from broker.core.ticket import Ticket
from broker.core.units import PPM


class DeadlineBoost:
    """Those of one lane, for one limit.

    Attributes:
        credit_ppm_tokens: What they may take of the lane above.
    """

    __slots__ = ("_heap", "_lift_ppm", "credit_ppm_tokens")

    def __init__(self, lift_ppm: int) -> None:
        self._lift_ppm = lift_ppm
        self.credit_ppm_tokens = 0
        self._heap: list[tuple[int, int, Ticket]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, ticket: Ticket) -> None:
        """A waiting ticket has become near."""
        heappush(self._heap, (ticket.candidate.deadline_ms, ticket.number, ticket))

    def head(self) -> Ticket | None:
        """Whose deadline is nearest, of those that wait and are not late."""
        heap = self._heap
        while heap:
            ticket = heap[0][2]
            if ticket.queued and not ticket.late:
                return ticket
            heappop(heap)
        self.credit_ppm_tokens = 0  # for later it saves nothing up
        return None

    def lifted(self) -> Ticket | None:
        """Who goes in the turn of the lane above, if that is owed."""
        head = self.head()
        return head if head is not None and self.credit_ppm_tokens >= head.charge * PPM else None

    def earn(self, charge: int) -> None:
        """Somebody above is called."""
        head = self.head()
        if head is not None:
            most = max(charge, head.charge) * PPM * CREDIT_CHARGES_MAX
            self.credit_ppm_tokens = min(self.credit_ppm_tokens + charge * self._lift_ppm, most)

    def pay(self, charge: int) -> None:
        """One of them is called in the turn of the lane above."""
        self.credit_ppm_tokens = max(0, self.credit_ppm_tokens - charge * PPM)
