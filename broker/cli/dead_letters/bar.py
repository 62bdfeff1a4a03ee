"""A progress bar on standard error: first for the search, then for the dead letters put back."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.broker.cli.screen import screen
from headrace.consumers.replays.replay import ReplayReceipt, ReplayTally
from headrace.consumers.replays.verdicts import Skip

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

Show = Callable[[Sequence[ReplayReceipt]], None]


class Bar:
    """A `headrace.consumers.replays.replay.ReplayObserver`.

    Silent without a terminal, or where the receipts are printed.
    """

    def __init__(self, show: Show | None, *, quiet: bool) -> None:
        """Prepare the bar; `show` gets every receipt."""
        console = screen(err=True)
        self._show = show
        self._progress = Progress(*_COLUMNS, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._task = self._progress.add_task("looking", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def looks(self, done: int, total: int) -> None:
        """See `ReplayObserver.looks`."""
        self._progress.update(self._task, completed=done, total=total)

    def puts_back(self, receipts: Sequence[ReplayReceipt], tally: ReplayTally) -> None:
        """See `ReplayObserver.puts_back`."""
        done = tally.put_back + tally.skipped[Skip.ANSWERED]
        self._progress.update(self._task, description="put back", completed=done, total=max(done, tally.chosen))
        if self._show is not None:
            self._show(receipts)
