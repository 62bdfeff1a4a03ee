"""Handling of SIGTERM and SIGINT in a running process: Kubernetes sends the first, a person the second."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

LEAVING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def leaving(leave: Callable[[], None]) -> Iterator[None]:
    """Have each of the two signals call `leave`, in the running loop, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    for number in LEAVING:
        loop.add_signal_handler(number, leave)
    try:
        yield
    finally:
        for number in LEAVING:
            loop.remove_signal_handler(number)
