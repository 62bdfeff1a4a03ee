"""A bar with its number beside it."""

from typing import Final

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_WIDTH: Final = 20


def bar(done: int, total: int, label: str, *, colour: str = "cyan") -> RenderableType:
    """Draw a bar for `done` of `total`, with `label` beside it."""
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=max(1, total), completed=done, width=_WIDTH, complete_style=colour), Text(label))
    return row
