"""What a machine needs for this room: Debian's container tools, and two checkers from Python packages.

Both are installed when missing. The checkers go into `.tools/`, by a lock: they are programs that we run, not code that
we import.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKERS = ROOT / ".tools" / "image"
CHECKERS_LOCK = Path(__file__).parent / "checkers.lock"

_PROGRAMS = {"buildah": "buildah", "podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap"}
_TAKES = "It takes root on Linux, and Debian's packages " + ", ".join(sorted(_PROGRAMS.values()))


class CannotPrepareError(Exception):
    """One sentence: what this machine lacks."""


def prepare() -> None:
    """Install what is missing.

    Raises:
        CannotPrepareError: It cannot be installed here.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotPrepareError(f"{_TAKES}. Where there is a Docker, `docker build .` needs none of that.")
    _install_programs()
    _install_checkers()


def checker(name: str) -> str:
    """Where one of the checkers is."""
    return str(CHECKERS / "bin" / name)


def _install_programs() -> None:
    missing = sorted(package for program, package in _PROGRAMS.items() if shutil.which(program) is None)
    if not missing:
        return
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        raise CannotPrepareError(f"{_TAKES}. Here {', '.join(missing)} cannot be installed: there is no apt-get.")
    print(f"installing {', '.join(missing)} …", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run([apt_get, *step], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotPrepareError(f"apt-get {step[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def _install_checkers() -> None:
    stamp = CHECKERS / ".installed"
    wanted = CHECKERS_LOCK.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(CHECKERS)], check=True)
    pip = [checker("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(CHECKERS_LOCK)], check=True)
    stamp.write_text(wanted, encoding="utf-8")
