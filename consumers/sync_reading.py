"""Common base of the readers for code without an event loop: `with` opens and closes them, `for` iterates.

Each is its async reader in the background event loop of the process (`headrace.broker.background`). Iterate in one
thread; `stop` and `close` may be called from any. A forked child that uses a reader made before gets one of its own, as
another member of the group, which is not open yet.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from headrace.broker.background.per_process import PerProcess
from headrace.broker.background.thread import BackgroundLoop, Closing

Item = TypeVar("Item")


class Openable(Closing, Protocol):
    """An async reader, as far as all of them are alike."""

    async def open(self) -> None:
        """Connect."""


Reader = TypeVar("Reader", bound=Openable)


class NextItem(Generic[Item]):
    """The next item, asked for in the background. An interrupted wait leaves it asked, and the next wait goes on.

    Otherwise an item that came in the very moment of a Ctrl-C would be lost, and later count as handled.
    """

    def __init__(self) -> None:
        self._future: Future[Item] | None = None
        self._loop: BackgroundLoop | None = None

    def next(self, loop: BackgroundLoop, begin: Callable[[], "Future[Item]"]) -> Item:
        """Return the next item; `begin` asks for it, unless it is asked for already in this process.

        Raises:
            CancelledError: It was closed by another thread.
        """
        if self._future is None or self._loop is not loop:
            self._future, self._loop = begin(), loop
        future = self._future
        try:
            item = future.result()
        except BaseException:
            if future.done():
                self._future = None
            raise
        self._future = None
        return item

    def cancel(self) -> None:
        """Ask no longer."""
        future, self._future = self._future, None
        if future is not None:
            future.cancel()


class SyncReader(ABC, Generic[Reader, Item]):
    """A reader that blocks the calling thread until the next item has come."""

    def __init__(self, make: Callable[[], Reader]) -> None:
        """`make` makes the async reader."""
        self._reader = PerProcess(self, make)
        self._asked: NextItem[Item | None] = NextItem()

    def open(self) -> None:
        """Connect; `with` does so, too.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        self._reader.run(lambda reader: reader.open())

    def close(self) -> None:
        """Close the connection; never hangs. It may be called twice; an iteration in another thread ends."""
        self._asked.cancel()
        self._reader.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def _next(self) -> Item:
        """Return the next item.

        Raises:
            StopIteration: There is none to come, or another thread has closed the reader.
        """
        try:
            item = self._asked.next(self._reader.loop, self._ask)
        except CancelledError:
            raise StopIteration from None
        if item is None:
            raise StopIteration
        return item

    @abstractmethod
    def _ask(self) -> "Future[Item | None]":
        """Begin to wait for the next item, on an open reader; None is the end."""
