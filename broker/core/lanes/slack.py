"""How far the nearest of a block of waiting tickets is from being out of reach, without looking at each.

A ticket is out of reach when the tokens before it and its own flow in no sooner than at its deadline (see reach.py).
Under a bucket that refills `capacity` in `period_ms` that is, in whole numbers and exactly,

    (ahead + tokens) * period_ms - deadline_ms * capacity  >=  lent * period_ms - now_ms * capacity

where `ahead` stands before the block, `tokens` within it up to the ticket's own, and `lent` is what is there by now.
`ahead` and the right side are the same for all of a block. So its largest `tokens * period_ms - deadline_ms * capacity`
tells whether anybody in it can be out of reach; that is its *score*, one for each bucket. It is exact when it has just
been measured. Whoever comes or leaves then moves it by what is certain at least, so that it is never too low.
"""

from collections.abc import Sequence

from broker.core.budget.inflow import Rates
from broker.core.ticket import Ticket


class Slack:
    """What is known of one block.

    Attributes:
        tokens: What calls of all its tickets take at least, as each ticket's `least` says.
    """

    __slots__ = ("_rates", "_scores", "tokens")

    def __init__(self, rates: Rates, tickets: Sequence[Ticket]) -> None:
        """Measured: of tickets in order, one at least, who all know their `least`."""
        deadline_ms = tickets[0].candidate.deadline_ms
        self._rates = rates
        self._scores = [-deadline_ms * capacity for _, capacity in rates]  # below the score of the first
        self.tokens = 0
        for ticket in tickets:
            self.append(ticket)

    def append(self, ticket: Ticket) -> None:
        """It has come behind all others."""
        self.tokens += ticket.least
        for place, (period_ms, capacity) in enumerate(self._rates):
            score = self.tokens * period_ms - ticket.candidate.deadline_ms * capacity
            if score > self._scores[place]:
                self._scores[place] = score

    def insert(self, ticket: Ticket) -> None:
        """It has come somewhere between: those behind it move back, and it may be the last of them."""
        self._shift(ticket.least)
        self.append(ticket)

    def behead(self, ticket: Ticket) -> None:
        """The first has left: all others move up."""
        self.tokens -= ticket.least
        self._shift(-ticket.least)

    def leave(self, ticket: Ticket) -> None:
        """It has left from somewhere: perhaps nobody moves up."""
        self.tokens -= ticket.least

    def may_be_out(self, ahead: int, bars: tuple[int, ...]) -> bool:
        """Whether anybody can be out of reach behind so many tokens; `bars` as an inflow has them."""
        each = zip(self._scores, self._rates, bars, strict=True)
        return any(score + ahead * period_ms >= bar for score, (period_ms, _), bar in each)

    def _shift(self, tokens: int) -> None:
        for place, (period_ms, _) in enumerate(self._rates):
            self._scores[place] += tokens * period_ms
