"""Python environments of what is tried, beside the one of the tests, each from a lock of its own."""

import sys
from pathlib import Path

from tests.compatibility.machine import ROOT, TOOLS, run

LOCKS = Path(__file__).parent / "python"
_UV = ROOT / ".tools" / "uv"  # where `make install` has put it


def python_with(name: str) -> str:
    """The interpreter of an environment with what `python/NAME.lock` says."""
    lock, home = LOCKS / f"{name}.lock", TOOLS / f"gateway-{name}"
    stamp, interpreter = home / ".installed", home / "bin" / "python"
    wanted = f"{sys.version}\n{lock.read_text(encoding='utf-8')}"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        uv = [str(_UV / "bin" / "uv"), "--quiet", "--no-config", "--cache-dir", str(TOOLS / "cache")]
        run(ROOT, *uv, "venv", "--clear", "--no-project", "--python", sys.executable, str(home))
        run(ROOT, *uv, "pip", "install", "--python", str(interpreter), "--require-hashes", "-r", str(lock))
        stamp.write_text(wanted, encoding="utf-8")
    return str(interpreter)
