"""Cancellation of tasks, including those from which a library hides it, and a bounded wait."""

import asyncio
from contextlib import suppress
from typing import Any, Final

ASKED_AGAIN_EVERY_S: Final = 0.2


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks, repeatedly until they are done; their results or errors stay in them.

    Once is not enough: before Python 3.12 `asyncio.wait_for` returns its result if it is cancelled in the very moment
    in which it has one, and the cancellation is lost. redis-py and aiokafka use it for each exchange. So a task must
    tolerate being cancelled while it cleans up.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASKED_AGAIN_EVERY_S)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set, for at most `seconds`; return whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
