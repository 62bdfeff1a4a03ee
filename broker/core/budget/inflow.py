"""What can flow into a limit's token buckets from now on, and which waiting tickets that leaves out of reach."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.core.ticket import Ticket

Least = Callable[[Ticket], int]
"""What a call of a ticket takes at least."""


Rates = tuple[tuple[int, int], ...]
"""Of each bucket of tokens: its period in ms and its capacity."""


@dataclass(frozen=True, slots=True)
class Inflow:
    """What can flow in from now on.

    Attributes:
        rates: How fast, of each bucket.
        bars: The right side of the above, likewise.
        least: What a call takes at least.
        priced: Which state of the evidence `least` stands on.
    """

    rates: Rates
    bars: tuple[int, ...]
    least: Least
    priced: int

    @property
    def measure(self) -> tuple[Rates, int]:
        """What a slack is measured by: while it is the same, a slack still holds."""
        return self.rates, self.priced

    def lost(self, tickets: Iterable[Ticket], ahead: int) -> tuple[list[Ticket], int]:
        """Who of them is out of reach behind so many tokens, and how many stand before whoever comes after them.

        Those after one who is lost are judged as if it were not there.
        """
        lost: list[Ticket] = []
        for ticket in tickets:
            tokens = ahead + ticket.least
            if self.is_out(tokens, ticket.candidate.deadline_ms):
                lost.append(ticket)
            else:
                ahead = tokens
        return lost, ahead

    def is_out(self, tokens: int, deadline_ms: int) -> bool:
        """Whether so many cannot have flowed in before a deadline, which has not passed yet."""
        return any(
            tokens * period_ms - deadline_ms * capacity >= bar
            for (period_ms, capacity), bar in zip(self.rates, self.bars, strict=True)
        )
