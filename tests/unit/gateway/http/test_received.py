"""Whether a client has received an answer, also one whose connection this side has closed by then."""

import asyncio
import socket

from headrace.broker.gateway.http.sending import has_received


async def _written(size: int) -> tuple[asyncio.Server, asyncio.StreamWriter, socket.socket]:
    """Write to a client that reads nothing yet, and close."""
    came: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
    writer = await came
    writer.write(b"x" * size)
    return server, writer, client


async def _read(client: socket.socket) -> int:
    """Read to the end; return the number of bytes."""
    count = 0
    while got := await asyncio.get_running_loop().sock_recv(client, 65_536):
        count += len(got)
    return count


async def test_an_answer_acknowledged_after_its_connection_was_closed_is_received() -> None:
    server, writer, client = await _written(30_000)
    assert writer.transport.get_write_buffer_size() == 0
    looking = asyncio.create_task(has_received(writer.transport))
    await asyncio.sleep(0)
    writer.close()
    await asyncio.sleep(0.05)
    assert not looking.done()
    async with asyncio.timeout(1):  # the end of the connection does not wait for the looks
        assert await _read(client) == 30_000
    assert await looking
    client.close()
    server.close()


async def test_an_answer_that_a_client_leaves_unread_is_not_received() -> None:
    server, writer, client = await _written(30_000)
    looking = asyncio.create_task(has_received(writer.transport))
    await asyncio.sleep(0.05)
    client.close()
    assert not await looking
    writer.close()
    server.close()


async def test_an_answer_that_was_cut_before_it_was_written_is_not_received() -> None:
    server, writer, client = await _written(30_000_000)
    looking = asyncio.create_task(has_received(writer.transport))
    await asyncio.sleep(0.05)
    writer.transport.abort()
    assert not await looking
    client.close()
    server.close()
