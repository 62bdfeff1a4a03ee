"""Recent call durations of a limit, by service tier, and the last instant at which a call still makes sense.

Under overload a lane that is served by nearest deadline serves every request at its last moment. If that moment were
the deadline itself, each call would be cut off midway, paid for without an answer, all day. So calls have an earlier
cut-off, after which a long call would not end in time. A request whose deadline left it hardly more than a long call
from the start does not count as late until a quarter of its time has passed.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from headrace.broker.core.bounds import DURATIONS_RANKED_EVERY, DURATIONS_REMEMBERED
from headrace.broker.core.lanes.tier_table import TierTable
from headrace.broker.core.ticket import Ticket

_LONGER = 64  # one call in 64 may take longer than a "long" call
_HURRY = 10  # a request is near its deadline in the last tenth of the time that it was allowed


class Durations:
    """Durations of the last few hundred answered calls.

    A smaller sample would be too uniform, since calls that start together end together.

    Attributes:
        long_ms: Duration that all but one call in 64 stay within, so that a call that hung does not count; 0 while
            nothing is known.
    """

    __slots__ = ("_ranked_ms", "_recent_ms", "_since", "long_ms")

    def __init__(self) -> None:
        self.long_ms = 0
        self._recent_ms: deque[int] = deque()
        self._ranked_ms: list[int] = []  # the same values in ascending order
        self._since = 0

    def add(self, took_ms: int) -> None:
        """Record the duration of an answered call."""
        ranked_ms = self._ranked_ms
        if len(ranked_ms) == DURATIONS_REMEMBERED:
            del ranked_ms[bisect_left(ranked_ms, self._recent_ms.popleft())]
        self._recent_ms.append(took_ms)
        insort(ranked_ms, took_ms)
        self._since += 1
        if self._since >= DURATIONS_RANKED_EVERY or len(ranked_ms) < DURATIONS_RANKED_EVERY:
            self._since = 0
            self.long_ms = ranked_ms[-1 - len(ranked_ms) // _LONGER]

    def late_at(self, ticket: Ticket) -> int:
        """Return the instant from which a call for this ticket would probably not end in time."""
        deadline_ms = ticket.candidate.deadline_ms
        return deadline_ms - min(self.long_ms, (deadline_ms - ticket.taken_ms) * 3 // 4)

    def near_at(self, ticket: Ticket) -> int:
        """Return the instant from which the ticket is near its deadline.

        That is the last tenth of its time or, if that begins earlier, two long calls before the deadline: one before it
        is late.
        """
        deadline_ms = ticket.candidate.deadline_ms
        allowed_ms = deadline_ms - ticket.taken_ms
        tenth_ms, twice_ms = allowed_ms // _HURRY, 2 * self.long_ms
        length_ms = twice_ms if twice_ms < allowed_ms else allowed_ms
        return deadline_ms - (length_ms if length_ms > tenth_ms else tenth_ms)


class DurationsByTier:
    """Durations of each service tier: a call of a slow tier must not make requests of the others late."""

    __slots__ = ("_tiers",)

    def __init__(self) -> None:
        self._tiers = TierTable(Durations)

    def of(self, tier: str) -> Durations:
        """Return those of one tier; those of a tier without answered calls are not known."""
        return self._tiers.get(tier) or _UNKNOWN

    def add(self, tier: str, took_ms: int) -> None:
        """Record the duration of an answered call; tiers beyond a few share theirs."""
        self._tiers.of_answer(tier).add(took_ms)

    def late_at(self, ticket: Ticket) -> int:
        """Return the instant from which a call for this ticket would probably not end in time."""
        return self.of(ticket.candidate.tier).late_at(ticket)

    def near_at(self, ticket: Ticket) -> int:
        """Return the instant from which the ticket is near its deadline."""
        return self.of(ticket.candidate.tier).near_at(ticket)


_UNKNOWN: Final = Durations()
