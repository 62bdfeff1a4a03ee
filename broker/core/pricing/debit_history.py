"""Changes of a limit's level that our own calls should have caused: the test data for charge laws.

An answer states what remained of the limit right after its call. From there a law predicts what remained after a later
call: the earlier level, plus the inflow, never above a full bucket, less the charges that it gives for our calls in
between. The prediction is as certain as our knowledge of when and in which order the calls arrived: delays to the
server differ by `DELAY_DIFFERENCE_MS` or more, and a call sent that close to either end may have arrived before or
after it. So the prediction is an interval.

Other clients spend as well. So a law whose prediction lies below what remained is wrong; one whose prediction lies
above may be right all the same. A first answer has none before it; but no bucket is more than full, which bounds the
charge of its call.

Kept in columns, one for each law, with running sums: where the bucket was never full, a span of any length costs the
same.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, islice
from operator import sub
from typing import Final

from headrace.broker.core.answers.refill_detection import BUCKET, FIXED, Refill, RefillPattern
from headrace.broker.core.pricing.counted_debits import Debits, counted, former_debits, returned
from headrace.broker.core.units import ROUNDING_TOKENS

DELAY_DIFFERENCE_MS: Final = 25  # usual difference between the delays of two calls to the server's limiter
DELAY_DIFFERENCES_MS: Final = (DELAY_DIFFERENCE_MS, 50, 100, 200, 400)  # the larger ones where delays are long
DEBITS_MAX: Final = 512
DEBITS_MAX_SLIDING: Final = 8_192  # where charges expire, those of a whole period matter
SPANS_MAX: Final = 8  # spans examined for one answer, each about twice as long as the one before
SPANS_MAX_ROUNDED: Final = 10  # where figures are rounded, only what many calls have taken shows
STEPS_MAX: Final = 64  # calls without an answer that a search for the next answer passes over

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DebitSpan:
    """A span from one answer to another: what remained, and what each law predicts.

    Attributes:
        start: The number of the debit that it begins after; -1: there is none before it.
        end: The number of the debit that it ends with.
        calls: The number of debits between, including those that may lie on either side.
        remaining: The server's figure at the end.
        predicted: Returns a column's lowest and highest prediction; must be called before the next debit.
        step: The figures at both ends are rounded to multiples of it.
        bounds: It bounds the charges from above alone: a law that charges less than was taken is not refuted.
    """

    start: int
    end: int
    calls: int
    remaining: int
    predicted: Callable[[int], tuple[int, int]]
    step: int = 1
    bounds: bool = False

    def excess(self, column: int) -> int:
        """Return how many tokens more than the server a column charges; negative: fewer; 0: it may be right."""
        low, high = self.predicted(column)
        slack = ROUNDING_TOKENS * self.calls + self.step - 1
        if high + slack < self.remaining:
            return self.remaining - high
        if low - slack > self.remaining and not self.bounds:
            return self.remaining - low
        return 0


@dataclass(frozen=True, slots=True)
class _Edges:
    """Indices of a span's debits: `start` and `end`, and around each the range that may belong to either side."""

    left: int
    start: int
    first: int
    last: int
    end: int
    right: int


@dataclass(frozen=True, slots=True)
class _Basin:
    """A bucket that may have been full within the span; `inflows` are the inflow up to each debit of certain order."""

    capacity: int
    period_ms: int
    inflows: list[int]


@dataclass(slots=True)
class _Levels:
    """Highest and lowest level at an instant, in tokens x ms."""

    at_ms: int
    high: int
    low: int


