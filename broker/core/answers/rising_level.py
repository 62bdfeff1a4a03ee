"""Rises of a level between two marks: a counter that begins anew shows none, two weighted counters do.

What is left of one counter only falls until its next mark, whatever others spend and calls are charged. Of two weighted
counters, the former window's charges cease to count all the time. Answers come in any order, and may state levels that
are some seconds old. But the time until the mark was looked up with the level, so it tells which of two levels is
later.
"""

from typing import Final

RISES_MIN: Final = 3  # fewer may be charges that were given back
SAME_PARTS: Final = 4  # of a window, marks that differ by less than one part in so many are the same,
SAME_MS: Final = 3_000  # and by less than this: resets of a bucket grow with what is used


class RisingLevel:
    """The rises that answers have shown of one limit."""

    __slots__ = ("_full_in_ms", "_left", "_mark_ms", "_rises")

    def __init__(self) -> None:
        self._mark_ms: int | None = None  # of the window of the last level, as its answer showed it
        self._full_in_ms = self._left = 0  # that level, or a lower one since
        self._rises = 0

    def observe(self, mark_ms: int, full_in_ms: int, left: int, window_ms: int) -> bool:
        """Process a level, the time until the mark, and that mark; return whether levels have risen between marks."""
        known_ms, apart_ms = self._mark_ms, min(SAME_MS, window_ms // SAME_PARTS)
        if known_ms is None or mark_ms - known_ms >= apart_ms:
            self._mark_ms, self._full_in_ms, self._left = mark_ms, full_in_ms, left
        elif known_ms - mark_ms < apart_ms:
            later_ms, more = self._full_in_ms - full_in_ms, left - self._left
            if (later_ms > 0 and more > 0) or (later_ms < 0 and more < 0):
                self._rises += 1
            if more < 0 or (more > 0 and later_ms > 0):
                self._full_in_ms, self._left = full_in_ms, left
        return self._rises >= RISES_MIN
