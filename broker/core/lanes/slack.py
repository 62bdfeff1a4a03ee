"""Bound on how close a block of waiting tickets is to being out of reach, kept without looking at each ticket.

A ticket is out of reach when the tokens before it and its own flow in no sooner than at its deadline (see
reachability.py). Under a bucket that refills `capacity` in `period_ms` that is, in whole numbers and exactly,

    (ahead + tokens) * period_ms - deadline_ms * capacity  >=  lent * period_ms - now_ms * capacity

where `ahead` is the number of tokens before the block, `tokens` that within it up to and including the ticket's own,
and `lent` the most that can be available now. `ahead` and the right side are the same for all of a block. So its
largest `tokens * period_ms - deadline_ms * capacity` says whether any ticket in it can be out of reach; that is its
*score*, one for each bucket. It is exact when it has just been measured. Each arrival or departure then changes it by
what is certain at least, so that it is never too low.
"""

from collections.abc import Sequence

from headrace.broker.core.budget.inflow import Rates
from headrace.broker.core.ticket import Ticket


class Slack:
    """The scores of one block.

    Attributes:
        tokens: The least that calls of all its tickets take, the sum of each ticket's `least`.
    """

    __slots__ = ("_rates", "_scores", "tokens")

    def __init__(self, rates: Rates, tickets: Sequence[Ticket]) -> None:
        """Measure tickets given in order, at least one, each with its `least` known."""
        deadline_ms = tickets[0].candidate.deadline_ms
        self._rates = rates
        self._scores = [-deadline_ms * capacity for _, capacity in rates]  # below the score of the first ticket
        self.tokens = 0
        for ticket in tickets:
            self.append(ticket)

    def append(self, ticket: Ticket) -> None:
        """Add a ticket behind all others."""
        self.tokens += ticket.least
        for index, (period_ms, capacity) in enumerate(self._rates):
            score = self.tokens * period_ms - ticket.candidate.deadline_ms * capacity
            if score > self._scores[index]:
                self._scores[index] = score

    def insert(self, ticket: Ticket) -> None:
        """Add a ticket in between: those behind it move back, and it may be the last of them."""
        self._shift(ticket.least)
        self.append(ticket)

    def remove_first(self, ticket: Ticket) -> None:
        """Remove the first ticket: all others move up."""
        self.tokens -= ticket.least
        self._shift(-ticket.least)

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket from any place: it may have been the last, so the scores stay."""
        self.tokens -= ticket.least

    def may_be_unreachable(self, ahead: int, bars: tuple[int, ...]) -> bool:
        """Whether any ticket can be out of reach behind `ahead` tokens; `bars` as an inflow has them."""
        buckets = zip(self._scores, self._rates, bars, strict=True)
        return any(score + ahead * period_ms >= bar for score, (period_ms, _), bar in buckets)

    def _shift(self, tokens: int) -> None:
        for index, (period_ms, _) in enumerate(self._rates):
            self._scores[index] += tokens * period_ms
