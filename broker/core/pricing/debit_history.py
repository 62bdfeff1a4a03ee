"""How a limit's level should have moved by our own calls: what charge laws are held against.

An answer tells what remained of the limit right after its call. From there a law predicts what remained after a later
call: what was there, and what flowed in, never above a full bucket, and less what it says our calls between took. The
prediction is as sure as our knowledge of when and in which order calls came in: ways to the server differ by `WAY_MS`
or more, and what was sent so close to either end may have come before or after it. So it is an interval.

Others spend as well. So a law is wrong whose prediction lies below what remained; one whose prediction lies above may
be right all the same. A first answer has no other before it; but no bucket is more than full, which bounds its charge.

Kept in columns, a column for each law, with running sums: where the bucket was never full, a span of any length costs
the same.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from operator import sub
from typing import Final

from broker.core.units import ROUNDING_TOKENS

WAY_MS: Final = 25  # by so much the ways to the server's limiter differ, as a rule
WAYS_MS: Final = (WAY_MS, 50, 100, 200, 400)  # or by so much, where the way is long
DEBITS_MAX: Final = 512
SPANS_MAX: Final = 8  # looked at for one answer, each about twice as long as the one before
STEPS_MAX: Final = 64  # calls without an answer that are passed over in search of the next

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DebitSpan:
    """From one answer to another: what remained, and what each law predicts.

    Attributes:
        start: The number of the debit it begins after; -1: it has none before it.
        end: The number of the debit it ends with.
        calls: Debits between that count, the loose ones included.
        remaining: What the server says.
        predicted: What a column predicts at least and at most: reckoned when asked for, which is before the next debit.
    """

    start: int
    end: int
    calls: int
    remaining: int
    predicted: Callable[[int], tuple[int, int]]

    def excess(self, column: int) -> int:
        """By how much a column takes more than the server did; negative: less; 0: it may be right."""
        low, high = self.predicted(column)
        slack = ROUNDING_TOKENS * self.calls
        if high + slack < self.remaining:
            return self.remaining - high
        if low - slack > self.remaining:
            return self.remaining - low
        return 0


@dataclass(frozen=True, slots=True)
class _Edges:
    """Places of the debits of a span: `start` and `end`, and around each those that may belong to either side."""

    left: int
    start: int
    first: int
    last: int
    end: int
    right: int


@dataclass(frozen=True, slots=True)
class _Basin:
    """A bucket that may have been full on the way; `came` by the time of each debit between the loose ones."""

    capacity: int
    period_ms: int
    came: list[int]


@dataclass(slots=True)
class _Levels:
    """Where it stands then, in tokens x ms: at most and at least."""

    at_ms: int
    high: int
    low: int


class DebitHistory:
    """Debits in order of time, each with a figure for every column, and what remained after some of them."""

    def __init__(self, columns: int, *, of_ends: bool = False) -> None:
        """`of_ends`: calls are debited when sent and when they end; the second column counts the former alone."""
        self._of_ends = of_ends
        self._at_ms: list[int] = []
        self._tokens: list[Tokens] = []
        self._sums: list[list[int]] = [[0] for _ in range(columns)]  # of all debits before; made up to date when needed
        self._unsure: list[int] = []  # numbers of those that may never have happened, or are not ours to price
        self._remaining: dict[int, int] = {}  # by number, of those after which it was told
        self._forgotten = 0

    def debit(self, at_ms: int, tokens: Tokens, *, sure: bool = True) -> int:
        """A debit now; returns its number."""
        count = len(self._at_ms)
        if count >= 2 * DEBITS_MAX:  # halved now and then: cheaper than dropping one each time
            self._forgotten += DEBITS_MAX
            self._sum_up()
            for column in (self._at_ms, *self._sums):
                del column[:DEBITS_MAX]
            del self._tokens[:DEBITS_MAX], self._unsure[: bisect_left(self._unsure, self._forgotten)]
            self._remaining = {number: left for number, left in self._remaining.items() if number >= self._forgotten}
            count -= DEBITS_MAX
        number = self._forgotten + count
        self._at_ms.append(at_ms)
        self._tokens.append(tokens)
        if not sure:
            self._unsure.append(number)
        return number

    def strike(self, number: int) -> None:
        """That debit did not happen."""
        place = number - self._forgotten
        if place >= 0:
            self._tokens[place] = (0,) * len(self._sums)
            for column in self._sums:
                del column[place + 1 :]

    def doubt(self, number: int) -> None:
        """Nobody will ever know whether that debit happened."""
        if number >= self._forgotten:
            insort(self._unsure, number)

    def observe(self, number: int, remaining: int) -> None:
        """So much remained right after that debit."""
        if number >= self._forgotten:
            self._remaining[number] = remaining

    def forget_remaining(self) -> None:
        """Another limit holds from now on: what remained of the old one says nothing of it."""
        self._remaining.clear()

    def totals(self) -> Tokens:
        """The sum of every column, of all debits there ever were."""
        self._sum_up()
        return tuple(column[-1] for column in self._sums)

    def spans(self, number: int, capacity: int, period_ms: int, way_ms: int = WAY_MS) -> Iterator[DebitSpan]:
        """The spans that end with that debit, which was observed, the shortest first; if ways differ by so much."""
        end = number - self._forgotten
        if end < 0 or self._has_unsure(end - 1, end):
            return
        self._sum_up()
        start = self._seen_before(end, self._at_ms[end] - 2 * way_ms - 1)
        if start is None:
            yield self._alone(end, capacity)
        for _ in range(SPANS_MAX):
            if start is None or self._has_unsure(start, end):
                return
            yield self._span(start, end, capacity, period_ms, way_ms)
            start = self._seen_before(end - 2 * (end - start) + 1, self._at_ms[end])

    def _seen_before(self, place: int, until_ms: int) -> int | None:
        """The last debit before `place`, and not after an instant, after which it is known what remained."""
        place = min(place, bisect_right(self._at_ms, until_ms))
        for earlier in range(place - 1, max(-1, place - 1 - STEPS_MAX), -1):
            if self._forgotten + earlier in self._remaining:
                return earlier
        return None

    def _alone(self, end: int, capacity: int) -> DebitSpan:
        """One call, of which nothing is known but that it found a bucket that was no more than full."""
        tokens = self._tokens[end]
        return DebitSpan(-1, self._forgotten + end, 1, self._known(end), lambda column: (0, capacity - tokens[column]))

    def _span(self, start: int, end: int, capacity: int, period_ms: int, way_ms: int) -> DebitSpan:
        at_ms = self._at_ms
        edges = _Edges(
            left=bisect_left(at_ms, at_ms[start] - way_ms),
            start=start,
            first=bisect_right(at_ms, at_ms[start] + way_ms),
            last=bisect_left(at_ms, at_ms[end] - way_ms),
            end=end,
            right=bisect_right(at_ms, at_ms[end] + way_ms),
        )
        slack = capacity * way_ms // period_ms + 1
        level = self._known(start) + capacity * (at_ms[end] - at_ms[start]) // period_ms
        if level + slack <= capacity:
            predicted = partial(self._never_full, edges, level, slack)
        else:
            came = [capacity * debited_ms for debited_ms in at_ms[edges.first : edges.last]]
            predicted = partial(self._maybe_full, edges, _Basin(capacity, period_ms, came), slack)
        calls = edges.right - edges.left - 1
        return DebitSpan(self._forgotten + start, self._forgotten + end, calls, self._known(end), predicted)

    def _never_full(self, edges: _Edges, level: int, slack: int, column: int) -> tuple[int, int]:
        """Levels at the end with and without the loose debits, by sums."""
        sums, taken = self._sums[column], self._tokens[edges.end][column]
        sure = sums[edges.last] - sums[edges.first] + taken
        around = sums[edges.first] - sums[edges.left] + sums[edges.right] - sums[edges.last]
        loose = around - taken - self._tokens[edges.start][column]
        if self._of_ends:  # what is sent when an answer is there comes after it, however long the way
            sent = self._sums[1][edges.first] - self._sums[1][edges.start + 1]
            sure, loose = sure + sent, loose - sent
        return level - sure - loose - slack, level - sure + slack

    def _maybe_full(self, edges: _Edges, basin: _Basin, slack: int, column: int) -> tuple[int, int]:
        """The same where a full bucket may have lost what flowed in: step by step near both ends, at once between."""
        level = self._known(edges.start) * basin.period_ms
        levels = _Levels(self._at_ms[edges.start], level, level)
        self._steps(basin, levels, edges, range(edges.left, edges.first), column)
        if basin.came:
            self._run(basin, levels, edges, column)
        self._steps(basin, levels, edges, range(edges.last, edges.right), column)
        return levels.low // basin.period_ms - slack, levels.high // basin.period_ms + slack

    def _steps(self, basin: _Basin, levels: _Levels, edges: _Edges, places: range, column: int) -> None:
        """Debits near an end, one by one: each may belong to the other side. The one at the start is in already."""
        capacity, period_ms = basin.capacity, basin.period_ms
        full, high, low, before_ms = capacity * period_ms, levels.high, levels.low, levels.at_ms
        from_ms, until_ms = self._at_ms[edges.start], self._at_ms[edges.end]
        for place in places:
            if place == edges.start:
                continue
            now_ms, tokens = self._at_ms[place], self._tokens[place]
            now_ms = from_ms if now_ms < from_ms else until_ms if now_ms > until_ms else now_ms
            if place == edges.end:
                certain = tokens[column]
            else:
                certain = tokens[1] if self._of_ends and edges.start < place < edges.first else 0
            gain = capacity * (now_ms - before_ms)
            high, low = high + gain, low + gain
            high = (high if high < full else full) - certain * period_ms
            low = (low if low < full else full) - tokens[column] * period_ms
            before_ms = now_ms
        levels.high, levels.low, levels.at_ms = high, low, before_ms

    def _run(self, basin: _Basin, levels: _Levels, edges: _Edges, column: int) -> None:
        """All debits from the first to before the last of which nobody doubts the order.

        After steps of `min(full, level + gain) - taken` a level is what it would be without a brim, or what it would be
        had it been full at the one debit where that leaves least.
        """
        capacity, period_ms, until_ms = basin.capacity, basin.period_ms, self._at_ms[edges.last - 1]
        sums = self._sums[column]
        taken = period_ms * sums[edges.last]
        freely = capacity * (until_ms - levels.at_ms) - taken + period_ms * sums[edges.first]
        brim = max(map(sub, basin.came, [period_ms * before for before in sums[edges.first : edges.last]]))
        at_most = capacity * period_ms + capacity * until_ms - taken - brim
        levels.high = min(levels.high + freely, at_most)
        levels.low = min(levels.low + freely, at_most)
        levels.at_ms = until_ms

    def _has_unsure(self, start: int, end: int) -> bool:
        """Whether nobody knows of a debit after `start` up to `end`."""
        first = bisect_right(self._unsure, self._forgotten + start)
        return first < len(self._unsure) and self._unsure[first] <= self._forgotten + end

    def _sum_up(self) -> None:
        """Bring the sums up to the last debit."""
        summed = len(self._sums[0]) - 1
        for column, tokens in zip(self._sums, zip(*self._tokens[summed:], strict=True), strict=False):
            column.extend(islice(accumulate(tokens, initial=column[-1]), 1, None))

    def _known(self, place: int) -> int:
        return self._remaining[self._forgotten + place]
