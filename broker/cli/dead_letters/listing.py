"""The rows of a listing: what is kept until it is shown, and the count of all beside it."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from broker.cli.amounts import counted
from broker.cli.columns import Columns
from broker.cli.dead_letters.row import TERMINAL_COLUMNS, Row, lines
from broker.cli.screen import screen
from broker.cli.terminal import say, say_json

PAGE_ROWS: Final = 500
"""Rows that are shown at a time, and whose columns are aligned, where all are wanted."""

Show = Callable[[list[Row]], None]


class Lines:
    """Pages of aligned columns for a pipe or a file, a line each; only the first has titles."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, rows: list[Row]) -> None:
        """Show these below those before."""
        for line in lines(rows, title=not self._begun) if rows else ():
            say(line)
        self._begun = self._begun or bool(rows)


class TerminalTable:
    """Rows on a terminal, with the sentence below each."""

    def __init__(self) -> None:
        self._columns = Columns(screen(), TERMINAL_COLUMNS)

    def __call__(self, rows: list[Row]) -> None:
        """Show these below those before."""
        self._columns.show(row.line for row in rows)


def object_lines(rows: list[Row]) -> None:
    """For machines: one JSON object a line."""
    for row in rows:
        say_json(row.as_object())


@dataclass(slots=True)
class Listing:
    """What is kept until it is shown: the newest so many, or a page; and a count of all."""

    limit: int
    show: Show
    _kept: deque[Row] = field(default_factory=deque)
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """One more, newer than the last; a full page is shown, where all are wanted."""
        self._counts[row.reason] += 1
        self._kept.append(row)
        if self.limit == 0 and len(self._kept) == PAGE_ROWS:
            self.end()
        elif self.limit and len(self._kept) > self.limit:
            self._kept.popleft()

    def end(self) -> None:
        """Show what is kept."""
        self.show(list(self._kept))
        self._kept.clear()

    def summary(self, unreadable: int, topic: str) -> str:
        """How many there are, by reason; how many of them were shown, and how many records were none."""
        total = self._counts.total()
        sentence = f"{counted(total, 'dead letter')} in {topic}"
        if total:
            sentence += ": " + ", ".join(f"{count:,} {reason}" for reason, count in self._counts.most_common())
        if 0 < self.limit < total:
            sentence += f". Shown: the newest {self.limit:,}; --limit 0 shows all"
        if unreadable:
            are = "is no dead letter" if unreadable == 1 else "are no dead letters"
            sentence += f". {counted(unreadable, 'record')} there {are}: skipped"
        return f"{sentence}."
