"""Threads in which a handler without an event loop is called, for `SyncResultReader.handle`."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import SimpleQueue

from headrace.consumers.handling import Handling
from headrace.schemas.outcome import Outcome


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of the handler that the loop waits for, in the context of its span."""

    outcome: Outcome
    context: Context
    loop: asyncio.AbstractEventLoop
    ended: "asyncio.Future[None]"

    def end(self, error: Exception | None) -> None:
        self.loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self.ended.done():  # the run was cancelled
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class Hands:
    """The calling thread, and one less than `concurrency` beside it."""

    def __init__(self, handler: Callable[[Outcome], None], concurrency: int) -> None:
        """Refuse an async handler: its coroutine would never run, and each outcome would count as handled."""
        if inspect.iscoroutinefunction(handler):
            raise TypeError("an async handler needs an event loop: use ResultReader, or give a plain function")
        self._handler = handler
        self._beside = max(0, concurrency - 1)
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._broken: BaseException | None = None

    async def handed(self, outcome: Outcome) -> None:
        """In the loop: have the handler called in one of the threads, and wait for it; raises what it raises."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self._calls.put(_Call(outcome, copy_context(), loop, ended))
        await ended

    def work(self, handling: "Future[Handling]") -> Handling:
        """In the calling thread: call the handler as often as the run wants, until the run has ended.

        An exception that is no handler's, such as KeyboardInterrupt, ends the run; the outcomes in hand come again.
        """
        handling.add_done_callback(lambda _: self._release())
        threads = [
            threading.Thread(target=self._serve_beside, args=(handling,), name=f"handle {number}", daemon=True)
            for number in range(self._beside)
        ]
        try:
            for thread in threads:
                thread.start()
            self._serve()
            if self._broken is not None:
                raise self._broken
            done = handling.result()
        finally:
            handling.cancel()  # without effect once it is done
        for thread in threads:
            thread.join()
        return done

    def _release(self) -> None:
        for _ in range(self._beside + 1):
            self._calls.put(None)

    def _serve_beside(self, handling: "Future[Handling]") -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001  # such as SystemExit: it ends the run in the calling thread
            self._broken = error
            handling.cancel()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call.context.run(self._handler, call.outcome)
            except StopIteration as error:  # no future takes it
                call.end(RuntimeError("the handler raised StopIteration").with_traceback(error.__traceback__))
            except Exception as error:  # noqa: BLE001  # the run retries, or gives up
                call.end(error)
            else:
                call.end(None)
