"""A small process that outlives its owner by a moment, so that nothing else does.

An owner that is ended by SIGTERM or SIGKILL, or leaves without closing anything, cannot stop its servers. The guard
holds the read end of a pipe whose only writer is the owner: end of file means that the owner is gone, however it
went. It then stops the servers it was told of and removes the directory it was told of. Run as a script it imports
the standard library only and starts in some 20 ms; it is no part of the pair when the pair is left running by itself.
"""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path


class Guard:
    """The owner's end: name what must not outlive us, then `release()`."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        program = (
            f"import sys; sys.path.insert(0, {str(root)!r}); from broker.local.guard import keep_watch; keep_watch()"
        )
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter with our own words
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The guard's own pid."""
        return self._process.pid

    def watch(self, pid: int, mark: str) -> None:
        """From now on this process must not outlive us."""
        self._tell(f"watch {pid} {mark}")

    def remove(self, directory: Path) -> None:
        """From now on this directory must not outlive us."""
        self._tell(f"remove {directory}")

    def release(self) -> None:
        """The guard forgets everything and ends; what it watched goes on."""
        self._tell("release")
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # somebody killed the guard: the pair works without it
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()


def keep_watch() -> None:
    """The guard's whole life: read orders until the owner closes the pipe or dies."""
    from broker.local.processes import Process, stop  # noqa: PLC0415  the owner imports this module without need of it

    watched: dict[int, Process] = {}
    directories: list[Path] = []
    for line in sys.stdin:
        order, _, rest = line.rstrip("\n").partition(" ")
        if order == "release":
            return
        if order == "watch":
            pid, _, mark = rest.partition(" ")
            watched[int(pid)] = Process(int(pid), mark)
        elif order == "remove":
            directories.append(Path(rest))
    stop(watched.values())
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
