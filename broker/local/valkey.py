"""A Valkey on this machine: one process without persistence, since Redis holds nothing that cannot be lost."""

import socket
import subprocess
import threading
from pathlib import Path

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.logs import telling_line
from headrace.broker.local.processes import Process, spawn
from headrace.broker.local.waiting import PollTimer

READY_WITHIN_S = 15.0


class Valkey:
    """The server on `port`, with its directory below `data_dir`."""

    def __init__(self, binary: Path, port: int, data_dir: Path) -> None:
        self._binary = binary
        self.port = port
        self.home = data_dir / "valkey"
        self._log = data_dir / "logs" / "valkey.log"
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> Process | None:
        """The server's pid and mark, None before its first start."""
        return None if self.child is None else Process(self.child.pid, str(self.home))

    def spawn(self) -> Process:
        """Start the server, empty."""
        for directory in (self.home, self._log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self.home),
            "enable-debug-command": "local",
            "set-proc-title": "no",  # its pid is recognised by the command line
        }
        command = [str(self._binary), *(word for name, value in options.items() for word in (f"--{name}", value))]
        self.child = spawn(command, log=self._log, directory=self.home)
        return Process(self.child.pid, str(self.home))

    def await_ready(self, abandon: threading.Event) -> None:
        """Wait until it answers PING; LocalServicesError when it died or took too long."""
        patience = PollTimer(READY_WITHIN_S, abandon)
        while not answers_ping(self.port):
            if self.child is None or self.child.poll() is not None:
                raise self._failure("ended instead of starting")
            if not patience.pause():
                raise self._failure(f"was not ready within {READY_WITHIN_S:.0f} s")

    @property
    def address_is_taken(self) -> bool:
        """Whether the log says that the port was taken by another process between its choice and the start."""
        return "Address already in use" in telling_line([self._log])

    def _failure(self, what: str) -> LocalServicesError:
        return LocalServicesError(f"Valkey {what}: {telling_line([self._log])} (its log: {self._log})")


def answers_ping(port: int, *, timeout_s: float = 0.5) -> bool:
    """Return whether a Redis on this port of 127.0.0.1 answers PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
