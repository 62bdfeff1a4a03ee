"""A transaction that is given up once a topic of it is seen to be in trouble: aiokafka waits for a deleted topic."""

import asyncio
from collections.abc import Awaitable, Callable

from headrace.broker.errors import ProducerDead
from headrace.broker.tasks import ended

WATCH_EVERY_S = 0.5


async def watched(transact: Callable[[], Awaitable[None]], trouble: Callable[[], Awaitable[str]]) -> None:
    """Make a transaction; `trouble` looks every half second for a reason to give it up, and returns "" without one.

    Raises:
        ProducerDead: As the transaction does, or with that reason.
    """
    transaction = asyncio.ensure_future(transact())
    try:
        while not (await asyncio.wait({transaction}, timeout=WATCH_EVERY_S))[0]:
            if (why := await trouble()) and not transaction.done():
                raise ProducerDead(f"A transaction was given up: {why}")
        transaction.result()
    finally:
        if not transaction.done():
            await ended(transaction)
            if not transaction.cancelled():
                transaction.exception()  # its error is of no interest
