"""compose.yaml as Compose itself reads it."""

import json
import os
from pathlib import Path
from typing import Any

from tests.image.engine import output
from tests.image.machine import ROOT, checker

COMPOSE = ROOT / "compose.yaml"


def composed(*args: str, file: Path = COMPOSE) -> str:
    """What Compose makes of the file on a machine where nothing is set."""
    bare = ["env", "-i", f"PATH={os.environ['PATH']}", f"HOME={os.environ.get('HOME', '/')}"]
    return output([*bare, checker("docker-compose"), "-f", str(file), "config", *args])


def services() -> dict[str, dict[str, Any]]:
    """Name to what Compose would start under it, everything inherited written out."""
    found: dict[str, dict[str, Any]] = json.loads(composed("--format", "json"))["services"]
    return found
