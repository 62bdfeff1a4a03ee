"""Choice of the span of a debit history that rules out the most laws."""

from collections.abc import Iterable
from itertools import islice

from headrace.broker.core.pricing.debit_history import DebitSpan

Columns = list[int | None]
"""The index of each law's charges in the debit history; None: it is not in that history."""
Judged = tuple[DebitSpan | None, list[int | None]]
"""A span, and each law's excess in it."""


def most_telling(spans: Iterable[DebitSpan], columns: Columns) -> Judged:
    """Return the span that leaves the fewest laws: a longer one tells more, unless it contradicts a shorter one."""
    best: Judged = None, [None] * len(columns)
    fitting: set[int] = set()
    for span in spans:
        excesses = _excesses(span, columns)
        fits = _fitting(excesses)
        if best[0] is None or (fits and fits < fitting):
            best, fitting = (span, excesses), fits
        if len(fitting) <= 1:
            break
    return best


def fitting_laws(span: DebitSpan, columns: Columns) -> set[int]:
    """Return the indices of the laws that fit a span."""
    return _fitting(_excesses(span, columns))


def overcharges(spans: Iterable[DebitSpan], column: int) -> bool:
    """Return whether a law charges too much in the first span, if there is one."""
    return any(span.excess(column) > 0 for span in islice(spans, 1))


def _excesses(span: DebitSpan, columns: Columns) -> list[int | None]:
    excesses = [None if column is None else span.excess(column) for column in columns]
    return [excess or None for excess in excesses] if span.bounds else excesses  # a bound refutes, and supports none


def _fitting(excesses: list[int | None]) -> set[int]:
    return {index for index, excess in enumerate(excesses) if excess == 0}
