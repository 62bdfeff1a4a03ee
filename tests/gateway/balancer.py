"""A TCP balancer in front of gateways, as a Service of Kubernetes is: it knows ports that listen, and no HTTP."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE_BYTES = 65_536


class Balancer:
    """Leads each connection to the next of the ports that listen; `port` is its own."""

    def __init__(self, ports: Callable[[], Sequence[int]]) -> None:
        self.port = 0
        self._ports = ports
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._led, "127.0.0.1", 0, backlog=4_096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _led(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            backend = await self._connected()
            if backend is not None:
                await self._spliced((reader, writer), backend)
        except asyncio.CancelledError:
            pass  # the balancer ends; asyncio's own callback would print it
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ports = list(self._ports())
        first = next(self._turn)
        for place in range(len(ports)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", ports[(first + place) % len(ports)])
        return None

    async def _spliced(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        backend: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Pass bytes both ways until either side ends."""
        ways = [
            asyncio.create_task(_passed(client[0], backend[1])),
            asyncio.create_task(_passed(backend[0], client[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            backend[1].transport.abort()


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # what was written is handed to the system before the connection is cut
