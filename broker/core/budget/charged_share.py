"""Upper bound of the share of calls' tokens that a window counts, from the levels in headers.

A server may leave out a part of what a call carries, such as input that a cache holds, and names no charge unless it
refuses a call. But the last admitted of several calls of one window finds all of them counted. Which one that was is
not known; what it found in use is at most the largest figure among their answers. So the charges of all of them are no
more than that, whatever else the window counts: other clients' spending only makes the bound weaker.

A bucket shows no share in this way: what it was charged flows in again, and the next answer corrects its mirror. A
window keeps each charge until its end, also in answers that came before it was known to be a window. But a bucket of a
second or two is refilled before an answer comes, and it is full when most calls reach it. Such a call alone is in use
then. So where many calls show the same share of what they carried, and none shows less, it is taken for that of every
call, until a refusal names a charge: a server that counts what a cache does not hold shows another share for each.

Where answers show several windows by turns, the calls whose answers show another one count as well: see `_bound`.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from headrace.broker.core.answers.refill_detection import BUCKET, SHORT_MS
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.sent_calls import AdmissionOrder
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from headrace.broker.core.units import PPM

SAMPLES_MAX: Final = 64  # bounds, or shares of calls to a short bucket
APART_PARTS: Final = 8  # a sample every so many answers, or after one part in so many of those it looks at, if more
CALLS_MAX: Final = 8_192  # answers that a sample looks at
USED_PARTS: Final = 4  # our calls carry at least one part in this many of the window, so that few units matter little

ALONE_MIN: Final = 16  # of `SAMPLES_MAX` calls, so many show the least share of all: they found a full bucket
ALIKE_PPM: Final = 20_000  # shares that differ by so much are the same, for charges are whole tokens
CARRIED_MIN: Final = 100  # a smaller call shows its share less exactly than that

_UNSHOWN: Final = -1

_Answer = tuple[int, int, int]
"""When a call was sent, what it carried, and what was in use; `_UNSHOWN`: its answer shows another window."""


class ChargedShare:
    """The share of what calls carried that one window was charged at most.

    Attributes:
        ppm: The share, the least of the last samples, at least 1; None: no answer has shown one.
    """

    __slots__ = ("_alone", "_answered", "_ppm", "_unsampled", "ppm")

    def __init__(self) -> None:
        self.ppm: int | None = None
        self._ppm: deque[int] = deque(maxlen=SAMPLES_MAX)
        self._answered: list[_Answer] = []
        self._unsampled = 0  # answers since the last sample
        self._alone: deque[int] = deque(maxlen=SAMPLES_MAX)  # the shares that calls show at most, of a short bucket

    def observe(self, mirror: AnyMirror, carried: int, remaining: int, order: AdmissionOrder, oldest_ms: int) -> bool:
        """Process a level that headers show: `remaining` was left after a call that carried `carried`, in tokens.

        Return whether the share may have changed. `oldest_ms`: when the oldest call without an answer was sent.
        """
        if remaining <= 0:
            return False
        if mirror.refill is BUCKET and mirror.period_ms <= SHORT_MS:
            return mirror.step == 1 and self._observe_alone(carried, mirror.capacity - remaining)
        answered = self._answered
        insort(answered, (order.sent_ms, carried, mirror.capacity - remaining + 1))
        self._unsampled += 1
        if self._unsampled < max(APART_PARTS, len(answered) // APART_PARTS):
            return False
        self._unsampled = 0
        gone_ms = min(oldest_ms, order.sent_ms) - mirror.period_ms
        del answered[: max(bisect_left(answered, (gone_ms,)), len(answered) - CALLS_MAX)]
        ends_ms = () if mirror.refill is BUCKET else (oldest_ms, answered[-1][0] + 1)
        windows = [_of_window(mirror, answered, end_ms, order.delay_ms) for end_ms in ends_ms]
        if mirror.step == 1 and any(map(_is_stale, windows)):
            self._ppm.clear()
            self.ppm = None
            return True
        known = [bound for each in windows if (bound := _bound(each, mirror.capacity, order.delay_ms)) is not None]
        if known:
            self._ppm.append(min(known))
            self.ppm = min(self._ppm)
        return bool(known)

    def record_unshown(self, carried: int, order: AdmissionOrder) -> None:
        """Record a call that the window counts, whose answer shows another one."""
        insort(self._answered, (order.sent_ms, carried, _UNSHOWN))
        del self._answered[: max(0, len(self._answered) - CALLS_MAX)]

    def _observe_alone(self, carried: int, used: int) -> bool:
        """Process what is in use of a short bucket right after a call."""
        if carried < CARRIED_MIN or used <= 0 or used > carried + carried * ALIKE_PPM // PPM:
            return False  # it shows nothing, or was not alone
        self._alone.append(max(1, used * PPM // carried))
        self._unsampled += 1
        if self._unsampled < ALONE_MIN:
            return False
        self._unsampled = 0
        least = min(self._alone)
        alike = [ppm for ppm in self._alone if (ppm - least) * PPM <= least * ALIKE_PPM]
        if len(alike) < ALONE_MIN:
            return False
        self.ppm = max(alike)
        return True


def _of_window(mirror: AnyMirror, answered: list[_Answer], end_ms: int, delay_ms: int) -> list[_Answer]:
    """Return those of the last window that were sent before `end_ms` and, when the last of them came, all counted."""
    if isinstance(mirror, FixedWindowMirror | TwoCounterMirror):
        begun_ms = mirror.begun_ms(end_ms - 1)
        if isinstance(mirror, FixedWindowMirror) and mirror.spread_ms is not None:
            delay_ms = min(delay_ms, mirror.spread_ms)
        end_ms = min(end_ms, begun_ms + mirror.period_ms - delay_ms)
    else:
        begun_ms = end_ms - mirror.period_ms + delay_ms
    return answered[bisect_left(answered, (begun_ms,)) : bisect_left(answered, (end_ms,))]


def _is_stale(window: list[_Answer]) -> bool:
    """Return whether three calls in a row have shown the same, as if they had not been charged; two may by chance."""
    shown = [used for _, _, used in window if used != _UNSHOWN]
    return any(one == other == third for one, other, third in zip(shown, shown[1:], shown[2:], strict=False))


def _bound(window: list[_Answer], capacity: int, delay_ms: int) -> int | None:
    """Return what its calls were charged at most, of what they carried; None: that says little.

    Where other answers show another window, the last call that was admitted may be one of theirs. Then only those count
    that were admitted before the last one whose answer shows this window.
    """
    if any(used == _UNSHOWN for _, _, used in window):
        window = _before_last_shown(window, delay_ms)
    carried = sum(carried for _, carried, _ in window)
    if carried * USED_PARTS < capacity:
        return None
    return max(1, max(used for _, _, used in window) * PPM // carried)


def _before_last_shown(window: list[_Answer], delay_ms: int) -> list[_Answer]:
    """Return the last call whose answer shows this window, and all that were admitted before it for certain."""
    last = next((each for each in reversed(window) if each[2] != _UNSHOWN), None)
    if last is None:
        return []
    return [*window[: bisect_left(window, (last[0] - delay_ms,))], last]
