"""Tables for a terminal of any width: a title row, and below each row its long text, wrapped.

Rows arrive in pages, or one by one. Cells that do not fit are cut, in the widest column first. Into a pipe or a file
each verb prints its own lines, uncut and in their established format.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from headrace.broker.cli.screen import show_beside
from headrace.broker.cli.terminal import safe

_GAP: Final = 2
_READABLE: Final = 12
_LEAST: Final = 6


class Cut(Enum):
    """When a column is cut."""

    NEVER = auto()
    FIRST = auto()
    LAST = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: The text above its cells.
        right: Whether its cells are aligned to the right.
        cut: Whether it may be cut where the terminal is too narrow: columns of `Cut.FIRST` before those of `Cut.LAST`.
        from_width: The least width of the terminal, in columns, at which it is shown.
    """

    title: str
    right: bool = False
    cut: Cut = Cut.NEVER
    from_width: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A row: its cells, a text below it, and the index and style of the one cell that is coloured."""

    cells: Sequence[str]
    below: str = ""
    styled: int | None = None
    style: str = ""


class Columns:
    """A table that prints its rows to a screen as they come, the titles once above the first."""

    def __init__(self, shown_on: Console, columns: Sequence[Column]) -> None:
        """Start without output: the titles appear with the first row."""
        self._screen = shown_on
        self._shown = [number for number, column in enumerate(columns) if column.from_width <= shown_on.width]
        self._columns = [columns[number] for number in self._shown]
        self._widths = [cell_len(column.title) for column in self._columns]
        self._begun = False

    def show(self, lines: Iterable[Line]) -> None:
        """Print these rows below the earlier ones."""
        page = [(line, [safe(line.cells[number]) for number in self._shown]) for line in lines]
        if not page:
            return
        for _, cells in page:
            self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        self._fit()
        if not self._begun:
            self._print([column.title for column in self._columns], title=True)
            self._begun = True
        for line, cells in page:
            self._print(cells, line)
            if line.below:
                self._show_below(line.below)

    def _fit(self) -> None:
        """Narrow the widest columns: those to be cut first, while they stay readable; then all that may be cut."""
        over = sum(self._widths) + _GAP * (len(self._widths) - 1) - self._screen.width
        for least, kinds in ((_READABLE, {Cut.FIRST}), (_LEAST, {Cut.FIRST, Cut.LAST})):
            ways = [number for number, column in enumerate(self._columns) if column.cut in kinds]
            while over > 0 and (wide := [number for number in ways if self._widths[number] > least]):
                self._widths[max(wide, key=lambda number: self._widths[number])] -= 1
                over -= 1

    def _print(self, cells: Sequence[str], line: Line | None = None, *, title: bool = False) -> None:
        text = Text(no_wrap=True, overflow="crop", style="dim" if title else "")
        for number, (cell, column, width) in enumerate(zip(cells, self._columns, self._widths, strict=True)):
            style = line.style if line is not None and line.styled == self._shown[number] else ""
            text.append(_cut(cell, width, right=column.right), style)
            text.append(" " * _GAP if number + 1 < len(cells) else "")
        text.rstrip()
        self._screen.print(text)

    def _show_below(self, below: str) -> None:
        for paragraph in below.splitlines():
            show_beside(self._screen, Text(" " * _GAP), paragraph)


def _cut(cell: str, width: int, *, right: bool) -> str:
    """Pad the cell to this width, or cut it with an ellipsis."""
    if cell_len(cell) > width:
        return f"{set_cell_size(cell, width - 1)}…"
    padding = " " * (width - cell_len(cell))
    return padding + cell if right else cell + padding
