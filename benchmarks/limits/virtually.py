"""The virtual part of a row as one call, made in a process of its own."""

from benchmarks.limits.calls import calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.measure import Figures, figures
from benchmarks.limits.rivals import counting, workers
from benchmarks.limits.rows import Row


def in_virtual_time(row: Row) -> tuple[Figures, Figures, Figures]:
    """Return the figures of Headrace, the counting client and the workers."""
    asked = calls_of(row)
    return figures(row, asked, dispatch(row, asked)), *rivals_of(row)


def rivals_of(row: Row) -> tuple[Figures, Figures]:
    """Return the figures of the counting client and the workers."""
    asked = calls_of(row)
    return figures(row, asked, counting(row, asked)), figures(row, asked, workers(row, asked))
