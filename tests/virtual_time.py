"""Virtual time for tests that meet nothing but what is in memory.

looptime takes two turns of the loop for each step of its clock, and looks up what threads do in a set of weak
references each time: a quarter of the processor time of a test that waits for hours. It also suits tests with
sockets, which keep its marker; these here need nothing of that.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

VIRTUAL_TIME = pytest.mark.virtual_time
START_S = 1_000
RESOLUTION = 1_000_000
"""Ticks a second: sums of whole numbers are exact, so that a test may compare times."""


class _Clock:
    """Time of one event loop, which jumps to the next timer as soon as nothing is ready."""

    def __init__(self, loop: Any) -> None:
        self._now = START_S * RESOLUTION
        self._poll = partial(type(loop._selector).select, loop._selector)
        self._run_in_executor = loop.run_in_executor
        self._in_threads: set[asyncio.Future[Any]] = set()

    def time(self) -> float:
        return self._now / RESOLUTION

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._run_in_executor(executor, function, *arguments)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    def select(self, timeout: float | None = None) -> list[Any]:
        """What the loop asks when it has run all that was ready; `timeout` is the time until its next timer."""
        if timeout == 0:
            return []
        waits = timeout is None or self._in_threads  # for a thread: its time is real, and so is the loop's meanwhile
        ready: list[Any] = self._poll(timeout if waits else 0)
        if timeout is not None and not ready:
            self._now += round(timeout * RESOLUTION) or 1
        return ready


@contextmanager
def virtual_time(loop: Any) -> Iterator[None]:
    """Give the loop a clock of its own."""
    clock, selector = _Clock(loop), loop._selector
    selects = selector.__dict__.get("select")  # looptime's, which it gives to every loop
    loop.time, loop.run_in_executor, selector.select = clock.time, clock.run_in_executor, clock.select
    try:
        yield
    finally:
        del loop.time, loop.run_in_executor, selector.select
        if selects is not None:
            selector.select = selects


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Run a test that is marked `virtual_time` so; its fixtures have the real time."""
    policy: Any = pyfuncitem.funcargs.get("event_loop_policy")
    if policy is None or pyfuncitem.get_closest_marker("virtual_time") is None:
        return (yield)
    try:
        loop = policy.get_event_loop()
    except RuntimeError:  # a test without a loop, in a module whose other tests have one
        return (yield)
    with virtual_time(loop):
        return (yield)
