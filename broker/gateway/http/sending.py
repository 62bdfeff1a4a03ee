"""Writing to a client within a time limit, and whether the client has received it.

A client that reads slowly, or not at all, must not hold an answer in memory for ever. And an answer that was written
need not have arrived: it counts as received once the client's system has acknowledged the last byte.
"""

import array
import asyncio
import contextlib
import fcntl
import sys
import termios
from collections.abc import Mapping
from socket import SHUT_WR
from socket import socket as Socket  # noqa: N812 — the class
from typing import Final

from aiohttp import web

from headrace.broker.gateway.shapes.answers import JSON_TYPE

HANGUP_STATUS: Final = 499
"""Status, in metrics and spans alone, of a client that has hung up or takes nothing."""
_ACKNOWLEDGED_WITHIN_S: Final = 2.0
_LOOKS_S: Final = (0.0, 0.002, 0.01, 0.05, 0.2)


async def send_whole(
    request: web.Request, status: int, headers: Mapping[str, str], body: bytes, *, within_s: float
) -> web.StreamResponse:
    """Write a JSON answer.

    Raises:
        TimeoutError: The client did not take it in time; the connection is cut.
        ConnectionError: The client has hung up.
    """
    response = web.Response(status=status, headers={**headers, "Content-Type": JSON_TYPE}, body=body)
    async with _cut_off(request, within_s):
        await response.prepare(request)
        await response.write_eof()
    return response


class EventStream:
    """Answer of server-sent events, begun with the first of them."""

    def __init__(self, request: web.Request, headers: Mapping[str, str], content_type: str, *, within_s: float) -> None:
        """Each write has `within_s`."""
        self._request = request
        self._within_s = within_s
        told = {"Content-Type": content_type, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        self.response = web.StreamResponse(headers={**headers, **told})

    async def send(self, frames: list[bytes]) -> None:
        """Write frames; raises as `send_whole`."""
        if not frames:
            return
        async with _cut_off(self._request, self._within_s):
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write(b"".join(frames))

    async def end(self, frames: list[bytes]) -> None:
        """Write the last frames and end the answer; raises as `send_whole`.

        The end goes with them, since an SDK that has read the last frame closes a connection that has not ended.
        """
        async with _cut_off(self._request, self._within_s):
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write_eof(b"".join(frames))


@contextlib.asynccontextmanager
async def _cut_off(request: web.Request, within_s: float):  # type: ignore[no-untyped-def]  # noqa: ANN202 — a generator
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise


async def has_received(transport: asyncio.WriteTransport | None) -> bool:
    """Whether the client's system has acknowledged all that was written, within two seconds.

    It may acknowledge the last byte after this side has closed the connection, so a descriptor of its own is watched.
    """
    socket = None if transport is None else transport.get_extra_info("socket")
    if transport is None or socket is None or socket.fileno() < 0:
        return False
    with socket.dup() as watched:
        return await _is_acknowledged(transport, watched)


async def _is_acknowledged(transport: asyncio.WriteTransport, watched: Socket) -> bool:
    until_s = asyncio.get_running_loop().time() + _ACKNOWLEDGED_WITHIN_S
    looks, is_written, has_ended = iter(_LOOKS_S), False, False
    while True:
        is_written = is_written or (not transport.is_closing() and transport.get_write_buffer_size() == 0)
        if is_written and _unacknowledged(watched) == 0:
            return True
        if transport.is_closing() and not is_written:
            return False
        if transport.is_closing() and not has_ended:  # or the connection would end only with this descriptor
            has_ended = True
            with contextlib.suppress(OSError):
                watched.shutdown(SHUT_WR)
        pause_s = next(looks, _LOOKS_S[-1])
        if asyncio.get_running_loop().time() + pause_s > until_s:
            return False
        await asyncio.sleep(pause_s)


def _unacknowledged(socket: Socket) -> int:
    """Return the bytes in the socket that the peer has not acknowledged; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    count = array.array("i", [0])
    try:
        fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, count)
    except (OSError, ValueError):
        return 1
    return count[0]
