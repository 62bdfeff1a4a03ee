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
NARROW_PARTS: Final = 8  # of the period, one part in so many holds most of the newest marks, or they show no counter
MOST_PARTS: Final = (3, 4)  # others were first heard of by a later call than the one that was told them first
WHOLE_MS: Final = 1_000  # times are rounded to multiples of it
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
        return _next(last, arc_ms, period_ms, now_ms)


class NewestMarks:
    """The mark of a counter of some seconds, as those answers show it whose levels were new.

    A time until the mark that is rounded up, or some seconds old, points behind it, and the same one is told to many
    calls. The first of these was told a new one, or nearly. So the marks that these show lie within one arc.

    Attributes:
        is_whole: All times were whole seconds.
    """

    __slots__ = ("_open", "_period_ms", "_phases", "is_whole")

    def __init__(self) -> None:
        self.is_whole = True
        self._period_ms = 0
        self._open: dict[tuple[int, int], int] = {}  # by what was stated last: the earliest mark that it has shown
        self._phases: deque[int] = deque(maxlen=MARKS_MAX)

    def observe(self, sent_ms: int, full_in_ms: int, remaining: int, period_ms: int) -> None:
        """Process what the answer to a call states: a level, and the time until the mark.

        Whole seconds come again in the next window; any other figures together, not within minutes.
        """
        if period_ms != self._period_ms:
            self._period_ms = period_ms
            self._open.clear()
            self._phases.clear()
        mark_ms, is_whole = sent_ms + full_in_ms, full_in_ms % WHOLE_MS == 0
        stated = full_in_ms, 0 if is_whole else remaining
        self.is_whole = self.is_whole and is_whole
        known_ms = self._open.pop(stated, None)
        again = is_whole and known_ms is not None and abs(mark_ms - known_ms) * GAP_PARTS >= period_ms * (GAP_PARTS - 1)
        if known_ms is not None and again:
            self._phases.append(known_ms % period_ms)
        self._open[stated] = mark_ms if known_ms is None or again else min(mark_ms, known_ms)
        if len(self._open) > OPEN_MAX:
            self._phases.append(self._open.pop(next(iter(self._open))) % period_ms)

    def middle(self, mark_ms: int) -> Phase | None:
        """Return the last mark up to the one that an answer shows, and how far half of them differ.

        None: they lie anywhere.
        """
        period_ms, phases = self._period_ms, self._sorted()
        gap_ms, first = _widest_gap(phases, period_ms)
        if gap_ms * GAP_PARTS < period_ms:
            return None
        count, begin_ms = len(phases), phases[first]

        def offset_ms(rank: int) -> int:
            return (phases[(first + rank) % count] - begin_ms) % period_ms

        middle_ms, spread_ms = offset_ms(count // 2), offset_ms(count * 3 // 4) - offset_ms(count // 4)
        return Phase(mark_ms - (mark_ms - begin_ms - middle_ms) % period_ms, spread_ms)

    def next_mark(self, now_ms: int) -> Phase | None:
        """Return the next mark, by the narrowest arc that holds most of them; None while they lie anywhere."""
        period_ms, phases = self._period_ms, self._sorted()
        count = len(phases)
        if count < MARKS_MIN:
            return None
        beyond = -(-count * MOST_PARTS[0] // MOST_PARTS[1]) - 1  # the rank of the last in the arc, from its first
        around = [*phases, *[phase + period_ms for phase in phases]]
        arc_ms, last = min(zip(map(sub, around[beyond:], phases), around[beyond:], strict=False))
        return None if arc_ms * NARROW_PARTS > period_ms else _next(last, arc_ms, period_ms, now_ms)

    def _sorted(self) -> list[int]:
        return sorted([*self._phases, *[open_ms % self._period_ms for open_ms in self._open.values()]])


def _next(last: int, arc_ms: int, period_ms: int, now_ms: int) -> Phase:
    """Return the next mark after an arc that ends at the phase `last`."""
    margin_ms = 1 + arc_ms // MARGIN_PARTS
    return Phase(now_ms + 1 + (last + margin_ms - now_ms - 1) % period_ms, arc_ms + 2 * margin_ms)


def _widest_gap(phases: list[int], period_ms: int) -> tuple[int, int]:
    """Return the widest gap between phases in order, around the circle, and the index of the one that it ends at."""
    gaps = [phases[0] + period_ms - phases[-1], *map(sub, phases[1:], phases)]
    gap_ms = max(gaps)
    return gap_ms, len(gaps) - 1 - gaps[::-1].index(gap_ms)
