"""The way to buildah and podman: a store of their own below our cache, and the flags that this kind of machine needs.

Of its own, so that nobody else's images and containers are seen or removed, and removing the folder removes everything.
What is left of running containers belongs into a folder that a restart of the machine empties; podman insists on it.
"""

import hashlib
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

from headrace.broker.local.cache import cache_dir

STORE = cache_dir() / "image" / "store"
IMAGE = "localhost/headrace:test"

_RUN = Path("/run") / f"headrace-image-{hashlib.sha256(str(STORE).encode()).hexdigest()[:8]}"
_STORAGE = ("--root", str(STORE), "--runroot", str(_RUN), "--storage-driver", "overlay")


class EngineError(Exception):
    """A command that failed, with what it said."""


def buildah(*args: str) -> list[str]:
    """The command line of a buildah that uses our store."""
    return ["buildah", *_STORAGE, *args]


def podman(*args: str) -> list[str]:
    """The command line of a podman that uses our store; crun, its default, fails where cgroups are a mixture."""
    return ["podman", *_STORAGE, "--runtime", "runc", "--cgroup-manager", "cgroupfs", *args]


def output(command: Sequence[str], *, timeout_s: float = 60) -> str:
    """What the command printed.

    Raises:
        EngineError: It ended with another code than 0.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise EngineError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def as_in_a_cluster() -> list[str]:
    """How a careful cluster runs a container: nothing to write to, not even /tmp, and no right to gain any right."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)  # podman asks for more than it may give away
    return [
        *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=1024:1024"),
    ]
