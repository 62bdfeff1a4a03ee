"""A network that fails: one link is one way from one process to one server, and can be cut, silenced or slowed.

| a link | connections that are open | new ones |
|---|---|---|
| is severed | are reset | are refused |
| is silent | stay open, nothing passes in either direction; what was sent comes when the link is mended | the same |
| is slow | each piece of up to 64 KiB comes so many seconds later | the same |
| is narrow | so many bytes a second pass, for each connection and direction | the same |
"""

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Self

from tests.tcp_server import tcp_server

_PIECE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Link:
    """From `port` to `target`, both on this machine; whoever should use it is told `port`."""

    name: str
    port: int
    target: int = 0
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    _server: contextlib.AsyncExitStack | None = None
    _passing: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sever()

    async def mend(self) -> None:
        """As if nothing had been."""
        self.delay_s, self.bytes_per_s = 0.0, None
        self._passing.set()
        if self._server is None:
            server = contextlib.AsyncExitStack()
            await server.enter_async_context(tcp_server(self._accepted, port=self.port, limit=_PIECE_BYTES))
            self._server = server

    async def sever(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.aclose()

    async def silence(self) -> None:
        self._passing.clear()

    async def slow(self, delay_s: float) -> None:
        self.delay_s = delay_s

    async def narrow(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self._joined(reader, writer)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            await self._passing.wait()
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target, limit=_PIECE_BYTES)
            pumps = {
                asyncio.ensure_future(self._pump(reader, far)),
                asyncio.ensure_future(self._pump(far_reader, writer)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for each in (writer, far):
                if each is not None:
                    _reset(each) if self._server is None else each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, to its end; the end itself is held back by a silent link too."""
        while True:
            piece = await reader.read(_PIECE_BYTES)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(piece) / self.bytes_per_s)
            await self._passing.wait()
            if not piece:
                return
            writer.write(piece)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once and with a reset: a severed link says no farewell."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
    writer.transport.abort()
