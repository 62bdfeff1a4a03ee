"""The guard: a small process that briefly outlives its owner, so that nothing else does.

An owner that is ended by SIGTERM or SIGKILL, or leaves without closing anything, cannot stop its servers. The guard
holds the read end of a pipe with the owner as its only writer: end of file means that the owner is gone, in whatever
way. The guard then stops the servers and removes the directories that the owner has named. Run as a script it imports
the standard library only and starts in some 20 ms; it is not part of a pair that is left running by itself.
"""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path


class Guard:
    """The owner's end: name what must not outlive the owner, then call `release()`."""

    def __init__(self) -> None:
        root = Path(__file__).parents[3]  # where `headrace` is, in a checkout and installed
        program = (
            f"import sys; sys.path.insert(0, {str(root)!r}); "
            f"from headrace.broker.local.guard import keep_watch; keep_watch()"
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
        """Stop this process once the owner is gone."""
        self._tell(f"watch {pid} {mark}")

    def remove(self, directory: Path) -> None:
        """Remove this directory once the owner is gone."""
        self._tell(f"remove {directory}")

    def release(self) -> None:
        """End the guard without any action; the watched processes go on."""
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
            with contextlib.suppress(BrokenPipeError):  # the guard was killed: the pair works without it
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()


def keep_watch() -> None:
    """Run the guard: read orders until the owner closes the pipe or dies."""
    from headrace.broker.local.processes import Process, stop  # noqa: PLC0415  the owner imports this module without need of it

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
