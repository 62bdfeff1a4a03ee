"""Virtual time for tests that meet nothing but what is in memory.

looptime takes two turns of the loop for each step of its clock, and looks up what threads do in a set of weak
references each time: a quarter of the processor time of a test that waits for hours. asyncio's own turn takes another
sixth, in handles and comparisons of timers, which C does here. looptime also suits tests with sockets, which keep its
marker; these here need nothing of that.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any

import pytest

from tests.loop_handle import Handle

VIRTUAL_TIME = pytest.mark.virtual_time
START_S = 1_000
RESOLUTION = 1_000_000
"""Ticks a second: sums of whole numbers are exact, so that a test may compare times."""
DUE_WITHIN_S = 1e-9
"""A timer is due that much before its time, as in asyncio: a sum of fractions may lie that much beside a tick."""


class _Clock:
    """Time of one event loop, which jumps to the next timer as soon as nothing is ready."""

    def __init__(self, loop: Any, start_s: int) -> None:
        self.now_s = float(start_s)
        self.replaced: dict[str, Any] = {
            "time": partial(getattr, self, "now_s"),
            "run_in_executor": self.run_in_executor,
            "call_soon": self.call_soon,
            "call_at": self.call_at,
            "call_later": self.call_later,
            "_run_once": self.run_once,
        }
        self._loop = loop
        self._now = start_s * RESOLUTION
        self._timers: list[tuple[float, int, Any]] = []
        self._asked = count()
        self._poll = partial(type(loop._selector).select, loop._selector)  # not what looptime puts in its place
        self._run_in_executor = loop.run_in_executor
        self._in_threads: set[asyncio.Future[Any]] = set()

    # ------------------------------------------------------------------ what the loop's methods become

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._run_in_executor(executor, function, *arguments)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        handle = Handle((callback, args, copy_context() if context is None else context))
        self._loop._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        timer = Handle((callback, args, copy_context() if context is None else context))
        heappush(self._timers, (when, next(self._asked), timer))
        return timer

    def run_once(self) -> None:
        """One turn: what is ready, with the timers that are due; if that is nothing, time goes on to the next timer."""
        ready, timers = self._loop._ready, self._timers
        if not ready and not self._loop._stopping:
            self._wait()
        due_s = self.now_s + DUE_WITHIN_S
        while timers and timers[0][0] < due_s:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if type(handle) is not Handle:  # asyncio's own, of a thread
                if not handle._cancelled:
                    handle._run()
                continue
            callback, args, context = handle
            if callback is not None:
                try:
                    context.run(callback, *args)
                except Exception as error:  # noqa: BLE001 — as asyncio: told, and the next callback runs
                    self._loop.call_exception_handler(
                        {"message": f"Exception in callback {callback}", "exception": error, "handle": handle}
                    )

    def _wait(self) -> None:
        """Wait for a thread, whose time is real, as is the loop's meanwhile; without one, jump to the next timer."""
        loop, timers = self._loop, self._timers
        while timers and timers[0][2][0] is None:
            heappop(timers)
        wait_s = max(0.0, timers[0][0] - self.now_s) if timers else None
        ready = self._poll(wait_s if wait_s is None or self._in_threads else 0)
        loop._process_events(ready)
        if wait_s is None or ready:
            return
        self._now += round(wait_s * RESOLUTION)
        if self._now / RESOLUTION + DUE_WITHIN_S <= timers[0][0]:  # rounded down
            self._now += 1
        self.now_s = self._now / RESOLUTION

    def hand_back(self) -> None:
        """Give the loop, whose methods are its own again, what still waits; it may be given up even then."""
        loop, waiting = self._loop, list(self._loop._ready)
        loop._ready.clear()
        for handle in waiting:
            if type(handle) is Handle:
                loop.call_soon(_run, handle)
            else:
                loop._ready.append(handle)
        for when, _, handle in sorted(self._timers):
            loop.call_later(when - self.now_s, _run, handle)  # the loop's own clock counts from the machine's start


def _run(handle: Handle) -> None:
    callback, args, context = handle
    if callback is not None:
        context.run(callback, *args)


@contextmanager
def virtual_time(loop: Any, start_s: int = START_S) -> Iterator[None]:
    """Give the loop a clock of its own, which begins at `start_s`."""
    clock = _Clock(loop, start_s)
    vars(loop).update(clock.replaced)
    try:
        yield
    finally:
        for name in clock.replaced:
            del vars(loop)[name]
        clock.hand_back()


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
