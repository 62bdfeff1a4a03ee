"""What a row needs of virtual time, as one call: it is made in a process of its own."""

from benchmarks.limits.calls import calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.measure import Figures, figures
from benchmarks.limits.rivals import counting, workers
from benchmarks.limits.rows import Row


def in_virtual_time(row: Row) -> tuple[Figures, Figures, Figures]:
    """Headrace, the counting client and the workers."""
    asked = calls_of(row)
    return figures(row, asked, dispatch(row, asked)), *rivals_of(row)


def rivals_of(row: Row) -> tuple[Figures, Figures]:
    """The counting client and the workers."""
    asked = calls_of(row)
    return figures(row, asked, counting(row, asked)), figures(row, asked, workers(row, asked))
