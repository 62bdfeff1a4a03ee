"""The debits that a window counts at one of them, and what each law says they leave of its limit.

A sliding window counts what was taken within its period. Two weighted counters count what was taken since the last
mark, and of what was taken in the window before that as large a part as of that window still overlaps. Of a short
window neither may be known. So what is predicted is an interval: calls take different times to the server, and those
sent close to an edge may count on either side of it.

Such a prediction rests on no former level. It tells laws apart where a limit is spent evenly, so that as much ceases to
count as is taken, and levels show little by their changes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from headrace.broker.core.answers.refill_detection import Refill, RefillPattern


@dataclass(frozen=True, slots=True)
class Debits:
    """The debits of a history: when each was made, and for each law the sums of all before each."""

    at_ms: Sequence[int]
    sums: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class CountedDebits:
    """Debits that count.

    Attributes:
        first: The first that may count.
        until: The first after them.
        needs_all: It must be known that there was none before the first, or which.
        left: Returns the least and the most that a column leaves; must be called before the next debit.
    """

    first: int
    until: int
    needs_all: bool
    left: Callable[[int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Counters:
    """Indices of the debits that two counters count.

    The former window's are those from `former`, or from `first`; this one's those from `between`, or from `this`, to
    `last`, or to `right`. The former count for `least_ms` to `most_ms` of the period.
    """

    former: int
    first: int
    between: int
    this: int
    last: int
    right: int
    least_ms: int
    most_ms: int
    period_ms: int


def counted(debits: Debits, end: int, capacity: int, pattern: RefillPattern, delay_ms: int) -> CountedDebits | None:
    """Return what counts at the debit of index `end`; None: that is not known, or tells nothing."""
    if pattern.loose:
        return _loosely(debits, end, capacity, pattern.period_ms, delay_ms)
    if pattern.refill is Refill.TWO:
        return _by_counters(debits, end, capacity, pattern, delay_ms)
    if pattern.refill is Refill.SLIDING:
        return _of_period(debits, end, capacity, pattern.period_ms, delay_ms)
    return None


def _of_period(debits: Debits, end: int, capacity: int, period_ms: int, delay_ms: int) -> CountedDebits | None:
    """Return what a sliding window counts for certain: others may have taken the rest."""
    at_ms, sums = debits.at_ms, debits.sums
    first = bisect_right(at_ms, at_ms[end] - period_ms + delay_ms)
    last = min(end, bisect_left(at_ms, at_ms[end] - delay_ms))
    left = lambda column: (0, capacity - sums[column][last] + sums[column][first])  # noqa: E731
    return CountedDebits(first, last, needs_all=False, left=left) if first < last else None


def _loosely(debits: Debits, end: int, capacity: int, period_ms: int, delay_ms: int) -> CountedDebits:
    """Return what any short window may count: no less than its own call, and no more than two periods took.

    The weighted sum of two counters may count what was sent two periods ago.
    """
    at_ms, sums = debits.at_ms, debits.sums
    first = bisect_left(at_ms, at_ms[end] - 2 * period_ms - delay_ms)
    until = bisect_right(at_ms, at_ms[end] + delay_ms)

    def left(column: int) -> tuple[int, int]:
        column_sums = sums[column]
        return capacity - column_sums[until] + column_sums[first], capacity - column_sums[end + 1] + column_sums[end]

    return CountedDebits(first, until, needs_all=True, left=left)


def _by_counters(
    debits: Debits, end: int, capacity: int, pattern: RefillPattern, delay_ms: int
) -> CountedDebits | None:
    """Return what two counters count; None so close to a mark that this call may be of either window."""
    at_ms = debits.at_ms
    period_ms, into_ms = pattern.period_ms, (at_ms[end] - pattern.mark_ms) % pattern.period_ms
    if not delay_ms < into_ms < period_ms - delay_ms:
        return None
    former, first, between, this = _around_marks(at_ms, at_ms[end] - into_ms, period_ms, delay_ms)
    last, right = bisect_left(at_ms, at_ms[end] - delay_ms), bisect_right(at_ms, at_ms[end] + delay_ms)
    left_ms = period_ms - into_ms
    counters = _Counters(
        former, first, between, this, max(this, last), right, left_ms - delay_ms, left_ms + delay_ms, period_ms
    )
    return CountedDebits(
        former, right, needs_all=True, left=partial(_left_by_counters, debits.sums, end, capacity, counters)
    )


def _left_by_counters(
    sums: Sequence[Sequence[int]], end: int, capacity: int, counters: _Counters, column: int
) -> tuple[int, int]:
    taken, each = sums[column], counters
    own = taken[end + 1] - taken[end]
    least = (taken[each.this] - taken[each.first]) * each.least_ms // each.period_ms
    most = -(-(taken[each.between] - taken[each.former]) * each.most_ms // each.period_ms)
    least += taken[each.last] - taken[each.this] + own
    most += taken[each.right] - taken[each.between]
    return capacity - most, capacity - least


def _around_marks(at_ms: Sequence[int], begun_ms: int, period_ms: int, delay_ms: int) -> tuple[int, int, int, int]:
    """Return the first debit that may be of the former window, that certainly is, and the same of the one begun."""
    marks_ms = (begun_ms - period_ms, begun_ms)
    former, first, between, this = (
        bisect_left(at_ms, mark_ms + off_ms) for mark_ms in marks_ms for off_ms in (-delay_ms, delay_ms)
    )
    return former, first, between, this


def returned(
    debits: Debits, column: int, between: tuple[int, int], pattern: RefillPattern, delay_ms: int
) -> tuple[int, int]:
    """Return the least and the most that ceased to count between two debits of one window, as a law has it."""
    at_ms, taken, period_ms, (start, end) = debits.at_ms, debits.sums[column], pattern.period_ms, between
    if pattern.refill is Refill.SLIDING:
        from_ms, until_ms = at_ms[start] - period_ms, at_ms[end] - period_ms
        first, last = bisect_right(at_ms, from_ms + delay_ms), bisect_left(at_ms, until_ms - delay_ms)
        least = taken[last] - taken[first] if first < last else 0
        return least, taken[bisect_right(at_ms, until_ms + delay_ms)] - taken[bisect_left(at_ms, from_ms - delay_ms)]
    if pattern.refill is not Refill.TWO:
        return 0, 0
    begun_ms = at_ms[start] - (at_ms[start] - pattern.mark_ms) % period_ms
    former, first, last, this = _around_marks(at_ms, begun_ms, period_ms, delay_ms)
    span_ms = at_ms[end] - at_ms[start]
    least = (taken[last] - taken[first]) * max(0, span_ms - delay_ms) // period_ms if first < last else 0
    return least, -(-(taken[this] - taken[former]) * (span_ms + delay_ms) // period_ms)


def former_debits(from_ms: int, until_ms: int, pattern: RefillPattern, delay_ms: int) -> tuple[int, int] | None:
    """Return when the debits were made that cease to count between two instants; None: a mark lies there, or near."""
    period_ms = pattern.period_ms
    if pattern.refill is Refill.SLIDING:
        return from_ms - period_ms, until_ms - period_ms
    begun_ms = from_ms - (from_ms - pattern.mark_ms) % period_ms
    if until_ms >= begun_ms + period_ms or (pattern.refill is Refill.TWO and from_ms < begun_ms + delay_ms):
        return None
    return begun_ms - period_ms - delay_ms, begun_ms
