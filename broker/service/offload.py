"""Offloading of work that would block the event loop: decoding of large values.

The loop renews the lease and starts calls, so nothing in it should take long. A thread helps as far as Python lets two
run in turn: one call into C, such as decoding a whole text, is not interrupted. So the size of what is decoded is
bounded too (`headrace.schemas.bounded_json`). Doubles and virtual time do without threads: there the work is done at
once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Executor of work, which returns its result or raises its error; later work may not overtake it."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Run `work`, which touches nothing that the loop's tasks change. If cancelled, its result is dropped."""


async def at_once(work: Callable[[], T], /) -> T:
    """Run the work in the loop."""
    return work()


class OneThread:
    """`Offload` with a thread of its own, made when it is first needed."""

    def __init__(self, name: str) -> None:
        """`name` is the thread's name prefix."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __call__(self, work: Callable[[], T], /) -> T:
        """See `Offload`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
