"""A server of a test serves like asyncio's, and leaves nothing to its loop's end."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.tcp_server import Handler, tcp_server


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1_000):
        writer.write(piece)


async def wait_for_ever(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def write_more_than_is_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(16_000_000))
    await reader.read()


async def end_with_more_than_is_read(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(16_000_000))


def left_by(play: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """What garbage collection finds open once a loop has run `play`, not one turn more, and is closed."""
    gc.collect()
    gc.freeze()  # or all that earlier tests have left in memory is searched once more below
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(play())
        loop.close()
        gc.collect()
    return [str(each.message) for each in found]


@pytest.mark.parametrize("handler", [wait_for_ever, write_more_than_is_read, end_with_more_than_is_read])
@pytest.mark.parametrize("turns", range(8))
def test_a_connection_is_closed_wherever_the_end_finds_it(handler: Handler, turns: int) -> None:
    """The client connects without the loop, and stays; so the end comes that many turns after the arrival."""
    client = socket.socket()

    async def play() -> None:
        async with tcp_server(handler) as port:
            client.connect(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)  # a turn of the loop

    with client:
        assert left_by(play) == []


def test_the_client_that_has_left_unseen_leaves_nothing() -> None:
    async def play() -> None:
        async with tcp_server(wait_for_ever) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            writer.transport.abort()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            assert reader.at_eof()

    assert left_by(play) == []


async def test_what_a_handler_has_written_is_sent_though_it_has_returned() -> None:
    async with tcp_server(end_with_more_than_is_read) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert len(await reader.read()) == 16_000_000
        writer.close()
        await writer.wait_closed()


async def test_connections_are_served_side_by_side_at_the_port_that_is_asked_for() -> None:
    async with tcp_server(echo) as port:
        pass
    async with tcp_server(echo, port=port) as again:
        assert again == port
        ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for number, (_, writer) in enumerate(ends):
            writer.write(b"%d" % number)
        assert [await reader.readexactly(1) for reader, _ in ends] == [b"0", b"1", b"2"]
    for reader, writer in ends:
        assert await reader.read() == b""
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_an_error_of_a_handler_is_logged_and_raised_at_the_end_and_a_client_that_leaves_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def divide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % (6 / int(await reader.readexactly(1))))

    async def ask(port: int, number: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(number)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def play(*numbers: bytes) -> list[bytes]:
        async with tcp_server(divide) as port:
            answers = [await ask(port, number) for number in numbers]
            assert len(caplog.records) == (b"0" in numbers)
        return answers

    assert await play(b"3", b"") == [b"2", b""]
    with pytest.raises(ZeroDivisionError):
        await play(b"0", b"2")
    assert caplog.records[0].message.startswith("A handler of tcp_server failed")
