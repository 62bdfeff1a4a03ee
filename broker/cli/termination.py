"""SIGTERM for verbs that do not handle it: they end as by Ctrl-C, with an exit code of their own.

A process with the number 1, as in a container, gets only the signals that it has a handler for. Without one, a verb
that still imports, or waits for Kafka, would sit through the whole grace period and then be killed.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

EXIT_CODE = 143
"""Exit code that a shell reports for a process ended by SIGTERM."""
INTERRUPTED = 130
"""Exit code for SIGINT: Ctrl-C."""


class Termination:
    """Context manager that handles SIGTERM; a verb that sets its own handler is not disturbed."""

    def __init__(self) -> None:
        """Start with `is_asked` False; afterwards it says whether SIGTERM, and not Ctrl-C, was the interrupt."""
        self.is_asked = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGTERM, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGTERM, self._before)

    def _interrupt(self, _: int, frame: FrameType | None) -> None:
        self.is_asked = True
        handler = signal.getsignal(signal.SIGINT)  # asyncio's while it runs; none in a script's background job
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)
