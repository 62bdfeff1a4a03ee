"""One event a second for all open pages: made once, sent to each, and not made while none is open.

Every event holds the whole document. So a page that is slow misses some, and nothing is kept for it but the newest; one
that takes none for `WRITE_WITHIN_S` is dropped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.broker.service.containment import Containment
from headrace.broker.service.metrics.escapes import safe_json
from headrace.broker.service.status.presentable import json_text
from headrace.broker.tasks import ended

EVERY_S: Final = 1.0
WRITE_WITHIN_S: Final = 10.0
PAGES_MAX: Final = 100
MADE_WITHIN_S: Final = 5.0
_STILL_HERE: Final = b": still here\n\n"


@dataclass(eq=False)
class _Subscriber:
    """One open page: the newest event that it has not been sent."""

    newest: bytes | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: bytes) -> None:
        self.newest = event
        self.woken.set()

    async def take(self) -> bytes:
        await self.woken.wait()
        self.woken.clear()
        event, self.newest = self.newest or b"", None
        return event


class Broadcast:
    """The open pages of one process."""

    def __init__(self, document: Callable[[], Awaitable[dict[str, Any]]], containment: Containment) -> None:
        """`document` makes what the next event holds."""
        self._document = document
        self._containment = containment
        self._open: set[_Subscriber] = set()
        self._making: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def pages(self) -> int:
        """Number of open pages."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether no further page may be opened."""
        return len(self._open) >= PAGES_MAX

    @contextmanager
    def page(self) -> Iterator[AsyncIterator[bytes]]:
        """Count one more page while the context lasts; yield its events, which end with `close`."""
        mine = _Subscriber()
        self._open.add(mine)
        try:
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._make(), name="page")
            yield self._events(mine)
        finally:
            self._open.discard(mine)
            if not self._open and self._making is not None:
                self._making.cancel()
                self._making = None  # it may still be ending when the next page comes

    async def _events(self, mine: _Subscriber) -> AsyncIterator[bytes]:
        while not self._closed:
            event = await mine.take()
            if event:
                yield event

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        for page in self._open:
            page.put(b"")
        if self._making is not None:
            await ended(self._making)

    async def _make(self) -> None:
        """Make an event a second; where that fails, what keeps the connection open is sent instead."""
        loop = asyncio.get_running_loop()
        while True:
            began_s, event = loop.time(), _STILL_HERE
            with self._containment.observing("page"), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MADE_WITHIN_S):
                    event = encoded("status", await self._document())
            for page in self._open:
                page.put(event)
            await asyncio.sleep(max(0.05, began_s + EVERY_S - loop.time()))


def encoded(kind: str, told: dict[str, Any]) -> bytes:
    """Return a server-sent event; JSON has no line break in it."""
    text = safe_json(json_text(told, compact=True))
    return f"event: {kind}\ndata: {text}\n\n".encode()
