"""Where on the clock a counter begins anew: the phase of its marks.

A counter states how long until its next mark. An answer may come several windows later, so what counts is when its call
was sent: sending plus `reset` is the mark, less the time that the call took to the server. Over some calls these
instants, taken modulo the period, lie within one arc as wide as those times differ. Its end is the instant from which
on a call that is sent comes into the new window. Where `reset` is old or rounded they lie anywhere.
"""

from collections import deque
from dataclasses import dataclass
from operator import sub
from typing import Final

MARKS_MIN: Final = 8  # with so many, chance leaves three quarters of the circle empty once in two thousand times
MARKS_MAX: Final = 64  # all of these are slower by an eighth of the arc than the quickest once in 5,000 times
ARC_PARTS: Final = 4  # of the period, one part in so many may hold the marks
GAP_PARTS: Final = 4  # of the period, at least one part in so many is free of the newest marks, or they lie anywhere
OPEN_MAX: Final = 16  # times that further calls may be told
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
        gap_ms, first = _widest_gap(phases, period_ms)
        arc_ms, last = period_ms - gap_ms, phases[first - 1]
        if arc_ms * ARC_PARTS > period_ms:
            return None
        margin_ms = 1 + arc_ms // MARGIN_PARTS
        return Phase(now_ms + 1 + (last + margin_ms - now_ms - 1) % period_ms, arc_ms + 2 * margin_ms)


class NewestMarks:
    """The mark of a counter of some seconds, as those answers show it whose levels were new.

    A time until the mark that is rounded up, or some seconds old, points behind it, and the same one is told to many
    calls. The first of these was told a new one, or nearly. So the marks that these show lie within one arc.
    """

    __slots__ = ("_open", "_period_ms", "_phases")

    def __init__(self) -> None:
        self._period_ms = 0
        self._open: dict[int, int] = {}  # by the time stated last: the earliest mark that it has shown
        self._phases: deque[int] = deque(maxlen=MARKS_MAX)

    def observe(self, sent_ms: int, full_in_ms: int, period_ms: int) -> Phase | None:
        """Process the time that the answer to a call states; return a mark, and how far half of them differ.

        None: they lie anywhere.
        """
        if period_ms != self._period_ms:
            self._period_ms = period_ms
            self._open.clear()
            self._phases.clear()
        mark_ms = sent_ms + full_in_ms
        known_ms = self._open.pop(full_in_ms, None)
        if known_ms is not None and abs(mark_ms - known_ms) * GAP_PARTS < period_ms * (GAP_PARTS - 1):
            self._open[full_in_ms] = min(mark_ms, known_ms)
        else:
            self._open[full_in_ms] = mark_ms
            if known_ms is not None:
                self._phases.append(known_ms % period_ms)
            if len(self._open) > OPEN_MAX:
                self._phases.append(self._open.pop(next(iter(self._open))) % period_ms)
        phases = sorted([*self._phases, *[open_ms % period_ms for open_ms in self._open.values()]])
        gap_ms, first = _widest_gap(phases, period_ms)
        if gap_ms * GAP_PARTS < period_ms:
            return None
        count, begin_ms = len(phases), phases[first]

        def offset_ms(rank: int) -> int:
            return (phases[(first + rank) % count] - begin_ms) % period_ms

        middle_ms, spread_ms = offset_ms(count // 2), offset_ms(count * 3 // 4) - offset_ms(count // 4)
        return Phase(mark_ms - (mark_ms - begin_ms - middle_ms) % period_ms, spread_ms)


def _widest_gap(phases: list[int], period_ms: int) -> tuple[int, int]:
    """Return the widest gap between phases in order, around the circle, and the index of the one that it ends at."""
    gaps = [phases[0] + period_ms - phases[-1], *map(sub, phases[1:], phases)]
    gap_ms = max(gaps)
    return gap_ms, len(gaps) - 1 - gaps[::-1].index(gap_ms)
