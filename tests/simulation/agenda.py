"""Virtual time: what happens next, and whether anything is still to happen by itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush


@dataclass(slots=True)
class Agenda:
    """Events in the order of their instants, then of their being planned.

    Attributes:
        now_ms: The instant.
        work: How many planned events are work; the others (renewals, alarms) go on for ever and end nothing.
    """

    now_ms: int = 0
    work: int = 0
    _heap: list[tuple[int, int, bool, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0

    def plan(self, at_ms: int, action: Callable[[], None], *, work: bool = True) -> None:
        """Do this then, or at once if then is past."""
        self._order += 1
        self.work += work
        heappush(self._heap, (max(at_ms, self.now_ms), self._order, work, action))

    def next(self) -> bool:
        """Let the next event happen; False if there is none."""
        if not self._heap:
            return False
        self.now_ms, _, work, action = heappop(self._heap)
        self.work -= work
        action()
        return True
