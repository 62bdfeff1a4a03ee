"""The rows of a listing: those kept until they are shown, and the counts of all."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.amounts import counted
from headrace.broker.cli.columns import Columns
from headrace.broker.cli.dead_letters.row import TERMINAL_COLUMNS, LetterRow, lines
from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import say, say_json

PAGE_ROWS: Final = 500
"""Number of rows that are shown and aligned together where all are wanted."""

Show = Callable[[list[LetterRow]], None]


class ColumnPrinter:
    """Printer of aligned columns for a pipe or a file, a line for each row; only the first page has titles."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, rows: list[LetterRow]) -> None:
        """Print these rows below the earlier ones."""
        for line in lines(rows, title=not self._begun) if rows else ():
            say(line)
        self._begun = self._begun or bool(rows)


class TerminalTable:
    """Printer of rows on a terminal, with the sentence below each."""

    def __init__(self) -> None:
        self._columns = Columns(screen(), TERMINAL_COLUMNS)

    def __call__(self, rows: list[LetterRow]) -> None:
        """Print these rows below the earlier ones."""
        self._columns.show(row.line for row in rows)


def object_lines(rows: list[LetterRow]) -> None:
    """Print the rows as JSON, one object a line."""
    for row in rows:
        say_json(row.as_object())


@dataclass(slots=True)
class Listing:
    """The rows kept until they are shown, which are the newest `limit` or one page; and the counts of all."""

    limit: int
    show: Show
    _kept: deque[LetterRow] = field(default_factory=deque)
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: LetterRow) -> None:
        """Add a row, newer than the last one; a full page is shown at once where all are wanted."""
        self._counts[row.reason] += 1
        self._kept.append(row)
        if self.limit == 0 and len(self._kept) == PAGE_ROWS:
            self.end()
        elif self.limit and len(self._kept) > self.limit:
            self._kept.popleft()

    def end(self) -> None:
        """Show the rows that are kept."""
        self.show(list(self._kept))
        self._kept.clear()

    def summary(self, unreadable: int, topic: str) -> str:
        """Say how many there are, by reason, how many were shown, and how many records were not dead letters."""
        total = self._counts.total()
        sentence = f"{counted(total, 'dead letter')} in {topic}"
        if total:
            sentence += ": " + ", ".join(f"{count:,} {reason}" for reason, count in self._counts.most_common())
        if 0 < self.limit < total:
            sentence += f". Shown: the newest {self.limit:,}; --limit 0 shows all"
        if unreadable:
            are = "is not a dead letter" if unreadable == 1 else "are not dead letters"
            sentence += f". {counted(unreadable, 'record')} in it {are}: skipped"
        return f"{sentence}."
