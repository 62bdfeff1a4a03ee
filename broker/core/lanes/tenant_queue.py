"""Queue of one tenant's waiting requests (per lane and limit), ordered by deadline, then arrival.

Most deadlines are the lane's own, a fixed time after the submission; so the order is first in, first out, unless a
producer sets a shorter one. A retry returns to the very front.

The queue is kept as a list of short sorted lists, its blocks, so that an arrival or departure anywhere costs about the
same among a hundred thousand tickets as among a hundred. So does the question which tickets are out of reach: once it
has been asked, each block knows how close its nearest ticket is to that (slack.py).
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from headrace.broker.core.bounds import QUEUE_BLOCK_MAX
from headrace.broker.core.budget.inflow import Inflow, Least, Rates
from headrace.broker.core.lanes.slack import Slack
from headrace.broker.core.ticket import Rank, Ticket

_IN_FRONT_MS = -1  # sorts before any deadline


class TenantQueue:
    """Waiting tickets in the order in which they should be called.

    Attributes:
        head: The first of them; None if none waits.
        tokens: The sum of their charges.
    """

    __slots__ = (
        "_blocks",
        "_came",
        "_count",
        "_lasts",
        "_least",
        "_measure",
        "_returned",
        "_slacks",
        "head",
        "tokens",
    )

    def __init__(self) -> None:
        self.head: Ticket | None = None
        self.tokens = 0
        self._count = 0
        self._blocks: list[list[Rank]] = []  # each sorted, none empty, every rank below all of the next block
        self._lasts: list[Rank] = []  # the last rank of each block
        self._slacks: list[Slack | None] = []  # one for each block; None: to be measured
        self._measure: tuple[Rates, int] | None = None  # the rates and the state of evidence they were measured by
        self._least: Least | None = None
        self._came = 0
        self._returned = 0  # number of tickets put in front; the latest goes first

    def __len__(self) -> int:
        return self._count

    def add(self, ticket: Ticket, *, front: bool = False) -> None:
        """Enqueue a ticket; with `front`, before all others."""
        if front:
            self._returned += 1
            rank = _IN_FRONT_MS, -self._returned, ticket
        else:
            self._came += 1
            rank = ticket.candidate.deadline_ms, self._came, ticket
        ticket.rank = rank
        self.tokens += ticket.charge
        self._count += 1
        self._insert(rank)
        if self._blocks[0][0][2] is ticket:
            self.head = ticket

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket from any place."""
        rank, ticket.rank = ticket.rank, None
        assert rank is not None, "it is in no queue"
        self.tokens -= ticket.charge
        self._count -= 1
        is_head = ticket is self.head
        index = 0 if is_head else bisect_left(self._lasts, rank)
        block, slack = self._blocks[index], self._slacks[index]
        if len(block) == 1:
            del self._blocks[index], self._lasts[index], self._slacks[index]
        else:
            del block[0 if is_head else bisect_left(block, rank)]
            self._lasts[index] = block[-1]
            if slack is not None:
                (slack.remove_first if is_head else slack.remove)(ticket)
        if is_head:
            self.head = self._blocks[0][0][2] if self._blocks else None

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Set every ticket's charge anew; the order stays."""
        self.tokens = 0
        for ticket in self:
            ticket.charge = price(ticket)
            self.tokens += ticket.charge

    def reprice_one(self, ticket: Ticket, charge: int) -> None:
        """Give one of its tickets another charge; the order stays."""
        self.tokens += charge - ticket.charge
        ticket.charge = charge

    def unreachable(self, inflow: Inflow) -> list[Ticket]:
        """Return, in order, the tickets whose turn cannot come before their deadline, if that has not passed yet."""
        if self._measure != inflow.measure:
            self._measure, self._least = inflow.measure, inflow.least
            self._slacks = [None] * len(self._blocks)
        unreachable: list[Ticket] = []
        ahead = 0
        for index in range(len(self._blocks)):
            slack = self._slacks[index]
            if slack is not None and not slack.may_be_unreachable(ahead, inflow.bars):
                ahead += slack.tokens
            else:
                gone, ahead = self._unreachable_in_block(index, ahead, inflow)
                unreachable += gone
        return unreachable

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for block in self._blocks for _, _, ticket in block)

    def __reversed__(self) -> Iterator[Ticket]:
        return (ticket for block in reversed(self._blocks) for _, _, ticket in reversed(block))

    def _unreachable_in_block(self, index: int, ahead: int, inflow: Inflow) -> tuple[list[Ticket], int]:
        """Return the tickets of a block that are out of reach, and the tokens of the others with all before them."""
        tickets = [ticket for _, _, ticket in self._blocks[index]]
        for ticket in tickets:
            ticket.least = inflow.least(ticket)
        slack = self._slacks[index] = Slack(inflow.rates, tickets)
        return (
            inflow.unreachable(tickets, ahead)
            if slack.may_be_unreachable(ahead, inflow.bars)
            else ([], ahead + slack.tokens)
        )

    def _insert(self, rank: Rank) -> None:
        if not self._blocks:
            self._blocks.append([rank])
            self._lasts.append(rank)
            self._slacks.append(None)
            return
        is_last = rank > self._lasts[-1]  # the usual case
        index = len(self._blocks) - 1 if is_last else bisect_left(self._lasts, rank)
        block, slack = self._blocks[index], self._slacks[index]
        if is_last:
            block.append(rank)
        else:
            insort(block, rank)
        if slack is not None and self._least is not None:
            ticket = rank[2]
            ticket.least = self._least(ticket)
            (slack.append if is_last else slack.insert)(ticket)
        self._lasts[index] = block[-1]
        if len(block) > QUEUE_BLOCK_MAX:
            half = len(block) // 2
            self._blocks.insert(index + 1, block[half:])
            self._lasts.insert(index + 1, block[-1])
            self._slacks[index : index + 1] = [None, None]
            del block[half:]
            self._lasts[index] = block[-1]
