"""What a machine needs for this room: Debian's Chromium, and Playwright and axe from Python packages.

Both are installed when missing. The packages go into `.tools/`, by a lock of their own, so that requirements.lock stays
small.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".tools" / "page"
LOCK = Path(__file__).with_name("browser.lock")
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
_PROGRAM = "chromium"


class CannotPrepareError(Exception):
    """One sentence: what this machine lacks."""


def prepare() -> str:
    """Install what is missing, and return the browser's path; after it playwright and axe can be imported.

    Raises:
        CannotPrepareError: It cannot be installed here.
    """
    _install_packages()
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))  # last: what the environment has comes first
    found = os.environ.get("CHROMIUM") or shutil.which(_PROGRAM)
    return found or _installed()


def _installed() -> str:
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        raise CannotPrepareError("This needs Chromium: set CHROMIUM to its path, or run it as root on Debian.")
    print("installing chromium …", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", _PROGRAM]):
        done = subprocess.run([apt_get, *step], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotPrepareError(f"apt-get {step[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return str(shutil.which(_PROGRAM))


def _install_packages() -> None:
    stamp, wanted = PACKAGES / ".installed", LOCK.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(PACKAGES)]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
    stamp.write_text(wanted, encoding="utf-8")
