"""The recipes for FastAPI, Django and Celery with these frameworks, which no other test installs."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.compatibility.machine import LOCK, ROOT, TOOLS, install

RECIPES = ROOT / "examples" / "recipes"
RECIPES_LOCK = Path(__file__).parent / "recipes.lock"
TESTED = ("fastapi_app", "webhook/test_other_library.py")


@cache
def environment() -> dict[str, str]:
    """The environment of a process that finds the frameworks beside what our own environment has."""
    home = TOOLS / "recipes"
    install(home, RECIPES_LOCK)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(home), str(RECIPES)))}


def test_their_own_tests_pass() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(RECIPES / name) for name in TESTED),
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_the_lock_agrees_with_that_of_all_other_tests() -> None:
    def pins(lock: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))

    ours, whole = pins(RECIPES_LOCK), pins(LOCK)
    assert "pydantic" in ours.keys() & whole.keys()
    assert {name: whole[name] for name in ours.keys() & whole.keys()} == {
        name: ours[name] for name in ours.keys() & whole.keys()
    }
