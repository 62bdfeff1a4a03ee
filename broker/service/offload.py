"""Where work goes that would hold up the event loop: decoding what is large.

The loop renews the lease and starts calls, so nothing in it should take long. A thread helps as far as Python lets two
run in turn: one call into C, such as decoding a whole text, is not interrupted. So what is decoded is bounded too
(`schemas.bounded_json`). Doubles and virtual time do without threads: there the work is done at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Does work and hands back what it returns or raises; work begun after it may not overtake it."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """`work` touches nothing that the loop's tasks change. Cancelled, what it would return is dropped."""


async def at_once(work: Callable[[], T], /) -> T:
    """Do it in the loop."""
    return work()


class OneThread:
    """An `Offload` with a thread of its own, made when it is first needed."""

    def __init__(self, name: str) -> None:
        """The thread's name."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __call__(self, work: Callable[[], T], /) -> T:
        """See `Offload`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
