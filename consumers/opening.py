"""Common base of all readers: `async with` opens and closes them."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

RECONNECT_FIRST_S: Final = 0.2
RECONNECT_MAX_S: Final = 5.0
"""Pauses of a reader that finds Kafka away: each is twice as long as the one before."""


class Opened(ABC):
    """A reader that is connected while it is open."""

    @abstractmethod
    async def open(self) -> None:
        """Connect; `async with` does so, too."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; never hangs."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
