"""A TCP server in a test's own loop, of which nothing is left when its context ends.

In Python 3.11 `Server.wait_closed` does not wait for the connections that were accepted. A handler that had not yet
seen the end of one is cancelled with its loop and closes nothing: garbage collection then finds an open socket and a
writer whose loop is closed, and pytest blames the test that happens to run. Nor does `Server.close` find a connection
that was accepted in the last turn of the loop. So this server accepts by itself: each connection has a task at once.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""A connection is closed when its handler returns. That its client has left ends a handler and is no error."""
_CLIENT_LEFT = (ConnectionError, EOFError)
_LIMIT_BYTES = 65_536


@asynccontextmanager
async def tcp_server(handler: Handler, *, port: int = 0, limit: int = _LIMIT_BYTES) -> AsyncIterator[int]:
    """Serve on 127.0.0.1, and yield the port: a free one, unless it is given.

    At the end handlers are cancelled and awaited, connections are cut, and the loop runs until they are closed.

    Raises:
        Exception: A handler's, at the end. It is logged at once.
    """
    loop = asyncio.get_running_loop()
    ending: asyncio.Future[None] = loop.create_future()
    tasks: set[asyncio.Task[None]] = set()

    def accept() -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):  # the client has left before it was accepted
            task = loop.create_task(_serve(listening.accept()[0], handler, limit, ending))
            tasks.add(task)
            task.add_done_callback(forget)

    def forget(task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            tasks.discard(task)

    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.setblocking(False)
        loop.add_reader(listening, accept)
        try:
            yield int(listening.getsockname()[1])
        finally:
            loop.remove_reader(listening)
            listening.close()
            ending.set_result(None)
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if error is not None:
                    raise error


async def _serve(connection: socket.socket, handler: Handler, limit: int, ending: asyncio.Future[None]) -> None:
    """Handle a connection until its handler returns or the server ends, and close it: this task is never cancelled."""
    reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
    handling = asyncio.ensure_future(handler(reader, writer))
    await asyncio.wait({handling, ending}, return_when=asyncio.FIRST_COMPLETED)
    handling.cancel()
    await asyncio.wait({handling})
    writer.close()
    closed = asyncio.ensure_future(writer.wait_closed())
    await asyncio.wait({closed, ending}, return_when=asyncio.FIRST_COMPLETED)  # what was written is still sent
    if not closed.done():
        writer.transport.abort()
    await asyncio.gather(closed, return_exceptions=True)  # an error is how the client left
    error = None if handling.cancelled() else handling.exception()
    if error is not None and not isinstance(error, _CLIENT_LEFT):
        told = {"message": "A handler of tcp_server failed", "exception": error, "task": handling}
        asyncio.get_running_loop().call_exception_handler(told)
        raise error
