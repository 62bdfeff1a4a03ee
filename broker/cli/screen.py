"""A console for tables, bars and coloured texts through which nothing passes that could act on a terminal.

Every table, bar and page of a verb is shown on one from here, as every text is by `broker.cli.terminal`; a test looks
for any other way. Apart from that module, since rich takes a tenth of a second to load.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from broker.cli.terminal import safe


class _Screen(Console):
    """Escapes what a page forgot to escape, and takes no text for markup: square brackets are brackets."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, piece by piece; cursor movements of rich's own stand apart from texts."""
        for piece in super().render(renderable, options):
            if piece.control or piece.text.isprintable():
                yield piece
            else:
                yield Segment(safe(piece.text, keep="\n"), piece.style)


def screen(*, err: bool = False, width_unwatched: int | None = None) -> Console:
    """A console on standard output, or on standard error.

    Args:
        err: Standard error.
        width_unwatched: Columns where it is no terminal; None: what rich takes.
    """
    made = _Screen(stderr=err, highlight=False, markup=False, emoji=False)
    if width_unwatched is not None and not made.is_terminal:
        made.width = width_unwatched
    return made


def show_beside(shown_on: Console, label: Text, sentence: str) -> None:
    """A label, and a sentence beside it: on a terminal wrapped below its own beginning, elsewhere one line."""
    if not shown_on.is_terminal:
        shown_on.print(Text.assemble(label, safe(sentence)), soft_wrap=True)
        return
    shown_on.print(beside(label, Text(safe(sentence))))


def beside(label: Text, sentence: Text) -> Table:
    """A label, and a sentence beside it, wrapped below its own beginning."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, sentence)
    return grid


def show_to_copy(shown_on: Console, text: Text) -> None:
    """A line that can be copied whole: it has no line break of ours, however narrow the terminal is."""
    shown_on.print(text, soft_wrap=True)
