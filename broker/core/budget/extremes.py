"""Extremes of one bucket's level curve over recent sends: highest right before a send, lowest right after one.

Each answer needs the extremes of a range that may span thousands of sends. So the extremes of each full block of sends
are stored, and a query costs one step for each whole block plus at most two partial ones.
"""

from typing import Final

BLOCK: Final = 16


class RangeExtremes:
    """Peaks and dips, in units, by the position of their send; the code that follows the sends appends to both."""

    __slots__ = ("_highest", "_lowest", "dips", "peaks")

    def __init__(self) -> None:
        self.peaks: list[int] = []  # the level right before each send, every charge rounded up
        self.dips: list[int] = []  # the level right after each send, every charge rounded down
        self._highest: list[int] = []  # the highest peak of each full block
        self._lowest: list[int] = []

    def __len__(self) -> int:
        return len(self.peaks)

    def cut(self, index: int) -> None:
        """Drop everything from that position on: it no longer holds."""
        del self.peaks[index:], self.dips[index:]
        del self._highest[index // BLOCK :], self._lowest[index // BLOCK :]

    def forget(self, sends: int) -> None:
        """Drop the oldest sends, in whole blocks."""
        assert sends % BLOCK == 0, "blocks are forgotten whole"
        del self.peaks[:sends], self.dips[:sends]
        del self._highest[: sends // BLOCK], self._lowest[: sends // BLOCK]

    def highest(self, first: int, stop: int) -> int:
        """Return the highest peak from `first` up to, not including, `stop`; `stop` must be greater."""
        if stop - first < BLOCK:
            return max(self.peaks[first:stop])
        self._note()
        left, right = -(-first // BLOCK), stop // BLOCK
        if left >= right:
            return max(self.peaks[first:stop])
        whole = self._highest[left:right]
        return max(self.peaks[first : left * BLOCK] + whole + self.peaks[right * BLOCK : stop])

    def lowest(self, first: int, stop: int) -> int:
        """Return the lowest dip from `first` up to, not including, `stop`; `stop` must be greater."""
        if stop - first < BLOCK:
            return min(self.dips[first:stop])
        self._note()
        left, right = -(-first // BLOCK), stop // BLOCK
        if left >= right:
            return min(self.dips[first:stop])
        whole = self._lowest[left:right]
        return min(self.dips[first : left * BLOCK] + whole + self.dips[right * BLOCK : stop])

    def _note(self) -> None:
        """Store the extremes of the blocks that have become full."""
        for stop in range((len(self._highest) + 1) * BLOCK, len(self.peaks) + 1, BLOCK):
            self._highest.append(max(self.peaks[stop - BLOCK : stop]))
            self._lowest.append(min(self.dips[stop - BLOCK : stop]))
