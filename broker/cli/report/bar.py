"""A progress bar on standard error; silent without a terminal, and where it is not wanted."""

from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.broker.cli.screen import screen

_COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


class ReadingBar:
    """A `headrace.broker.cli.report.reading.ReadingProgress`."""

    def __init__(self, *, quiet: bool) -> None:
        """Prepare the bar."""
        console = screen(err=True)
        self._bar = Progress(*_COLUMNS, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._task = self._bar.add_task("reading", total=None)
        self._expected = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, offsets: int) -> None:
        """See `ReadingProgress.expect`."""
        self._expected += offsets
        self._bar.update(self._task, total=self._expected)

    def pass_by(self, offsets: int) -> None:
        """See `ReadingProgress.pass_by`."""
        self._bar.advance(self._task, offsets)
