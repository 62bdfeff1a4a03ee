"""Future inflow of tokens into a limit's buckets, and the waiting tickets that it leaves unreachable."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headrace.broker.core.ticket import Ticket

Least = Callable[[Ticket], int]
"""Returns the least charge of a ticket's call."""


Rates = tuple[tuple[int, int], ...]
"""Period in ms and capacity of each bucket of tokens."""


@dataclass(frozen=True, slots=True)
class Inflow:
    """The highest possible inflow from now on.

    Attributes:
        rates: The refill rate of each bucket.
        bars: For each bucket, the value of `tokens * period_ms - deadline_ms * capacity` from which on a deadline is
            missed.
        least: Returns the least charge of a call.
        priced: The version of the evidence that `least` rests on.
    """

    rates: Rates
    bars: tuple[int, ...]
    least: Least
    priced: int

    @property
    def measure(self) -> tuple[Rates, int]:
        """The basis of a computed slack: while it is unchanged, the slack still holds."""
        return self.rates, self.priced

    def unreachable(self, tickets: Iterable[Ticket], ahead: int) -> tuple[list[Ticket], int]:
        """Return the tickets that are unreachable behind `ahead` tokens, and the tokens ahead of any ticket after them.

        Tickets after an unreachable one are judged as if that one were absent.
        """
        unreachable: list[Ticket] = []
        for ticket in tickets:
            tokens = ahead + ticket.least
            if self.is_unreachable(tokens, ticket.candidate.deadline_ms):
                unreachable.append(ticket)
            else:
                ahead = tokens
        return unreachable, ahead

    def is_unreachable(self, tokens: int, deadline_ms: int) -> bool:
        """Return whether `tokens` cannot flow in before a deadline that has not passed yet."""
        return any(
            tokens * period_ms - deadline_ms * capacity >= bar
            for (period_ms, capacity), bar in zip(self.rates, self.bars, strict=True)
        )
