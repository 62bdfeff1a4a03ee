"""Progress of a run: a bar on a terminal; in a pipe or a log a line from time to time, if it takes long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import say

LINE_EVERY_S: Final = 10.0

Heed = Callable[[int], None]
"""Gets the number of outcomes so far."""


@contextmanager
def waiting(
    expected: int | None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[Heed]:
    """Show progress on standard error; `expected` is about how many outcomes there will be, if that is known."""
    if quiet:
        yield _say_nothing
    elif not sys.stderr.isatty():
        yield _line_by_line(expected, clock)
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=screen(err=True), transient=True) as bar:
            task = bar.add_task("simulating", total=expected)
            yield lambda settled: bar.update(task, completed=settled)


def _say_nothing(_: int) -> None:
    """Report nothing, for output that a program reads."""


def _line_by_line(expected: int | None, clock: Callable[[], float]) -> Heed:
    begun_s = said_s = clock()

    def on_progress(settled: int) -> None:
        nonlocal said_s
        now_s = clock()
        if now_s - said_s < LINE_EVERY_S:
            return
        said_s = now_s
        whole = f" of about {expected:,}" if expected else ""
        say(f"simulating: {settled:,}{whole} requests after {now_s - begun_s:.0f} s", err=True)

    return on_progress
