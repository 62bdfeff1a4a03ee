"""What other clients have taken of a sliding window: their charges cease to count, as ours do.

An answer states the server's count right after its own call was admitted. What that exceeds our charges by was taken by
others: some of it is known already, the rest since the answers before. It ceases to count a period after its call was
sent, at the latest. Before, it stayed until another answer contradicted it: a burst that took a quarter of six seconds
kept that quarter unused for as long as no call was sent, and then until the answer to one had come.

Answers come late, and in any order. So each is compared with what counted when its own call was sent. If it finds more,
that is what later answers have shown, as far as that goes: it only came sooner.
"""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import sub
from typing import Final

REMEMBERED_MS: Final = 30_000  # for which charges that count no more are kept, for late answers
ENTRIES_MAX: Final = 256


class OthersCharges:
    """Bounds of what others have taken of one sliding window.

    Attributes:
        told: The least that counted when the call was sent whose answer came last.
    """

    __slots__ = ("_first", "_lasts_ms", "_least", "_most", "_now_ms", "_period_ms", "_taken_ms", "told")

    def __init__(self, period_ms: int) -> None:
        self.told = 0
        self._period_ms = self._lasts_ms = period_ms
        self._taken_ms: list[int] = []  # by which each was taken, in order; and the bounds of its amount
        self._least: list[int] = []
        self._most: list[int] = []
        self._first = 0  # the oldest that counts
        self._now_ms = 0

    def expire_after(self, lasts_ms: int) -> None:
        """Let each count for so long after its call was sent."""
        self._lasts_ms = lasts_ms

    def least(self, now_ms: int) -> int:
        """Return the least that counts at an instant."""
        self._forget(now_ms)
        return sum(self._least[self._first :])

    def most(self, now_ms: int) -> int:
        """Return the most that counts at an instant."""
        self._forget(now_ms)
        return sum(self._most[self._first :])

    def ends(self, now_ms: int) -> list[tuple[int, int]]:
        """Return the instants from now on from which less counts, and the most that counts then."""
        now_most = self.most(now_ms)
        until_ms = [taken_ms + self._lasts_ms for taken_ms in self._taken_ms[self._first :]]
        most = accumulate(self._most[self._first :], sub, initial=now_most)
        return list(zip([now_ms, *until_ms], most, strict=True))

    def observe(self, low: int, high: int, sent_ms: int) -> int | None:
        """Process an answer by which others had taken between `low` and `high` when its call was sent.

        Return 0 if it agrees with what is known, or by how much more (negative) or less they had taken.
        """
        begin = bisect_right(self._taken_ms, sent_ms - self._period_ms)
        end = bisect_right(self._taken_ms, sent_ms)
        least, most = sum(self._least[begin:end]), sum(self._most[begin:end])
        error = 0
        if low > most:
            error = most - low
            self._add(sent_ms, min(low - least, high - most), high - most)
        elif high < least:
            error = least - high
            self._lower(range(begin, end), most - high, least - low)
        else:
            self._narrow(range(end - 1, begin - 1, -1), most - high, low - least)
        self.told = max(0, low if error else max(low, least))
        return error

    def widen(self, excess: int, sent_ms: int) -> None:
        """Let the bounds be further apart: a call sent then proves to be counted with so much more than its charge."""
        if excess > 0:
            self._insert(sent_ms, 0, excess)
            return
        for index in range(len(self._least) - 1, -1, -1):
            given = min(-excess, self._least[index])
            self._least[index] -= given
            excess += given

    def _add(self, sent_ms: int, least: int, most: int) -> None:
        """Add what was taken by then: first what later answers have shown, which counted when their calls were sent."""
        index = bisect_right(self._taken_ms, sent_ms)
        left = most
        while left and index < len(self._taken_ms) and self._taken_ms[index] < sent_ms + self._period_ms:
            moved = min(left, self._most[index])
            self._most[index] -= moved
            self._least[index] = min(self._least[index], self._most[index])
            left -= moved
            index += 1
        self._insert(sent_ms, least, most)

    def _insert(self, sent_ms: int, least: int, most: int) -> None:
        index = bisect_left(self._taken_ms, sent_ms)
        self._taken_ms.insert(index, sent_ms)
        self._least.insert(index, least)
        self._most.insert(index, most)
        self._first = 0
        if len(self._taken_ms) > ENTRIES_MAX:
            self._drop(1)

    def _lower(self, indexes: range, most: int, least: int) -> None:
        """Lower the bounds of these together, the oldest first: it may have ceased to count."""
        for index in indexes:
            if most <= 0 and least <= 0:
                return
            given = min(max(0, most), self._most[index])
            self._most[index] -= given
            most -= given
            given = min(max(0, least), self._least[index])
            least -= given
            self._least[index] = min(self._least[index] - given, self._most[index])

    def _narrow(self, indexes: range, most: int, least: int) -> None:
        """Lower the upper bounds and raise the lower ones, the newest first: they have been bounded by few answers."""
        for index in indexes:
            if most <= 0 and least <= 0:
                return
            given = min(max(0, most), self._most[index] - self._least[index])
            self._most[index] -= given
            most -= given
            given = min(max(0, least), self._most[index] - self._least[index])
            self._least[index] += given
            least -= given

    def _forget(self, now_ms: int) -> None:
        if now_ms < self._now_ms:
            self._first = 0
        self._now_ms = now_ms
        while self._first < len(self._taken_ms) and self._taken_ms[self._first] + self._lasts_ms <= now_ms:
            self._first += 1
        if self._first and self._taken_ms[0] + self._lasts_ms + REMEMBERED_MS <= now_ms:
            self._drop(bisect_right(self._taken_ms, now_ms - self._lasts_ms - REMEMBERED_MS))

    def _drop(self, count: int) -> None:
        del self._taken_ms[:count], self._least[:count], self._most[:count]
        self._first = max(0, self._first - count)


class OthersInterval:
    """Bounds of what others have taken of a limit of two counters, which each answer narrows or replaces.

    In place of `OthersCharges`, whose amounts are none below zero. Here they seem to have given some where the server
    counts less than our prices: that is so in each window, and no charge that will expire.

    Attributes:
        told: The lower bound.
    """

    __slots__ = ("_high", "_set_ms", "told")

    def __init__(self) -> None:
        self.told = self._high = 0
        self._set_ms = -1  # when the call was sent whose answer has set them

    def expire_after(self, lasts_ms: int) -> None:
        """Do nothing: they count until an answer contradicts them."""

    def least(self, now_ms: int) -> int:
        """Return the least that counts."""
        return self.told

    def most(self, now_ms: int) -> int:
        """Return the most that counts."""
        return self._high

    def ends(self, now_ms: int) -> list[tuple[int, int]]:
        """Return the most that counts from now on."""
        return [(now_ms, self._high)]

    def observe(self, low: int, high: int, sent_ms: int) -> int | None:
        """Process an answer by which others had taken between `low` and `high`; return as `OthersCharges` does.

        None: it contradicts the answer to a call that was sent later, which knows better.
        """
        if low <= self._high and self.told <= high:
            if sent_ms < self._set_ms:
                return 0
            self.told, self._high = max(low, self.told), min(high, self._high)
            return 0
        if sent_ms < self._set_ms:
            return None
        self._set_ms = sent_ms
        error = self._high - low if low > self._high else self.told - high
        self.told, self._high = low, high
        return error

    def widen(self, excess: int, sent_ms: int) -> None:
        """Let the bounds be further apart: a call proves to be counted with so much more than its charge."""
        self.told += min(0, excess)
        self._high += max(0, excess)
