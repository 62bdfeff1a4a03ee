"""The door to jgo, a Maven client in Python: fetches one jar by its coordinate, from the repository jgo knows."""

from pathlib import Path

_TIMEOUT_S = 20  # of silence, not for the whole jar


def fetch_jar(group: str, artifact: str, version: str, into: Path) -> Path:
    """Download the jar of this coordinate below `into`, an empty directory, and return its path.

    Raises:
        OSError: The network or the disk (what requests raises is an OSError too).
        RuntimeError: The repository does not have it.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415  the extra may be missing; require_extra says so

    context = MavenContext(repo_cache=into, timeout=_TIMEOUT_S)
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())
