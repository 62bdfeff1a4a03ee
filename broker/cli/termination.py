"""SIGTERM for whatever does not handle it itself: it ends as by Ctrl-C, with an exit code of its own.

A process that is number 1, as in a container, is sent no signal that it has not asked for. One that still
imports, or waits for Kafka, would sit through the whole grace period and then be killed.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

EXIT_CODE = 143
"""What a shell says of a process that SIGTERM has ended."""
INTERRUPTED = 130
"""The same for SIGINT: Ctrl-C."""


class Termination:
    """Holds from entering to leaving; a verb that sets a handler of its own is not disturbed."""

    def __init__(self) -> None:
        """`is_asked` tells afterwards whether SIGTERM, and not Ctrl-C, was the interrupt."""
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
