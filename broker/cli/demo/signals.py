"""Ctrl-C and SIGTERM, once: the demo stops everything that it started, and no second signal may cut that short."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from headrace.broker.service.signals import leaving

_T = TypeVar("_T")


class DemoStopped(Exception):  # noqa: N818 - named by what has happened
    """A signal ended the demo, and everything that it started has been stopped."""


async def until_told_to_stop(play: Coroutine[Any, Any, _T]) -> _T:
    """Await `play`; the first signal cancels it, later ones change nothing, since the clean-up is bounded.

    Raises:
        DemoStopped: A signal came, and `play` has ended.
    """
    playing = asyncio.create_task(play, name="demo")
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            playing.cancel()

    with leaving(stop):
        try:
            return await playing
        except asyncio.CancelledError:
            if told.is_set():
                raise DemoStopped from None
            raise
