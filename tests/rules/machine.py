"""The tools of this room: promtool and prometheus, of one Debian package, installed where they are missing.

`PROMTOOL` and `PROMETHEUS` may name others, such as newer ones.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "headrace" / "files" / "rules.yaml"
_INSTALL_S = 300


class CannotPrepareError(Exception):
    """One sentence: what this machine lacks."""


@cache
def tool(name: str) -> str:
    """Where `promtool` or `prometheus` is.

    Raises:
        CannotPrepareError: It is not there, and cannot be installed here.
    """
    named = os.environ.get(name.upper()) or shutil.which(name)
    if named is None:
        _install()
        named = shutil.which(name)
    if named is None:
        raise CannotPrepareError(f"Debian's package prometheus has no {name}: let {name.upper()} name one.")
    return named


def _install() -> None:
    apt_get = shutil.which("apt-get")
    if apt_get is None or sys.platform != "linux" or os.geteuid() != 0:
        raise CannotPrepareError("promtool is missing: install Prometheus, or let PROMTOOL and PROMETHEUS name them.")
    sys.stderr.write("installing prometheus …\n")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "prometheus"]):
        done = subprocess.run(
            [apt_get, *step], env=quiet, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
        if done.returncode != 0:
            raise CannotPrepareError(f"apt-get {step[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool and return what it said."""
    return subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=300)
