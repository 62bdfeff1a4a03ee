"""Date, commit and machine of a run, without any paths or names of persons."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def surroundings() -> dict[str, str]:
    """Return `date`, `commit` and `machine`."""
    return {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "machine": _machine()}


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "broker", "benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes that are not committed" if changed else commit


def _git(*words: str) -> str:
    command = ("git", "-C", str(_ROOT), *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 -- our own words


def _machine() -> str:
    cores = os.cpu_count() or 1
    return f"{cores} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
