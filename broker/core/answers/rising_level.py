"""Rises of a level between two marks: a counter that begins anew shows none, two weighted counters do.

What is left of one counter only falls until its next mark, whatever others spend and calls are charged. Of two weighted
counters, the former window's charges cease to count all the time. Answers come in any order, and may state levels that
are some seconds old: the time until the mark tells which of two levels is later. Some servers state it as of the
answer, so the later level must be that of the later call as well.
"""

from typing import Final

RISES_MIN: Final = 3  # between two marks: fewer may be charges that were given back
SAME_PARTS: Final = 4  # of a window, marks that differ by less than one part in so many are the same,
SAME_MS: Final = 3_000  # and by less than this: resets of a bucket grow with what is used


class RisingLevel:
    """The rises that answers have shown of one limit."""

    __slots__ = ("_full_in_ms", "_left", "_mark_ms", "_rises", "_sent_ms")

    def __init__(self) -> None:
        self._mark_ms: int | None = None  # of the window of the last level, as its answer showed it
        self._full_in_ms = self._left = 0  # that level, or a lower one since
        self._sent_ms = 0  # when its call was sent
        self._rises = 0

    def observe(self, sent_ms: int, full_in_ms: int, left: int, window_ms: int) -> bool:
        """Process the level that the answer to a call sent then states, and the time until the mark.

        Return whether levels have risen between two marks.
        """
        mark_ms, known_ms, apart_ms = sent_ms + full_in_ms, self._mark_ms, min(SAME_MS, window_ms // SAME_PARTS)
        if known_ms is None or mark_ms - known_ms >= apart_ms:
            self._mark_ms, self._full_in_ms, self._left, self._sent_ms = mark_ms, full_in_ms, left, sent_ms
            self._rises = 0
        elif known_ms - mark_ms < apart_ms:
            later_ms, more, after_ms = self._full_in_ms - full_in_ms, left - self._left, sent_ms - self._sent_ms
            if (min(later_ms, more, after_ms) > 0) or (max(later_ms, more, after_ms) < 0):
                self._rises += 1
            if more < 0 or (more > 0 and later_ms > 0):
                self._full_in_ms, self._left, self._sent_ms = full_in_ms, left, sent_ms
        return self._rises >= RISES_MIN
