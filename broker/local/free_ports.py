"""Choice of ports that stay free while a server is down.

The kernel's own choice (bind to port 0) lies in the range it gives to outgoing connections. A client that reconnects to
such a port while its server is dead can be given that very port as its source, connects to itself, and the restarted
server finds its address in use. So the choice is made below that range (Linux: from 32768, macOS: from 49152).

A port is chosen some seconds before its server listens on it, and a second choice in that time must not fall on it.
This process never chooses a port twice. Other processes see a mark: a UDP socket bound to the same number, which no
server of ours uses, and which the kernel removes when the process ends.
"""

import random
import socket
from collections import deque

_LOWEST = 20_000
_HIGHEST = 32_700
_TRIES_MAX = 200
_MARKS_MAX = 64  # file descriptors; a server has long been listening when so many more ports were chosen

_chosen: set[int] = set()
_marks: deque[socket.socket] = deque()


def free_ports(count: int, *, chance: random.Random | None = None) -> tuple[int, ...]:
    """Choose `count` ports of 127.0.0.1 on which no process listens, and which no earlier call has chosen.

    Raises:
        OSError: There are no such ports, or they are too few to be found at random.
    """
    chance = chance or random.SystemRandom()
    found: list[int] = []
    for _ in range(_TRIES_MAX + count):
        if len(found) == count:
            break
        port = chance.randint(_LOWEST, _HIGHEST)
        if port not in _chosen and _is_free(port) and _mark(port):
            _chosen.add(port)
            found.append(port)
    if len(found) < count:
        raise OSError(
            f"no {count} free ports between {_LOWEST} and {_HIGHEST} on 127.0.0.1: stop a program that uses some"
        )
    return tuple(found)


def accepts(port: int, *, timeout_s: float = 0.5) -> bool:
    """Return whether a server accepts connections on this port of 127.0.0.1."""
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


def _mark(port: int) -> bool:
    """Show other processes that the port is chosen; False if one of them has chosen it."""
    mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mark.bind(("127.0.0.1", port))
    except OSError:
        mark.close()
        return False
    _marks.append(mark)
    if len(_marks) > _MARKS_MAX:
        _marks.popleft().close()
    return True
