"""How long the calls of a limit take of late, and so until when it makes sense to start one.

A lane with more work than quota serves everybody at the last moment: nearest deadline first. Were that the deadline
itself, each of its calls would be cut off in the middle, paid for nothing, all day. So there is an earlier one, after
which a call that takes long has no time to end. Who had hardly more time than that from the beginning is not late
before a quarter of it has passed.
"""

from bisect import bisect_left, insort
from collections import deque

from broker.core.bounds import DURATIONS_RANKED_EVERY, DURATIONS_REMEMBERED
from broker.core.ticket import Ticket

_LONGER = 64  # one of so many may take longer than a long call
_HURRY = 10  # the last tenth of the time that was allowed


class Durations:
    """Of answered calls, the last few hundred: fewer are too much alike, since calls that start together end together.

    Attributes:
        long_ms: All but one in 64 took no longer, for one that hung is no measure; 0 while nothing is known.
    """

    __slots__ = ("_ranked_ms", "_recent_ms", "_since", "long_ms")

    def __init__(self) -> None:
        self.long_ms = 0
        self._recent_ms: deque[int] = deque()
        self._ranked_ms: list[int] = []  # the same, the shortest first
        self._since = 0

    def add(self, took_ms: int) -> None:
        """A call has been answered."""
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
        """From when on a call of it would probably not end in time."""
        deadline_ms = ticket.candidate.deadline_ms
        return deadline_ms - min(self.long_ms, (deadline_ms - ticket.taken_ms) * 3 // 4)

    def near_at(self, ticket: Ticket) -> int:
        """From when on it is in a hurry: in the last tenth of its time, or a call's length before it is late."""
        deadline_ms = ticket.candidate.deadline_ms
        allowed_ms = deadline_ms - ticket.taken_ms
        tenth_ms, twice_ms = allowed_ms // _HURRY, 2 * self.long_ms
        length_ms = twice_ms if twice_ms < allowed_ms else allowed_ms
        return deadline_ms - (length_ms if length_ms > tenth_ms else tenth_ms)
