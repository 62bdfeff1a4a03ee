"""An async client or reader behind a sync one: made anew in each process that uses it."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar
from weakref import finalize, ref

from headrace.broker.background.thread import BackgroundLoop, Closing, background

Inner = TypeVar("Inner", bound=Closing)
Result = TypeVar("Result")


class PerProcess(Generic[Inner]):
    """One async object for each process, which runs in the process's background loop. Safe for many threads.

    A forked child makes another one at its first use, with connections of its own; the parent's is left alone. When the
    owner is collected, or the interpreter ends, the object is closed.
    """

    def __init__(self, owner: object, make: Callable[[], Inner]) -> None:
        """Make this process's at once, so that a wrong argument raises here; `owner` is the sync object it is for."""
        self._owner = ref(owner)
        self._make = make
        self._loop = background()
        self._inner = self._made(self._loop)

    @property
    def inner(self) -> Inner:
        """The object of this process."""
        loop = background()
        if self._loop is not loop:
            with loop.lock:
                if self._loop is not loop:
                    self._inner = self._made(loop)
                    self._loop = loop
        return self._inner

    @property
    def loop(self) -> BackgroundLoop:
        """The loop in which `inner` runs: two of them are the same only in one process."""
        return background()

    def _made(self, loop: BackgroundLoop) -> Inner:
        inner = self._make()
        loop.keep(inner)
        if (owner := self._owner()) is not None:
            finalize(owner, loop.release, inner).atexit = False
        return inner

    def begin(self, work: Callable[[Inner], Awaitable[Result]]) -> "Future[Result]":
        """Begin some work; see `BackgroundLoop.begin`."""
        inner = self.inner
        return background().begin(lambda: work(inner))

    def run(self, work: Callable[[Inner], Awaitable[Result]]) -> Result:
        """Run some work and wait for it; see `BackgroundLoop.result`."""
        inner = self.inner
        return background().result(lambda: work(inner))

    def post(self, call: Callable[[Inner], Any]) -> None:
        """Call something in the loop without waiting; a signal handler may do it."""
        inner = self.inner
        background().post(lambda: call(inner))

    def close(self) -> None:
        """Close this process's object, if anything ran in it here. Closing twice is harmless."""
        loop = background()
        if self._loop is loop and loop.is_usable:
            loop.result(self._inner.close)
