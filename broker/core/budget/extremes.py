"""How one bucket's level has moved over the calls sent of late: highest right before a send, lowest right after one.

Each answer asks for the extremes of a stretch that may be thousands of sends long, so each full block of them has its
extremes noted, and a stretch costs its blocks and at most two broken ones.
"""

from typing import Final

BLOCK: Final = 16


class RangeExtremes:
    """Peaks and dips, in units, by the place of their send; who follows the sends appends to both."""

    __slots__ = ("_highest", "_lowest", "dips", "peaks")

    def __init__(self) -> None:
        self.peaks: list[int] = []  # right before each send, every charge rounded up
        self.dips: list[int] = []  # right after each send, every charge rounded down
        self._highest: list[int] = []  # of each full block of peaks
        self._lowest: list[int] = []

    def __len__(self) -> int:
        return len(self.peaks)

    def cut(self, place: int) -> None:
        """What was noted from that send on holds no longer."""
        del self.peaks[place:], self.dips[place:]
        del self._highest[place // BLOCK :], self._lowest[place // BLOCK :]

    def forget(self, sends: int) -> None:
        """The oldest are gone: whole blocks of them."""
        assert sends % BLOCK == 0, "blocks are forgotten whole"
        del self.peaks[:sends], self.dips[:sends]
        del self._highest[: sends // BLOCK], self._lowest[: sends // BLOCK]

    def highest(self, first: int, stop: int) -> int:
        """The highest peak from `first` up to `stop`, which is above it."""
        if stop - first < BLOCK:
            return max(self.peaks[first:stop])
        self._note()
        left, right = -(-first // BLOCK), stop // BLOCK
        if left >= right:
            return max(self.peaks[first:stop])
        whole = self._highest[left:right]
        return max(self.peaks[first : left * BLOCK] + whole + self.peaks[right * BLOCK : stop])

    def lowest(self, first: int, stop: int) -> int:
        """The lowest dip from `first` up to `stop`, which is above it."""
        if stop - first < BLOCK:
            return min(self.dips[first:stop])
        self._note()
        left, right = -(-first // BLOCK), stop // BLOCK
        if left >= right:
            return min(self.dips[first:stop])
        whole = self._lowest[left:right]
        return min(self.dips[first : left * BLOCK] + whole + self.dips[right * BLOCK : stop])

    def _note(self) -> None:
        """The blocks that have become full have their extremes noted."""
        for stop in range((len(self._highest) + 1) * BLOCK, len(self.peaks) + 1, BLOCK):
            self._highest.append(max(self.peaks[stop - BLOCK : stop]))
            self._lowest.append(min(self.dips[stop - BLOCK : stop]))
