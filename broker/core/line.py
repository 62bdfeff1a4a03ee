"""Who waits of one tenant, in one lane, for one limit: the nearest deadline first, of like ones who came first.

Most deadlines are the lane's own, a fixed time after the submission; so this is first in, first out, unless a producer
asks for more haste. A retry comes back in front of all.

Kept as a list of short sorted lists, so that whoever comes or leaves anywhere costs about the same among a hundred
thousand as among a hundred.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from itertools import count

from broker.core.bounds import LINE_BLOCK_MAX
from broker.core.ticket import Rank, Ticket

_IN_FRONT_MS = -1  # before any deadline


class Line:
    """Waiting tickets in the order in which they should be called.

    Attributes:
        head: The first of them; None if nobody waits.
        tokens: Their charges together.
    """

    __slots__ = ("_blocks", "_count", "_fronts", "_lasts", "_serials", "head", "tokens")

    def __init__(self) -> None:
        self.head: Ticket | None = None
        self.tokens = 0
        self._count = 0
        self._blocks: list[list[Rank]] = []  # each sorted, none empty, every rank below all of the next block
        self._lasts: list[Rank] = []  # the last rank of each block
        self._serials = count()
        self._fronts = count(-1, -1)  # the one that came back last goes first

    def __len__(self) -> int:
        return self._count

    def add(self, ticket: Ticket, *, front: bool = False) -> None:
        """Line up; `front` before everybody."""
        if front:
            rank = _IN_FRONT_MS, next(self._fronts), ticket
        else:
            rank = ticket.candidate.deadline_ms, next(self._serials), ticket
        ticket.rank = rank
        self.tokens += ticket.charge
        self._count += 1
        self._insert(rank)
        if self._blocks[0][0][2] is ticket:
            self.head = ticket

    def remove(self, ticket: Ticket) -> None:
        """Leave from anywhere."""
        rank, ticket.rank = ticket.rank, None
        assert rank is not None, "it stands in no line"
        self.tokens -= ticket.charge
        self._count -= 1
        is_head = ticket is self.head
        place = 0 if is_head else bisect_left(self._lasts, rank)
        block = self._blocks[place]
        if len(block) == 1:
            del self._blocks[place], self._lasts[place]
        else:
            del block[0 if is_head else bisect_left(block, rank)]
            self._lasts[place] = block[-1]
        if is_head:
            self.head = self._blocks[0][0][2] if self._blocks else None

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Give each another charge; who stands where stays."""
        self.tokens = 0
        for ticket in self:
            ticket.charge = price(ticket)
            self.tokens += ticket.charge

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for block in self._blocks for _, _, ticket in block)

    def __reversed__(self) -> Iterator[Ticket]:
        return (ticket for block in reversed(self._blocks) for _, _, ticket in reversed(block))

    def _insert(self, rank: Rank) -> None:
        if not self._blocks:
            self._blocks.append([rank])
            self._lasts.append(rank)
            return
        if rank > self._lasts[-1]:  # as most do
            place, block = len(self._blocks) - 1, self._blocks[-1]
            block.append(rank)
        else:
            place = bisect_left(self._lasts, rank)
            block = self._blocks[place]
            insort(block, rank)
        self._lasts[place] = block[-1]
        if len(block) > LINE_BLOCK_MAX:
            half = len(block) // 2
            self._blocks.insert(place + 1, block[half:])
            self._lasts.insert(place + 1, block[-1])
            del block[half:]
            self._lasts[place] = block[-1]
