"""Ports that stay ours while a server is down.

The kernel's own choice (bind to port 0) lies in the range it gives to outgoing connections. A client that reconnects
to such a port while its server is dead can be given that very port as its source, connects to itself, and the
restarted server finds its address in use. So we choose below that range (Linux: from 32768, macOS: from 49152).
"""

import random
import socket

_LOWEST = 20_000
_HIGHEST = 32_700
_TRIES_MAX = 200


def free_ports(count: int, *, chance: random.Random | None = None) -> tuple[int, ...]:
    """`count` different ports on 127.0.0.1 on which nobody listens at this moment."""
    chance = chance or random.SystemRandom()
    found: list[int] = []
    for _ in range(_TRIES_MAX):
        if len(found) == count:
            break
        port = chance.randint(_LOWEST, _HIGHEST)
        if port not in found and _is_free(port):
            found.append(port)
    if len(found) < count:
        raise OSError(f"no {count} free ports between {_LOWEST} and {_HIGHEST} on 127.0.0.1")
    return tuple(found)


def accepts(port: int, *, timeout_s: float = 0.5) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
