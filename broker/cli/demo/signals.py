"""Ctrl-C and SIGTERM, once: the demo takes down what it has put up, and no second signal may cut that short."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818 - named by what has happened
    """Somebody has told us to stop, and everything has been taken down."""


async def until_told_to_stop(play: Coroutine[Any, Any, _T]) -> _T:
    """Await `play`; the first signal cancels it, later ones change nothing, since taking down is bounded.

    Raises:
        Stopped: A signal came, and `play` has ended.
    """
    loop = asyncio.get_running_loop()
    playing = loop.create_task(play, name="demo")
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            playing.cancel()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        return await playing
    except asyncio.CancelledError:
        if told.is_set():
            raise Stopped from None
        raise
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
