"""The pair that lives as long as the command that started it: until Ctrl-C, SIGTERM, or `headrace local down`."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.known import note
from headrace.broker.local.services import LocalServices

_LOOK_S = 0.2


def stay(services: LocalServices, announce: Callable[[LocalServices], None]) -> None:
    """Start the pair, call `announce` once both serve, and return at a signal, when both have ended.

    Raises:
        LocalServicesError: The start failed, or a server ended by itself.
    """
    try:
        with _sigterm_like_ctrl_c(), services:
            note(services.data_dir)
            announce(services)
            while services.is_running:
                time.sleep(_LOOK_S)
            raise LocalServicesError("Kafka or Valkey was stopped by another process; the other one is stopped too.")
    except KeyboardInterrupt:
        return


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Handle SIGTERM as Ctrl-C, at any moment, the fetch of the jars included. Main thread only."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
