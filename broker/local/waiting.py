"""Bounded waiting for a server that starts, until a deadline or until the owner gives up."""

import threading
import time

_POLL_S = 0.05


class PollTimer:
    """Timer for polling: `pause()` returns False once the time is over or the owner gave up."""

    def __init__(self, within_s: float, abandon: threading.Event) -> None:
        self._deadline = time.monotonic() + within_s
        self._abandon = abandon

    def pause(self) -> bool:
        """Sleep for a moment, cut short when the owner gives up, and return whether to go on."""
        return not self._abandon.wait(_POLL_S) and time.monotonic() < self._deadline
