"""A server that says what a test names, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.hostile.upstream_pieces import Step
from tests.hostile.upstream_server import say
from tests.tcp_server import tcp_server

Script = Callable[[int], Sequence[Step]]
"""What to say to which request, counted from 0 over all connections."""


class SayingServer:
    """Answers each request as its script says.

    Attributes:
        heads: The request heads that came, with their header lines.
        connections: How many there were.
    """

    def __init__(self) -> None:
        self.script: Script = lambda _: []
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length: "))
            await reader.readexactly(int(length.partition(": ")[2]))
            self.heads.append(head)
            if not await say(self.script(len(self.heads) - 1), writer):
                break


@asynccontextmanager
async def listening_server() -> AsyncIterator[SayingServer]:
    """One, listening."""
    server = SayingServer()
    async with tcp_server(server.serve) as server.port:
        yield server
