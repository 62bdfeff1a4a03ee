"""A console for tables, bars and coloured text, which escapes every character that could act on a terminal.

Every table, bar and page of a verb is printed through a console from this module, as every text is through
`headrace.broker.cli.terminal`; a test looks for any other way. It is separate from that module because rich takes a
tenth of a second to load.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from headrace.broker.cli.terminal import safe


class _Screen(Console):
    """A console that escapes what a page forgot to escape, and reads no markup: square brackets are brackets."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments to print; rich's own cursor movements are control segments, separate from text."""
        for piece in super().render(renderable, options):
            if piece.control or piece.text.isprintable():
                yield piece
            else:
                yield Segment(safe(piece.text, keep="\n"), piece.style)


def screen(*, err: bool = False, width_unwatched: int | None = None) -> Console:
    """Return a console on standard output, or on standard error.

    Args:
        err: Use standard error.
        width_unwatched: Columns where it is no terminal; None: rich's default.
    """
    made = _Screen(stderr=err, highlight=False, markup=False, emoji=False)
    if width_unwatched is not None and not made.is_terminal:
        made.width = width_unwatched
    return made


def show_beside(shown_on: Console, label: Text, sentence: str) -> None:
    """Print a label and a sentence: on a terminal wrapped and indented behind the label, elsewhere in one line."""
    if not shown_on.is_terminal:
        shown_on.print(Text.assemble(label, safe(sentence)), soft_wrap=True)
        return
    shown_on.print(beside(label, Text(safe(sentence))))


def beside(label: Text, sentence: Text) -> Table:
    """Return a label and a sentence beside it, wrapped and indented behind the label."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, sentence)
    return grid


def show_to_copy(shown_on: Console, text: Text) -> None:
    """Print a line for copying: it gets no line break, however narrow the terminal is."""
    shown_on.print(text, soft_wrap=True)
