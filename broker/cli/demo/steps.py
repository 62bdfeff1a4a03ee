"""Progress lines before the demo begins: each step with its duration, and the one download there ever is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import ControlType
from rich.text import Text

_TO_THE_LEFT = Control(ControlType.CARRIAGE_RETURN)


class Steps:
    """Printer of one line for each finished step; on a terminal, also of the step under way."""

    def __init__(self, console: Console) -> None:
        """Print to `console`."""
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._doing = ""

    @contextmanager
    def doing(self, doing: str, done: str) -> Iterator[Self]:
        """Run one step: `doing` is shown while it lasts, `done` is printed once it has succeeded."""
        began_s = time.monotonic()
        with self._spinning(f"{doing} …"):
            yield self
        took_s = time.monotonic() - began_s
        self._console.print(f"[green]✓[/] {done} [dim]({took_s:.1f} s)[/]", markup=True)

    def fetched(self, done: int, total: int) -> None:
        """Show the number of Kafka's jars fetched; called from another thread, and only the first time ever."""
        if self._progress is not None and self._task is not None:
            description = "fetching Kafka (first start only) …" if done < total else self._doing
            self._progress.update(self._task, description=description, completed=done, total=total)
        elif done == 0:
            self._console.print(f"fetching Kafka (first start only): {total} jars …")

    def stopping(self) -> None:
        """Show that all that was started is being stopped."""
        if self._console.is_terminal:
            self._console.print(Text("stopping Kafka, Valkey and the dispatchers …", "dim"), end="")
            self._console.control(_TO_THE_LEFT)

    def stopped(self) -> None:
        """Clear that line: all of it has stopped."""
        if self._console.is_terminal:
            self._console.print(" " * 60, end="")
            self._console.control(_TO_THE_LEFT)

    @contextmanager
    def _spinning(self, description: str) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        self._doing = description
        with Progress(*columns, console=self._console, transient=True) as progress:
            self._progress, self._task = progress, progress.add_task(description, total=None)
            try:
                yield
            finally:
                self._progress = self._task = None
