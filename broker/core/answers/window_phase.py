"""Where on the clock a counter begins anew: the phase of its marks.

A counter states how long until its next mark. An answer may come several windows later, so what counts is when its call
was sent: sending plus `reset` is the mark, less the time that the call took to the server. Over some calls these
instants, taken modulo the period, lie within one arc as wide as those times differ. Its end is the instant from which
on a call that is sent comes into the new window. Where `reset` is old or rounded they lie anywhere.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

MARKS_MIN: Final = 8  # with so many, chance leaves three quarters of the circle empty once in two thousand times
MARKS_MAX: Final = 64  # all of these are slower by an eighth of the arc than the quickest once in 5,000 times
ARC_PARTS: Final = 4  # of the period, one part in so many may hold the marks
MARGIN_PARTS: Final = 8  # of that arc: the next call may be quicker than any of these


@dataclass(frozen=True, slots=True)
class Phase:
    """The next mark of a counter by the sending of calls: one sent up to `spread_ms` before it may come after it."""

    mark_ms: int
    spread_ms: int


class WindowPhase:
    """The marks of the last answers."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: deque[int] = deque(maxlen=MARKS_MAX)

    def observe(self, mark_ms: int) -> None:
        """Process the sending time of a call plus the `reset` that its answer states."""
        self._marks.append(mark_ms)

    def next_mark(self, period_ms: int, now_ms: int) -> Phase | None:
        """Return the next mark of windows of that period; None while they lie anywhere."""
        if len(self._marks) < MARKS_MIN:
            return None
        phases = sorted({mark_ms % period_ms for mark_ms in self._marks})
        former = [phases[-1] - period_ms, *phases]
        gap_ms, last = max((phase - before, before) for before, phase in zip(former, phases, strict=False))
        arc_ms = period_ms - gap_ms
        if arc_ms * ARC_PARTS > period_ms:
            return None
        margin_ms = 1 + arc_ms // MARGIN_PARTS
        return Phase(now_ms + 1 + (last + margin_ms - now_ms - 1) % period_ms, arc_ms + 2 * margin_ms)
