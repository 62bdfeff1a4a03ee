"""Virtual time: a clock, the simulated OpenAI behind a network, and what it admitted and refused.

A client is called back at instants it asked for and with answers it waits for; nothing sleeps.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from benchmarks.limits.calls import Asked
from benchmarks.limits.enforced import law_of
from benchmarks.limits.rows import Row
from headrace.broker.simulator.pricing import charge_at
from headrace.broker.simulator.virtual import Ask, VirtualAnswer, VirtualUpstream, Visit

WAY_MS: Final = (2, 40)  # from a caller to the limiter, and back
STORM_REFUSALS: Final = 5  # for each call admitted
STORM_MIN: Final = 5_000

OnTold = Callable[[VirtualAnswer, int], None]


@dataclass(slots=True)
class Record:
    """Effect of one client on the simulated OpenAI. Instants are its microseconds since it was opened.

    Attributes:
        admitted: Instant, tokens and calls of each admission, or of all since the last look, in order.
        refused: The instant of each 429.
        lost: Calls that were given up.
        calls: How many were admitted.
    """

    admitted: list[tuple[int, int, int]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    lost: int = 0
    calls: int = 0
    first_us: int = -1

    @property
    def storms(self) -> bool:
        """Whether refusals are a storm: a run ends at that number of them, and what was not called is lost."""
        return len(self.refused) > STORM_MIN + STORM_REFUSALS * self.calls

    @property
    def last_us(self) -> int:
        """The instant of the last admission."""
        return self.admitted[-1][0] if self.admitted else self.first_us

    @property
    def charged(self) -> int:
        """All tokens charged."""
        return sum(tokens for _, tokens, _ in self.admitted)


class Witness(VirtualUpstream):
    """The simulated OpenAI in virtual time, with a record of what it admitted and refused."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.upstream())
        self.record = Record()
        self._law_at = law_of(row, 0)

    def arrive(self, ask: Ask, now_us: int) -> Visit:
        """Answer as the simulator does, and record it."""
        visit, record = super().arrive(ask, now_us), self.record
        if record.first_us < 0:
            record.first_us = now_us
        if visit.status == 429:
            if not ask.tier:  # a tier without capacity says nothing about the limit
                record.refused.append(now_us)
        else:
            record.calls += 1
            record.admitted.append((now_us, charge_at(ask.endpoint, ask.size, self._law_at(now_us)), 1))
        return visit


class World:
    """A clock and one client of one simulated OpenAI."""

    def __init__(self, row: Row) -> None:
        self.upstream = Witness(row)
        self.record = self.upstream.record
        self.now_us = 0
        self._chance = Random(row.name)
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._serial = 0

    def at(self, at_us: int, action: Callable[[int], None]) -> None:
        """Schedule an action for an instant."""
        self._serial += 1
        heapq.heappush(self._events, (max(at_us, self.now_us), self._serial, action))

    def call(self, asked: Asked, told: OnTold) -> None:
        """Send a call now; `told` gets its answer."""
        self.at(self.now_us + self._way_us(), lambda now_us: self._arrive(asked, told, now_us))

    def run(self, done: Callable[[], bool]) -> None:
        """Run until `done`, or until no event is left, or all that comes back is refusals."""
        while self._events and not done() and not self.record.storms:
            self.now_us, _, action = heapq.heappop(self._events)
            action(self.now_us)

    def _arrive(self, asked: Asked, told: OnTold, now_us: int) -> None:
        visit = self.upstream.arrive(asked.ask(), now_us)

        def end(ends_us: int) -> None:
            answer = self.upstream.end(visit)
            self.at(ends_us + self._way_us(), lambda heard_us: told(answer, heard_us))

        self.at(visit.ends_us, end)

    def _way_us(self) -> int:
        return round(self._chance.uniform(*WAY_MS) * 1_000)
