"""Processes as pids, started by this process or left by a dead owner, and their end.

A pid alone proves nothing, since the kernel may have given it to a foreign process by now. Each server is therefore
started with a path of its data directory on its command line, its mark, and a pid counts as Headrace's only while its
command line bears the mark.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 5.0
_KILLED_WITHIN_S = 5.0
_POLL_S = 0.02
_VISIBLE_POLL_S = 0.001
_ENVIRONMENT_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")  # JAVA_TOOL_OPTIONS and its kin would change the server


@dataclass(frozen=True, slots=True)
class Process:
    """A pid, and the text that only a process of Headrace has on its command line."""

    pid: int
    mark: str


def spawn(command: Sequence[str], *, log: Path, directory: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own (Ctrl-C must reach the owner first), with its output appended to `log`.

    It returns when the command line can be read. Popen returns a moment earlier, while Linux still shows none, and a
    stop in that moment would take the child for a foreign process.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  the command is ours, word by word
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={name: value for name in _ENVIRONMENT_KEPT if (value := os.environ.get(name)) is not None},
            start_new_session=True,
        )
    while not command_line(child.pid) and child.poll() is None:
        time.sleep(_VISIBLE_POLL_S)
    return child


def disown(child: subprocess.Popen[bytes]) -> None:
    """Leave the child running after its parent: it must not be waited for, and Popen must not warn about that."""
    child.returncode = 0


def command_line(pid: int) -> str:
    """Return the command line of a live process, words separated by blanks; empty without one, as for a zombie."""
    proc = Path("/proc")
    if (proc / "self" / "cmdline").exists():
        try:
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603  fixed words and a number


def is_running(process: Process) -> bool:
    """Return whether this pid is alive and bears the mark."""
    return process.mark in command_line(process.pid)


def running_in(directory: Path) -> tuple[Process, ...]:
    """Return every server of Headrace that runs with its files in this directory, on record or not."""
    marks = (f"-Djava.io.tmpdir={directory / 'kafka-'}", f"--dir {directory / 'valkey'} ")
    lines = {pid: f"{command_line(pid).rstrip()} " for pid in _pids()}
    return tuple(Process(pid, mark) for pid, line in lines.items() for mark in marks if mark in line)


def _pids() -> list[int]:
    """Return the pids of all processes of this machine that may be inspected."""
    proc = Path("/proc")
    if (proc / "self" / "cmdline").exists():
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    listed = subprocess.run(["ps", "-ax", "-o", "pid="], capture_output=True, text=True, check=False).stdout  # noqa: S607 — as found in PATH
    return [int(word) for word in listed.split()]


def stop(processes: Iterable[Process], *, grace_s: float = GRACE_S) -> None:
    """End all processes: SIGTERM to all at once, SIGKILL after `grace_s` to those left; return when all are gone."""
    alive = [process for process in processes if is_running(process)]
    for process in alive:
        _signal(process.pid, signal.SIGTERM)
        _signal(process.pid, signal.SIGCONT)  # one that a test froze receives SIGTERM only now
    alive = _await_end(alive, grace_s)
    for process in alive:
        _signal(process.pid, signal.SIGKILL)
    _await_end(alive, _KILLED_WITHIN_S)


def _await_end(processes: list[Process], within_s: float) -> list[Process]:
    """Wait for the end; return the processes that still run after `within_s`."""
    deadline = time.monotonic() + within_s
    while (alive := [process for process in processes if is_running(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return alive


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or a foreign process by now
        return
