"""HTTP address of a process as others reach it; the leader puts it into its status for `headrace status --id`.

A pod's name means nothing outside of it. The address by which this machine reaches Kafka does, to any machine that
reaches the same Kafka.
"""

import asyncio
import socket
from typing import Final

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # nothing is bound here
_KAFKA_PORT: Final = "9092"
_WITHIN_S: Final = 2.0


async def url_of(http_host: str, port: int, bootstrap_servers: str) -> str:
    """Return its URL. Where it listens on all addresses, that of the one Kafka sees, or else of the host's name."""
    host = http_host
    if http_host in _EVERYWHERE:
        try:
            async with asyncio.timeout(_WITHIN_S):
                host = await asyncio.to_thread(_seen_from, bootstrap_servers)
        except (OSError, ValueError, TimeoutError):
            host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _seen_from(bootstrap_servers: str) -> str:
    """Return our end of a route to Kafka. A connected datagram socket sends nothing."""
    host, _, port = bootstrap_servers.partition(",")[0].strip().rpartition(":")
    host, port = (host, port) if host else (port, _KAFKA_PORT)
    family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as way:
        way.connect(place)
        return str(way.getsockname()[0])