class DebitHistory:
    """Debits in order of time, each with a figure for every column, and what remained after some of them.

    Attributes:
        step: What remained is stated in multiples of it.
    """

    def __init__(self, columns: int, *, of_ends: bool = False, of_all: bool = True) -> None:
        """Begin without debits.

        `of_ends`: calls are debited when sent and when they end; the second column counts the former alone. `of_all`:
        no call before the first debit drew on the limit.
        """
        self._of_ends = of_ends
        self._of_all = of_all
        self._at_ms: list[int] = []
        self._tokens: list[Tokens] = []
        self._sums: list[list[int]] = [[0] for _ in range(columns)]  # of all debits before; updated when needed
        self._unsure: list[int] = []  # numbers of debits that may not have happened, or that these laws do not price
        self._remaining: dict[int, int] = {}  # by number of the debit, where an answer stated it
        self._forgotten = 0
        self._debits_max = DEBITS_MAX
        self.step = 1
        self._counts_whole = False  # what a window counts bounds what is left (`_counted`), in one span more
        self._pattern: RefillPattern | None = None  # of a window; None: a bucket, or not known yet

    def refill_by(self, pattern: RefillPattern | None) -> None:
        """Let used capacity return by this pattern from now on; None: continuously."""
        self._pattern = None if pattern is None or pattern.refill is BUCKET else pattern
        is_sliding = self._pattern is not None and self._pattern.refill in {Refill.SLIDING, Refill.TWO}
        self._debits_max = DEBITS_MAX_SLIDING if is_sliding else DEBITS_MAX
        self._counts_whole = is_sliding

    def spans_max(self, *, thorough: bool = True) -> int:
        """Return how many spans are examined for one answer: all, or only the first, most telling ones."""
        return (SPANS_MAX if self.step == 1 else SPANS_MAX_ROUNDED) if thorough else 1 + self._counts_whole

    def debit(self, at_ms: int, tokens: Tokens, *, sure: bool = True) -> int:
        """Add a debit now; return its number."""
        count = len(self._at_ms)
        if count >= 2 * self._debits_max:  # halved at times: cheaper than dropping one debit each time
            gone = count - self._debits_max
            self._forgotten += gone
            self._sum_up()
            for column in (self._at_ms, *self._sums):
                del column[:gone]
            del self._tokens[:gone], self._unsure[: bisect_left(self._unsure, self._forgotten)]
            self._remaining = {
                number: remaining for number, remaining in self._remaining.items() if number >= self._forgotten
            }
            count -= gone
        number = self._forgotten + count
        self._at_ms.append(at_ms)
        self._tokens.append(tokens)
        if not sure:
            self._unsure.append(number)
        return number

    def strike(self, number: int) -> None:
        """Set that debit to 0, because it did not happen."""
        index = number - self._forgotten
        if index >= 0:
            self._set(index, (0,) * len(self._sums))

    def disclose(self, number: int, tokens: Tokens) -> None:
        """Correct that debit, which was doubted: its charge is known now, and it did happen."""
        index = number - self._forgotten
        if index >= 0:
            self._set(index, tokens)

    def _set(self, index: int, tokens: Tokens) -> None:
        """Set a debit to what is known for certain."""
        self._tokens[index] = tokens
        for column in self._sums:
            del column[index + 1 :]
        number = self._forgotten + index
        doubted = bisect_left(self._unsure, number)
        if doubted < len(self._unsure) and self._unsure[doubted] == number:
            del self._unsure[doubted]

    def doubt(self, number: int) -> None:
        """Mark that debit as one that may or may not have happened."""
        if number >= self._forgotten:
            insort(self._unsure, number)

    def observe(self, number: int, remaining: int) -> None:
        """Record what remained right after that debit."""
        if number >= self._forgotten:
            self._remaining[number] = remaining

    def reprice(self, ppm: int, before_ppm: int) -> None:
        """Set all debits to other prices: `ppm` of a law's charges where they were `before_ppm` of them."""
        half = before_ppm // 2
        self._tokens = [tuple([(each * ppm + half) // before_ppm for each in tokens]) for tokens in self._tokens]
        for column in self._sums:
            del column[1:]

    def forget_remaining(self) -> None:
        """Drop what remained, because another limit holds from now on: figures of the old one do not apply to it."""
        self._remaining.clear()

    def totals(self) -> Tokens:
        """Return the sum of every column over all debits ever made."""
        self._sum_up()
        return tuple(column[-1] for column in self._sums)

    def spans(
        self, number: int, capacity: int, period_ms: int, delay_ms: int = DELAY_DIFFERENCE_MS
    ) -> Iterator[DebitSpan]:
        """Yield the spans that end with that observed debit, the shortest first.

        `delay_ms` is the difference between delays that is assumed.
        """
        end = number - self._forgotten
        if end < 0 or self._has_unsure(end - 1, end):
            return
        self._sum_up()
        if self._pattern is not None:
            whole, is_loose = list(self._counted(end, capacity, self._pattern, delay_ms)), self._pattern.loose
            if self._pattern.refill is Refill.TWO and not is_loose and not any(map(self._is_explained, whole)):
                is_loose = True  # then a law is refuted only if its own call takes more than all that was taken
                loosely = self._counted(end, capacity, replace(self._pattern, loose=True), delay_ms)
                whole = [replace(span, bounds=True) for span in loosely]
            yield from whole
            if is_loose:
                return
        start = self._seen_before(end, self._at_ms[end] - 2 * delay_ms - 1)
        if start is None:
            yield self._alone(end, capacity)
        for _ in range(self.spans_max()):
            if start is None or self._has_unsure(start, end):
                return
            if self._pattern is None:
                yield self._span(start, end, capacity, period_ms, delay_ms)
            elif self._is_covered(start, end, self._pattern, delay_ms):
                yield self._window_span(start, end, self._pattern, delay_ms)
            else:
                return
            start = self._seen_before(end - 2 * (end - start) + 1, self._at_ms[end])

    def _seen_before(self, index: int, until_ms: int) -> int | None:
        """Return the last debit before `index`, and not after an instant, with a known remainder."""
        index = min(index, bisect_right(self._at_ms, until_ms))
        for earlier in range(index - 1, max(-1, index - 1 - STEPS_MAX), -1):
            if self._forgotten + earlier in self._remaining:
                return earlier
        return None

    def _alone(self, end: int, capacity: int) -> DebitSpan:
        """Return the span of a single call, known only to have found a bucket that was no more than full."""
        tokens = self._tokens[end]
        found = lambda column: (0, capacity - tokens[column])  # noqa: E731
        return DebitSpan(-1, self._forgotten + end, 1, self._known(end), found, self.step)

    def _counted(self, end: int, capacity: int, pattern: RefillPattern, delay_ms: int) -> Iterator[DebitSpan]:
        """Yield the debits that count in a window whose level, spent evenly, shows little by its changes."""
        found = counted(Debits(self._at_ms, self._sums), end, capacity, pattern, delay_ms)
        if found is None or (found.needs_all and not (found.first > 0 or (self._of_all and not self._forgotten))):
            return
        if not self._has_unsure(found.first - 1, found.until - 1):
            start, number = self._forgotten + found.first - 1, self._forgotten + end
            yield DebitSpan(start, number, found.until - found.first, self._known(end), found.left, self.step)

    def _is_explained(self, span: DebitSpan) -> bool:
        """Return whether any law may be right about a span."""
        return any(not span.excess(column) for column in range(len(self._sums)))

    def _edges(self, start: int, end: int, delay_ms: int) -> _Edges:
        at_ms = self._at_ms
        return _Edges(
            left=bisect_left(at_ms, at_ms[start] - delay_ms),
            start=start,
            first=bisect_right(at_ms, at_ms[start] + delay_ms),
            last=bisect_left(at_ms, at_ms[end] - delay_ms),
            end=end,
            right=bisect_right(at_ms, at_ms[end] + delay_ms),
        )

    def _is_covered(self, start: int, end: int, pattern: RefillPattern, delay_ms: int) -> bool:
        """Whether the debits of a span are all that changed a window: no mark passed, or all that expired is known."""
        from_ms, until_ms = self._at_ms[start] - delay_ms, self._at_ms[end] + delay_ms
        former_ms = former_debits(from_ms, until_ms, pattern, delay_ms)
        if former_ms is None or pattern.refill is FIXED:
            return former_ms is not None
        first, last = bisect_left(self._at_ms, former_ms[0]), bisect_right(self._at_ms, former_ms[1])
        return (first > 0 or (self._of_all and not self._forgotten)) and not self._has_unsure(first - 1, last - 1)

    def _window_span(self, start: int, end: int, pattern: RefillPattern, delay_ms: int) -> DebitSpan:
        edges = self._edges(start, end, delay_ms)
        predicted = partial(self._in_window, edges, pattern, delay_ms)
        calls = edges.right - edges.left - 1
        return DebitSpan(self._forgotten + start, self._forgotten + end, calls, self._known(end), predicted, self.step)

    def _in_window(self, edges: _Edges, pattern: RefillPattern, delay_ms: int, column: int) -> tuple[int, int]:
        """Return the levels at the end: what was taken is gone, and what was taken a period ago returns."""
        low, high = self._never_full(edges, self._known(edges.start), 0, column)
        least, most = returned(Debits(self._at_ms, self._sums), column, (edges.start, edges.end), pattern, delay_ms)
        return low + least, high + most

    def _span(self, start: int, end: int, capacity: int, period_ms: int, delay_ms: int) -> DebitSpan:
        at_ms, edges = self._at_ms, self._edges(start, end, delay_ms)
        slack = capacity * delay_ms // period_ms + 1
        level = self._known(start) + capacity * (at_ms[end] - at_ms[start]) // period_ms
        if level + slack <= capacity:
            predicted = partial(self._never_full, edges, level, slack)
        else:
            inflows = [capacity * debited_ms for debited_ms in at_ms[edges.first : edges.last]]
            predicted = partial(self._maybe_full, edges, _Basin(capacity, period_ms, inflows), slack)
        calls = edges.right - edges.left - 1
        return DebitSpan(self._forgotten + start, self._forgotten + end, calls, self._known(end), predicted, self.step)

    def _never_full(self, edges: _Edges, level: int, slack: int, column: int) -> tuple[int, int]:
        """Return the levels at the end with and without the uncertain debits, by sums."""
        sums, taken = self._sums[column], self._tokens[edges.end][column]
        sure = sums[edges.last] - sums[edges.first] + taken
        around = sums[edges.first] - sums[edges.left] + sums[edges.right] - sums[edges.last]
        loose = around - taken - self._tokens[edges.start][column]
        if self._of_ends:  # a call sent after an answer came is admitted after it, whatever the delay
            sent = self._sums[1][edges.first] - self._sums[1][edges.start + 1]
            sure, loose = sure + sent, loose - sent
        return level - sure - loose - slack, level - sure + slack

    def _maybe_full(self, edges: _Edges, basin: _Basin, slack: int, column: int) -> tuple[int, int]:
        """Return the same where a full bucket may have lost inflow: stepwise near both ends, at once between."""
        level = self._known(edges.start) * basin.period_ms
        levels = _Levels(self._at_ms[edges.start], level, level)
        self._steps(basin, levels, edges, range(edges.left, edges.first), column)
        if basin.inflows:
            self._run(basin, levels, edges, column)
        self._steps(basin, levels, edges, range(edges.last, edges.right), column)
        return levels.low // basin.period_ms - slack, levels.high // basin.period_ms + slack

    def _steps(self, basin: _Basin, levels: _Levels, edges: _Edges, indices: range, column: int) -> None:
        """Apply the debits near an end, one by one: each may belong to the other side.

        The debit at the start is in the level already.
        """
        capacity, period_ms = basin.capacity, basin.period_ms
        full, high, low, before_ms = capacity * period_ms, levels.high, levels.low, levels.at_ms
        from_ms, until_ms = self._at_ms[edges.start], self._at_ms[edges.end]
        for index in indices:
            if index == edges.start:
                continue
            now_ms, tokens = self._at_ms[index], self._tokens[index]
            now_ms = from_ms if now_ms < from_ms else until_ms if now_ms > until_ms else now_ms
            if index == edges.end:
                certain = tokens[column]
            else:
                certain = tokens[1] if self._of_ends and edges.start < index < edges.first else 0
            gain = capacity * (now_ms - before_ms)
            high, low = high + gain, low + gain
            high = (high if high < full else full) - certain * period_ms
            low = (low if low < full else full) - tokens[column] * period_ms
            before_ms = now_ms
        levels.high, levels.low, levels.at_ms = high, low, before_ms

    def _run(self, basin: _Basin, levels: _Levels, edges: _Edges, column: int) -> None:
        """Apply the debits of certain order, from `first` to before `last`, in one step.

        After steps of `min(full, level + gain) - taken` the level is either what it would be without an upper bound, or
        what it would be if it had been full at the one debit for which that leaves least.
        """
        capacity, period_ms, until_ms = basin.capacity, basin.period_ms, self._at_ms[edges.last - 1]
        sums = self._sums[column]
        taken = period_ms * sums[edges.last]
        freely = capacity * (until_ms - levels.at_ms) - taken + period_ms * sums[edges.first]
        brim = max(map(sub, basin.inflows, [period_ms * before for before in sums[edges.first : edges.last]]))
        at_most = capacity * period_ms + capacity * until_ms - taken - brim
        levels.high = min(levels.high + freely, at_most)
        levels.low = min(levels.low + freely, at_most)
        levels.at_ms = until_ms

    def _has_unsure(self, start: int, end: int) -> bool:
        """Return whether a debit after `start` up to `end` is uncertain."""
        first = bisect_right(self._unsure, self._forgotten + start)
        return first < len(self._unsure) and self._unsure[first] <= self._forgotten + end

    def _sum_up(self) -> None:
        """Bring the sums up to the last debit."""
        summed = len(self._sums[0]) - 1
        for column, tokens in zip(self._sums, zip(*self._tokens[summed:], strict=True), strict=False):
            column.extend(islice(accumulate(tokens, initial=column[-1]), 1, None))

    def _known(self, index: int) -> int:
        return self._remaining[self._forgotten + index]
