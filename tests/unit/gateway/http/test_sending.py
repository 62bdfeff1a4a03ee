"""Whether a client has received what was written: only once its system has acknowledged the last byte."""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import Any, cast

import pytest

from headrace.broker.gateway.http.sending import has_received


class Transport:
    """A transport with bytes in its own buffer, and perhaps a socket below."""

    def __init__(self, *, buffered: int = 0, is_closing: bool = False, below: socket.socket | None = None) -> None:
        self._buffered, self._is_closing, self._below = buffered, is_closing, below

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return self._buffered

    def get_extra_info(self, name: str) -> Any:
        return self._below if name == "socket" else None


async def received(transport: Transport | None) -> bool:
    return await has_received(cast("asyncio.Transport | None", transport))


@pytest.mark.looptime
async def test_what_is_not_written_yet_or_never_will_be_is_not_received() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert await received(Transport(below=one))
        assert not await received(Transport(below=one, buffered=1))
        assert not await received(Transport(below=one, is_closing=True))
    assert not await received(Transport(below=one))
    assert not await received(Transport())
    assert not await received(None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is acknowledged")
@pytest.mark.looptime
async def test_what_the_clients_system_has_no_room_for_is_not_received() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            assert await received(Transport(below=served))
            served.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    served.send(b"x" * 1_000_000)
            assert not await received(Transport(below=served))
            client.close()
