"""Verbs in processes forked from one that has imported everything and loaded what models count tokens by: to import it
takes a second of processor time, to load the encoding 0.4 s of the 0.6 s that a dispatcher takes until it leads.

They are processes of their own as others are: with a session, a log, an environment, signals and an end of their own.
That `python -m headrace.broker.cli.main` starts as well is shown by the tests of the demo, of verbs, of the image and
of chaos, which start all theirs so.
"""

import array
import asyncio
import functools
import gc
import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from headrace.broker.adapters import tiktoken_counter

_IMPORTED = (
    "headrace.broker.cli.dead_letters.verb",
    "headrace.broker.cli.dispatcher",
    "headrace.broker.cli.main",
    "headrace.broker.cli.retrier",
)
_MESSAGE_BYTES_MAX = 1024 * 1024


class Forked:
    """A process that the forking one has started; used as `asyncio.subprocess.Process`, in the loop that began it."""

    def __init__(self, pid: int, prefork: "Prefork") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._prefork = prefork
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._end)

    async def wait(self) -> int:
        """Its exit code, or the number of the signal that killed it below zero."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.returncode = self._prefork.reap(self.pid)
        self._ended.set()


class Prefork:
    """The test's end: starts the forking process when it is first needed."""

    def __init__(self) -> None:
        self.is_on = False
        self._server: Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], output: int) -> Forked:
        """Run `headrace` with these arguments; `output` takes what it writes."""
        asked = {"arguments": list(arguments), "environment": dict(environment), "directory": str(Path.cwd())}
        return Forked(self._ask({"run": asked}, output), self)

    def reap(self, pid: int) -> int:
        """The exit code of a process that has ended."""
        return self._ask({"reap": pid})

    def close(self) -> None:
        """End the forking process."""
        if self._socket is not None and self._server is not None:
            self._socket.close()
            self._server.wait()

    def _ask(self, asked: Mapping[str, Any], *descriptors: int) -> int:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for each in (self._socket, theirs):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MESSAGE_BYTES_MAX)
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._server = Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
            theirs.close()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._socket.sendmsg([json.dumps(asked).encode()], ancillary)
        return int(self._socket.recv(100))


PREFORK = Prefork()
"""Off, unless the tests of a run have switched it on."""


def serve(asking: socket.socket) -> None:
    """Fork and reap as asked, until the other end is closed."""
    for name in _IMPORTED:
        importlib.import_module(name)
    tiktoken_counter._load = functools.cache(tiktoken_counter._load)
    tiktoken_counter._load("o200k_base")
    gc.collect()
    gc.freeze()
    while True:
        message, ancillary, _, _ = asking.recvmsg(_MESSAGE_BYTES_MAX, socket.CMSG_SPACE(array.array("i").itemsize))
        if not message:
            return
        asked = json.loads(message)
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            asking.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        output = array.array("i", ancillary[0][2])[0]
        if (pid := os.fork()) == 0:
            asking.close()
            sys.exit(_run(output, asked["run"]))
        os.close(output)
        asking.send(b"%d" % pid)


def _run(output: int, asked: Mapping[str, Any]) -> int:
    """Be the process that was asked for."""
    os.setsid()
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    sys.argv = ["headrace", *asked["arguments"]]
    return int(importlib.import_module("headrace.broker.cli.main").main())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)
