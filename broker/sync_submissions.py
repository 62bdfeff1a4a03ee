"""Submissions on their way from a thread's iterator into the background loop, and their receipts back.

A switch of threads may take five milliseconds (`sys.getswitchinterval`) while the loop is busy, so submissions go in
portions, and receipts come back without being asked for one by one.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

from headrace.broker.client import Receipt
from headrace.broker.submission import Submission

PORTION_MAX: Final = 64
"""Submissions that are taken from the iterator at once."""
_PORTION_WITHIN_S: Final = 0.01
"""After that long a portion goes as it is: the next submission may be a long time coming."""

Submitting = Callable[[AsyncIterator[Submission]], AsyncIterator[Receipt]]


@dataclass(slots=True)
class _Portion:
    """Submissions, and how their iterator ended after them, if it did."""

    submissions: deque[Submission] = field(default_factory=deque)
    end: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    """The loop's question for the next portion."""

    loop: asyncio.AbstractEventLoop
    given: "asyncio.Future[_Portion]"

    def answer(self, portion: _Portion) -> None:
        """In the calling thread."""
        self.loop.call_soon_threadsafe(self._settle, portion)

    def _settle(self, portion: _Portion) -> None:
        if not self.given.done():  # else the wait was given up
            self.given.set_result(portion)


class Feed(AsyncIterator[Submission]):
    """One `submit_many`: an async iterator for the loop, which the calling thread serves."""

    def __init__(self, source: Iterator[Submission]) -> None:
        """`source` is iterated over in the calling thread alone."""
        self._source = source
        self._said: SimpleQueue[_Ask | Receipt | None] = SimpleQueue()
        self._portion = _Portion()

    async def run(self, submit: Submitting) -> None:
        """In the loop: submit what the calling thread gives, and say the receipts."""
        async for receipt in submit(self):
            self._said.put(receipt)

    async def __anext__(self) -> Submission:
        """Return the next submission; once the portion is used up, ask the calling thread for another."""
        if not self._portion.submissions and self._portion.end is None:
            loop = asyncio.get_running_loop()
            given: asyncio.Future[_Portion] = loop.create_future()
            self._said.put(_Ask(loop, given))
            self._portion = await given
        if self._portion.submissions:
            return self._portion.submissions.popleft()
        raise self._portion.end or StopAsyncIteration

    def receipts(self, running: "Future[None]") -> Iterator[Receipt]:
        """In the calling thread: yield the receipts of `run`, and give it submissions when it asks for them."""
        running.add_done_callback(lambda _: self._said.put(None))
        try:
            while (said := self._said.get()) is not None:
                if isinstance(said, _Ask):
                    said.answer(self._next_portion())
                else:
                    yield said
            running.result()
        finally:
            running.cancel()  # without effect once it is done

    def _next_portion(self) -> _Portion:
        portion = _Portion()
        until_s = time.monotonic() + _PORTION_WITHIN_S
        try:
            while len(portion.submissions) < PORTION_MAX and time.monotonic() < until_s:
                portion.submissions.append(next(self._source))
        except StopIteration:
            portion.end = StopAsyncIteration()
        except Exception as error:  # noqa: BLE001  # it is raised behind the receipts of those before it
            portion.end = error
        return portion
