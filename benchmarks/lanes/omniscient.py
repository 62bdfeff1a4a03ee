"""Omniscient scheduler: how many requests can be answered in time, by a schedule made afterwards, lane by lane.

It knows the bucket to the token, how long each call will take, and all that the lanes above will ever ask for: a lane
may spend exactly as much as makes none of those late. Within a lane the request that must start earliest goes first,
and none that would be late is called. A second one chooses as well: where not all can be met it gives up the largest
that are in the way, so that as many as possible are met (J. M. Moore, 1968). Neither imports anything of what it
judges.

Time is divided into cells of 10 ms, in the scheduler's favour: a request that comes within one may start at its
beginning.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from typing import Final, NamedTuple

CELL_MS: Final = 10
LOOK_EVERY: Final = 50  # cells between two searches for requests to give up


class Wanted(NamedTuple):
    """One request: its arrival, its charge, the duration of its call, and its deadline."""

    number: int
    at_ms: int
    tokens: int
    call_ms: float
    deadline_ms: int

    @property
    def comes(self) -> int:
        """The cell of its arrival."""
        return self.at_ms // CELL_MS

    @property
    def latest(self) -> int:
        """The last cell in which its call may start."""
        return int((self.deadline_ms - self.call_ms) // CELL_MS)


class Supply:
    """The tokens that may be spent in each cell, by a lane and then by the one below it.

    Attributes:
        cells: The number of cells.
        level: Tokens in the bucket at the end of a cell, if no lower lane spends.
        wasted: Tokens that flow in during a cell and find the bucket full.
        most: Tokens that may be spent in a cell at once so that no request above is late.
        inflow: The sum of `wasted` up to a cell.
    """

    def __init__(self, capacity: int, per_minute: int, span_ms: int) -> None:
        self.cells = span_ms // CELL_MS + 1
        self.level = [float(capacity)] * self.cells
        self.wasted = [0.0] + [per_minute * CELL_MS / 60_000] * (self.cells - 1)
        self._look()

    def _look(self) -> None:
        self.most = self.level[:]
        for cell in range(self.cells - 2, -1, -1):
            self.most[cell] = min(self.level[cell], self.most[cell + 1] + self.wasted[cell + 1])
        self.inflow = list(accumulate(self.wasted))

    def spend(self, spent: Sequence[float]) -> None:
        """Subtract what a lane has spent in each cell: less is left for the lanes below."""
        owed = 0.0
        for cell, tokens in enumerate(spent):
            regained = min(owed, self.wasted[cell])
            self.wasted[cell] -= regained
            owed += tokens - regained
            self.level[cell] -= owed
        self._look()


def met(lanes: Sequence[Sequence[Wanted]], capacity: int, per_minute: int, *, choosing: bool = False) -> dict[int, int]:
    """Return the start of the call of each request that is answered in time, by its number.

    Lanes are in order of preference. `choosing`: where not all can be met, the largest in the way are given up, else
    those that would be late.
    """
    span_ms = max(wanted.deadline_ms for lane in lanes for wanted in lane)
    supply, starts = Supply(capacity, per_minute, span_ms), dict[int, int]()
    for lane in lanes:
        spent = [0.0] * supply.cells
        for cell, wanted in _served(lane, supply, choosing=choosing):
            spent[cell] += wanted.tokens
            starts[wanted.number] = cell * CELL_MS
        supply.spend(spent)
    return starts


def _served(lane: Sequence[Wanted], supply: Supply, *, choosing: bool) -> Iterator[tuple[int, Wanted]]:
    """Yield the cell in which each call starts, with its request."""
    coming = sorted(lane, key=lambda wanted: wanted.comes, reverse=True)
    waiting: list[tuple[int, int, Wanted]] = []
    given_up: set[int] = set()
    owed = 0.0  # tokens spent by this lane that the bucket has not regained yet
    for cell in range(supply.cells):
        owed = max(0.0, owed - supply.wasted[cell])
        while coming and coming[-1].comes <= cell:
            wanted = coming.pop()
            heappush(waiting, (wanted.latest, wanted.number, wanted))
        if choosing and waiting and cell % LOOK_EVERY == 0:
            given_up |= _in_the_way(waiting, supply, cell, owed)
        while waiting:
            latest, number, wanted = waiting[0]
            if latest >= cell and number not in given_up:
                if owed + wanted.tokens > supply.most[cell]:
                    break
                owed += wanted.tokens
                yield cell, wanted
            heappop(waiting)


def _in_the_way(waiting: Sequence[tuple[int, int, Wanted]], supply: Supply, cell: int, owed: float) -> set[int]:
    """Return the fewest requests without which all the others can be met, if no more come."""
    last = supply.cells - 1
    largest: list[tuple[int, int]] = []
    tokens, gone = 0, set[int]()
    for latest, number, wanted in sorted(waiting):
        if latest < cell:
            continue
        heappush(largest, (-wanted.tokens, number))
        tokens += wanted.tokens
        until = min(latest, last)
        if tokens > supply.most[until] + supply.inflow[until] - supply.inflow[cell] - owed:
            least, who = heappop(largest)
            tokens += least
            gone.add(who)
    return gone
