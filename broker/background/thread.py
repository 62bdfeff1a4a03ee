"""The thread in which a process has its background event loop: started when it is first needed, paused over a fork.

It is a daemon: it never holds up the interpreter's end. What is open at the end is closed by `atexit`, within seconds.
Before a fork the loop stops between two of its steps, and the thread ends; the parent goes on with a new thread, and
the child has nothing to do with the loop. So no lock of ours is held by a thread that the child does not have. A fork
that Python does not know of, as uWSGI's in C, is noticed by the process's id.
"""

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from headrace.broker.background.loop import DetachableLoop
from headrace.broker.errors import Disconnected, NotSubmitted

PAUSE_WITHIN_S: Final = 1.0
"""How long a fork waits for the loop to pause; a step of ours takes milliseconds."""
CLOSE_WITHIN_S: Final = 5.0
"""How long the interpreter's end waits for connections to be closed; each close takes three seconds at most."""

Result = TypeVar("Result")


class Closing(Protocol):
    """What runs in the loop and is closed at the end: an async client or reader."""

    async def close(self) -> None:
        """Close it; never hangs."""


class BackgroundLoop:
    """The loop of one process. `background()` returns it.

    Attributes:
        pid: The process that it is of.
        lock: Held over a fork; guards what must not be half done in the child.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self._turn = threading.Lock()
        self._loop: DetachableLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_pausing = False
        self._kept: dict[int, Closing] = {}

    # ------------------------------------------------------------------ running in it

    @property
    def is_usable(self) -> bool:
        """Whether anything has run in it, and may still do so: the interpreter is not ending."""
        return self._loop is not None and not sys.is_finalizing()

    def begin(self, work: Callable[[], Awaitable[Result]]) -> "Future[Result]":
        """Begin some work in the loop, in the caller's context; cancelling the future cancels the work.

        Raises:
            NotSubmitted: The interpreter is ending.
            RuntimeError: The caller is in the background loop itself, which would wait for itself.
        """
        if sys.is_finalizing():
            raise NotSubmitted("The interpreter is ending, and its threads have stopped: nothing can be sent any more.")
        if self.is_here:
            raise RuntimeError(
                "A sync client or reader was used in headrace's own event loop, which would wait for itself: use the "
                "async one there."
            )
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._running())

    def result(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run some work in the loop and wait for it. If the wait is interrupted, the work is cancelled.

        Raises:
            Disconnected: The work was cancelled by a close in another thread.
        """
        future = self.begin(work)
        try:
            return future.result()
        except CancelledError:
            raise Disconnected("It was closed by another thread during the wait: ask again with the same id.") from None
        finally:
            future.cancel()  # without effect once it is done

    def post(self, call: Callable[[], Any]) -> None:
        """Have something called in the loop, without waiting. It takes no lock, so a signal handler may do it."""
        loop = self._loop
        if loop is None:
            call()
        else:
            loop.call_soon_threadsafe(call)

    @property
    def is_here(self) -> bool:
        """Whether the present thread is the loop's."""
        thread = self._thread
        return thread is not None and thread.ident == threading.get_ident()

    def _running(self) -> DetachableLoop:
        with self.lock:
            if self._loop is None:
                self._loop = DetachableLoop()
            if self._thread is None:
                self._start(self._loop)
            return self._loop

    def _start(self, loop: DetachableLoop) -> None:
        thread = threading.Thread(target=self._run, args=(loop,), name="headrace", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError as reason:  # Python 3.12 starts no thread once the interpreter is ending
            self._thread = None
            raise NotSubmitted("The interpreter is ending, and starts no thread: nothing can be sent.") from reason

    def _run(self, loop: DetachableLoop) -> None:
        while True:
            with suppress(BaseException):  # a task that raised SystemExit has ended; the others go on
                loop.run_forever()
            with self._turn:
                if self._is_pausing:
                    self._thread = None
                    return

    # ------------------------------------------------------------------ what is open

    def keep(self, opened: Closing) -> None:
        """Hold what runs in the loop until it is released: a forked child must never collect it."""
        self._kept[id(opened)] = opened

    def release(self, opened: Closing) -> None:
        """Close what no object uses any more, without waiting. It takes no lock: a collection may do it anywhere."""
        loop = self._loop
        if loop is None or sys.is_finalizing():
            self._kept.pop(id(opened), None)
        elif self.pid == os.getpid():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._close_one, loop, opened)

    def _close_one(self, loop: DetachableLoop, opened: Closing) -> None:
        closing = loop.create_task(opened.close(), name="close what no object uses")
        closing.add_done_callback(lambda _: self._kept.pop(id(opened), None))

    def close_all(self) -> None:
        """At the interpreter's end: close all that is open, within `CLOSE_WITHIN_S`. The loop runs on."""
        if self._loop is not None and self.pid == os.getpid():
            with suppress(Exception):  # there is no caller any more
                self.begin(self._close_kept).result(CLOSE_WITHIN_S)

    async def _close_kept(self) -> None:
        await asyncio.gather(*(opened.close() for opened in list(self._kept.values())), return_exceptions=True)

    # ------------------------------------------------------------------ forks

    def pause(self) -> None:
        """Before a fork: stop the loop between two steps, and end its thread."""
        self.lock.acquire()
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or self.is_here:
            return
        with self._turn:
            self._is_pausing = True
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PAUSE_WITHIN_S)

    def resume(self) -> None:
        """After a fork, in the parent: go on."""
        with self._turn:
            self._is_pausing = False
            is_ended = self._thread is None
        if is_ended and self._loop is not None:
            with suppress(NotSubmitted):
                self._start(self._loop)
        self.lock.release()

    def leave_to_parent(self) -> None:
        """After a fork, in the child: give up what is the parent's, and keep it from being collected."""
        if self._loop is not None:
            self._loop.leave_to_parent()


async def _awaited(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()


_of_parents: Final[list[BackgroundLoop]] = []
_present = BackgroundLoop()


def background() -> BackgroundLoop:
    """Return the loop of this process."""
    if _present.pid != os.getpid():  # forked by a program that does not tell Python
        _begin_anew()
    return _present


def _begin_anew() -> None:
    global _present  # noqa: PLW0603  # there is one of each process
    former = _present
    if former.pid == os.getpid():
        return
    _of_parents.append(former)
    _present = BackgroundLoop()
    former.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: background().pause(),
        after_in_parent=lambda: background().resume(),
        after_in_child=_begin_anew,
    )
atexit.register(lambda: background().close_all())
