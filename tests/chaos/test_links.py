"""What a link does to whoever uses it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headrace.broker.local.free_ports import free_ports
from tests.chaos.links import Link
from tests.tcp_server import tcp_server


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1_000):
        writer.write(piece)


@asynccontextmanager
async def linked() -> AsyncIterator[Link]:
    (port,) = free_ports(1)
    async with tcp_server(_echo) as target, Link("test", port, target) as link:
        yield link


async def test_what_is_sent_comes_back_until_the_link_is_severed_and_then_nobody_gets_in() -> None:
    async with linked() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        await link.sever()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", link.port)
        await link.mend()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()


async def test_a_silent_link_takes_connections_and_keeps_what_is_sent_until_it_is_mended() -> None:
    async with linked() as link:
        old_reader, old = await asyncio.open_connection("127.0.0.1", link.port)
        old.write(b"first")
        await old_reader.readexactly(5)
        await link.silence()
        new_reader, new = await asyncio.open_connection("127.0.0.1", link.port)
        for writer in (old, new):
            writer.write(b"later")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(old_reader.read(1), 0.1)
        await link.mend()
        assert await old_reader.readexactly(5) == await new_reader.readexactly(5) == b"later"
        old.close()
        new.close()


@pytest.mark.parametrize("narrow", [True, False])
async def test_a_slow_link_and_a_narrow_one_let_through_later(*, narrow: bool) -> None:
    async with linked() as link:
        await (link.narrow(5_000) if narrow else link.slow(0.1))
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        begun_s = time.monotonic()
        writer.write(bytes(500))
        assert len(await reader.readexactly(500)) == 500
        assert time.monotonic() - begun_s >= 0.2
        writer.close()
