"""Ending tasks, also those that a library keeps from hearing of it."""

import asyncio
from typing import Any, Final

ASKED_AGAIN_EVERY_S: Final = 0.2


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these, again and again until they are done; what they ended with stands in them.

    Once is not enough: before Python 3.12 `asyncio.wait_for` returns its result where it is cancelled in the instant in
    which it has one, and the cancellation is lost. redis-py and aiokafka use it for each exchange. So a task must bear
    to be cancelled while it cleans up.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASKED_AGAIN_EVERY_S)
