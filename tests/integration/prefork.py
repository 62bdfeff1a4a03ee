"""Verbs in processes forked from one that has imported everything and loaded what models count tokens by: to import it
takes a second of processor time, to load the encoding 0.4 s of the 0.6 s that a dispatcher takes until it leads.

They are processes of their own as others are: with a session, a log, an environment, signals and an end of their own.
That `python -m headrace.broker.cli.main` starts as well is shown by the tests of the demo, of verbs, of the image and
by `make chaos`, which start all theirs so.
"""

import array
import asyncio
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from subprocess import Popen
from typing import Any

from headrace.broker.adapters import tiktoken_counter

MODULE = "headrace.broker.cli.main"
_IMPORTED = (
    "headrace.broker.cli.dead_letters.verb",
    "headrace.broker.cli.dispatcher",
    "headrace.broker.cli.retrier",
    "headrace.broker.cli.submit",
    "headrace.broker.cli.topics",
    MODULE,
)
_MESSAGE_BYTES_MAX = 1024 * 1024
_PIPE_BYTES = 64 * 1024
_LIBC, _PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


class Forked:
    """A process that the forking one has started; used as `asyncio.subprocess.Process`, in the loop that began it."""

    def __init__(self, pid: int, prefork: "Prefork") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        """For what was started by `run`."""
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

    async def communicate(self) -> tuple[bytes, bytes]:
        """The rest of what it writes, once it has ended."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err

    async def read_from(self, out: int, err: int) -> None:
        """Let its two outputs be read at the other ends of their pipes."""
        for reader, end in ((self.stdout, out), (self.stderr, err)):
            await self._loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), os.fdopen(end, "rb", 0))

    def leave(self) -> None:
        """Wait for its end no longer."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _end(self) -> None:
        self.leave()
        self.returncode = self._prefork.reap(self.pid)
        self._ended.set()


class Prefork:
    """The test's end: starts the forking process when it is first needed."""

    def __init__(self) -> None:
        self.is_on = False
        self._server: Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, *, module: str = MODULE
    ) -> Forked:
        """Run `headrace` with these arguments; `output` takes what it writes. `module` stands in for the verbs' own."""
        with Path(os.devnull).open("rb") as nothing:
            return self._start(module, arguments, environment, nothing.fileno(), output, output)

    async def run(self, arguments: Sequence[str], environment: Mapping[str, str], given: bytes = b"") -> Forked:
        """The same with what it writes in `stdout` and `stderr`; `given` stands in its input."""
        assert len(given) <= _PIPE_BYTES
        (given_from, given_to), (out_from, out_to), (err_from, err_to) = os.pipe(), os.pipe(), os.pipe()
        os.write(given_to, given)
        os.close(given_to)
        forked = self._start(MODULE, arguments, environment, given_from, out_to, err_to)
        for theirs in (given_from, out_to, err_to):
            os.close(theirs)
        await forked.read_from(out_from, err_from)
        return forked

    def _start(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], *standard: int) -> Forked:
        asked = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "directory": str(Path.cwd()),
        }
        return Forked(self._ask({"run": asked}, *standard), self)

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
    tiktoken_counter._load = cache(tiktoken_counter._load)
    tiktoken_counter._load("o200k_base")
    gc.collect()
    gc.freeze()
    while True:
        message, ancillary, _, _ = asking.recvmsg(_MESSAGE_BYTES_MAX, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not message:
            return
        asked = json.loads(message)
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            asking.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        standard = array.array("i", ancillary[0][2])
        if (pid := os.fork()) == 0:
            asking.close()
            sys.exit(_run(standard, asked["run"]))
        for each in standard:
            os.close(each)
        asking.send(b"%d" % pid)


def _run(standard: Sequence[int], asked: Mapping[str, Any]) -> int:
    """Be the process that was asked for; it ends with the forking one, and so with a run that is killed."""
    os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, given in enumerate(standard):
        os.dup2(given, number)
        os.close(given)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    sys.argv = ["headrace", *asked["arguments"]]
    return int(importlib.import_module(asked["module"]).main())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)
