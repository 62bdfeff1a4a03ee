"""The cache directory for fetched jars and the notes on detached pairs: one a user, outside every project."""

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Return `HEADRACE_CACHE_DIR`, or `headrace` in the platform's cache directory of the user. It may not exist."""
    override = os.environ.get("HEADRACE_CACHE_DIR")
    if override:
        return Path(override).expanduser().resolve()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headrace"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and is ignored.
    return (Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache") / "headrace"
