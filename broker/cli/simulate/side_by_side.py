"""Runs in parallel, a process each, as many at once as there are cores.

A run needs nothing but its plan and a core, so the runs of several quotas, and the parts of one, need not wait for each
other. Their results do not depend on how many are played at once. A process that is interrupted ends its runs; one that
is killed leaves runs that end as soon as they try to report.
"""

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from headrace.broker.planner.plan import Outlook, Plan

REQUESTS_MIN: Final = 20_000
"""Least number of requests of all runs together; fewer are played before a second process has started."""
_OBJECTS_BETWEEN_COLLECTIONS: Final = 100_000
"""A run makes hardly any reference cycles: collecting them at the usual pace costs a tenth of its time."""
_CONTEXT: Final = get_context("forkserver") if "forkserver" in get_all_start_methods() else get_context("spawn")
"""With forkserver one process loads everything once and forks the others; each would need half a second for that."""

Run = tuple[Plan, float]
"""A plan, and the factor by which its quota is multiplied."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play_all(
    runs: Sequence[Run], on_progress: Callable[[int], None], processes: int, *, requests_min: int = REQUESTS_MIN
) -> list[Outlook]:
    """Play all runs; `on_progress` gets from time to time the number of outcomes of all runs together.

    Raises:
        RuntimeError: A run's process died.
    """
    expected = sum(plan.expected or 0 for plan, _ in runs)
    if min(processes, len(runs)) > 1 and expected >= requests_min:
        return _SideBySide(runs, on_progress).play(processes)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 50, 1_000)
    outlooks: list[Outlook] = []
    for plan, factor in runs:
        before = sum(outlook.record.settled for outlook in outlooks)
        outlooks.append(plan.play(factor, lambda settled, before=before: on_progress(before + settled)))  # type: ignore[misc]
    return outlooks


@dataclass
class _SideBySide:
    """The parent's side."""

    runs: Sequence[Run]
    on_progress: Callable[[int], None]
    settled: dict[int, int] = field(default_factory=dict)
    found: dict[int, Outlook] = field(default_factory=dict)
    under_way: dict[Connection, tuple[int, BaseProcess]] = field(default_factory=dict)

    def play(self, processes: int) -> list[Outlook]:
        """Play the runs, at most `processes` at once."""
        _CONTEXT.set_forkserver_preload([__name__])
        waiting = deque(range(len(self.runs)))
        try:
            while waiting or self.under_way:
                while waiting and len(self.under_way) < processes:
                    self._begin(waiting.popleft())
                told = wait(list(self.under_way))
                for connection in [each for each in self.under_way if each in told]:
                    self._receive(connection)
        finally:
            for connection, (_, process) in self.under_way.items():
                process.terminate()
                process.join()
                connection.close()
        return [self.found[number] for number in range(len(self.runs))]

    def _begin(self, number: int) -> None:
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=serve, args=(theirs, *self.runs[number]), name=f"run {number}", daemon=True)
        self.under_way[ours] = number, process
        process.start()
        theirs.close()

    def _receive(self, connection: Connection) -> None:
        number, process = self.under_way[connection]
        try:
            told = connection.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"{process.name} ended without a result: exit code {process.exitcode}") from None
        if isinstance(told, Outlook):
            self.found[number] = told
            self.settled[number] = told.record.settled
            del self.under_way[connection]
            process.join()
            connection.close()
        else:
            self.settled[number] = told
        self.on_progress(sum(self.settled.values()))


def serve(connection: Connection, plan: Plan, factor: float) -> None:
    """Play one run and send the number of outcomes from time to time, and its result at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts all processes; the parent ends this one
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 50, 1_000)
    try:
        connection.send(plan.play(factor, connection.send))
    except BrokenPipeError:  # the parent is gone
        return
