"""Connections that hold a place and ask for nothing: closed after a time, and bounded in number.

aiohttp closes a connection that is idle between two requests. It has no limit for one that never sends its first
request, or sends its headers a byte at a time, nor for the number of connections. Both are looked at twice a second.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from headrace.broker.gateway.observing import GatewayMeter

_LOOK_EVERY_S: Final = 0.5


class Connection(Protocol):
    """A connection of aiohttp's server."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """Its transport; None once it is closed."""


@dataclass(eq=False)
class ConnectionGuard:
    """Guard of one server's connections.

    `began` and `ended` are told of each request by its transport, so that a connection that serves one is left alone.
    """

    header_timeout_s: float
    idle_timeout_s: float
    connections_max: int
    meter: GatewayMeter
    _busy: dict[int, int] = field(default_factory=dict, init=False)
    _served: set[int] = field(default_factory=set, init=False)
    _silent_since: dict[int, float] = field(default_factory=dict, init=False)

    def began(self, transport: asyncio.Transport | None) -> None:
        """Note that a request has come over this connection, headers and all."""
        self._busy[id(transport)] = self._busy.get(id(transport), 0) + 1
        self._served.add(id(transport))
        self._silent_since.pop(id(transport), None)

    def ended(self, transport: asyncio.Transport | None) -> None:
        """Note that it is answered."""
        left = self._busy.get(id(transport), 0) - 1
        if left > 0:
            self._busy[id(transport)] = left
        else:
            self._busy.pop(id(transport), None)

    def look(self, connections: Iterable[Connection], now_s: float) -> int:
        """Close what has been silent for too long or is too much; return the number of connections closed."""
        transports = [each.transport for each in connections if each.transport is not None]
        self.meter.connections(len(transports))
        self._served.intersection_update(map(id, transports))
        silent = [transport for transport in transports if id(transport) not in self._busy]
        self._silent_since = {id(each): self._silent_since.get(id(each), now_s) for each in silent}
        oldest_first = sorted(silent, key=lambda each: self._silent_since[id(each)])
        surplus = max(0, len(transports) - self.connections_max)
        closed = 0
        for place, transport in enumerate(oldest_first):
            if place < surplus or now_s - self._silent_since[id(transport)] > self._patience_s(transport):
                transport.abort()
                closed += 1
        return closed

    def _patience_s(self, transport: asyncio.Transport) -> float:
        """Return how long it may be silent: between two requests longer than before the first."""
        idle_s = self.idle_timeout_s if id(transport) in self._served else 0.0
        return idle_s + self.header_timeout_s

    async def run(self, connections: "ConnectionsOf") -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look(connections(), asyncio.get_running_loop().time())


class ConnectionsOf(Protocol):
    """Lists the connections that are open now."""

    def __call__(self) -> Iterable[Connection]:
        """Return them."""
