"""An event loop whose copy in a forked child can be cut off from the parent's connections.

A child inherits file descriptors of the same open files. So its copies of loop and connections could still do harm,
even if they are only collected: an epoll is shared, and removing a socket from it removes the parent's; a connection
with TLS says good-bye on the wire when it is closed.
"""

import asyncio
import os
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

Found = TypeVar("Found")


class DetachableSelector(selectors.BaseSelector):
    """The system's best selector, until it is detached; then one that is empty and no file."""

    def __init__(self) -> None:
        self._present: selectors.BaseSelector = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See `selectors.BaseSelector`, as with all that follow."""
        return self._present.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Stop watching a file."""
        return self._present.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a file for other events."""
        return self._present.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        return self._present.select(timeout)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched."""
        return self._present.get_map()

    def close(self) -> None:
        """Close it."""
        self._present.close()

    def detach(self) -> set[int]:
        """Close our copy of the selector, without a change of what the parent's watches; return what it watched."""
        present, self._present = self._present, selectors.SelectSelector()
        watched = {key.fd for key in present.get_map().values()}
        present.close()
        return watched


class DetachableLoop(asyncio.SelectorEventLoop):
    """A selector loop that knows its connections, and looks names up in daemon threads."""

    def __init__(self) -> None:
        self._detachable = DetachableSelector()
        self._made: WeakSet[asyncio.BaseTransport] = WeakSet()
        super().__init__(self._detachable)

    async def create_connection(self, *args: Any, **given: Any) -> Any:
        """See `asyncio.loop.create_connection`."""
        made = await super().create_connection(*args, **given)
        self._made.add(made[0])
        return made

    async def getaddrinfo(  # noqa: PLR0913  # asyncio's own signature
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # same
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Look a name up. The threads of a pool would hold up the interpreter's end, for as long as DNS is away."""
        return await self._in_a_thread(partial(socket.getaddrinfo, host, port, family, type, proto, flags))

    async def _in_a_thread(self, work: Callable[[], Found]) -> Found:
        found: asyncio.Future[Found] = self.create_future()

        def settle(value: Found | None, error: BaseException | None) -> None:
            if not found.done():
                found.set_exception(error) if error is not None else found.set_result(value)  # type: ignore[arg-type]  # without an error there is a value

        def run() -> None:
            try:
                settled = partial(settle, work(), None)
            except Exception as error:  # noqa: BLE001  # it is raised where it is waited for
                settled = partial(settle, None, error)
            self.call_soon_threadsafe(settled)

        threading.Thread(target=run, name="headrace looks a name up", daemon=True).start()
        return await found

    def leave_to_parent(self) -> None:
        """In a forked child: give up this copy, so that nothing that is left of it reaches what the parent uses."""
        sockets = (transport.get_extra_info("socket") for transport in self._made)
        ours = self._detachable.detach() | {each.fileno() for each in sockets if each is not None}
        with socket.socket() as unconnected:
            for descriptor in ours - {-1}:
                os.dup2(unconnected.fileno(), descriptor, inheritable=False)
        self.set_exception_handler(lambda *_: None)  # what is collected unclosed is the parent's to close
