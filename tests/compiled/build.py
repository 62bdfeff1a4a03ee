"""python -m tests.compiled.build: the wheel as `HATCH_BUILD_HOOK_ENABLE_MYPYC=1 pip wheel .` makes it, unpacked.

Beside it in one folder are the tests, benchmarks and examples: what runs there runs on compiled modules. It is made
from a copy of the sources, for the compiler leaves its modules beside what it compiled.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / ".tools" / "compiled"
SOURCES = ("headrace", "broker", "consumers", "schemas")  # the first has links to the others
AROUND = ("tests", "benchmarks", "examples")
FILES = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
TIMEOUT_S = 1_800


def main() -> int:
    """Build and unpack; 2 if this machine cannot."""
    if shutil.which("cc") is None:
        print("make compiled: there is no C compiler (cc). On Debian: apt-get install gcc", file=sys.stderr)
        return 2
    begun_s = perf_counter()
    print("compiling (two to ten minutes) …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for name in SOURCES:
            _copied(name, copy)
        for name in FILES:
            shutil.copy(ROOT / name, copy)
        try:
            wheel = made_of(copy, Path(folder) / "wheel")
        except subprocess.SubprocessError as error:
            print(f"make compiled: {error}", file=sys.stderr)
            return 2
        shutil.rmtree(TREE, ignore_errors=True)
        zipfile.ZipFile(wheel).extractall(TREE)
    for name in AROUND:
        _copied(name, TREE)
    shutil.copy(ROOT / "pyproject.toml", TREE)
    modules = sum(1 for _ in TREE.glob("headrace/broker/**/*.so"))
    print(f"{modules} modules compiled in {perf_counter() - begun_s:.0f} s: {TREE.relative_to(ROOT)}")
    return 0


def made_of(copy: Path, folder: Path) -> Path:
    """The wheel that pip makes of these sources. Raises SubprocessError if it makes none."""
    command = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy))
    environment = os.environ | {"HATCH_BUILD_HOOK_ENABLE_MYPYC": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, env=environment, check=True, timeout=TIMEOUT_S)
    [wheel] = folder.iterdir()
    return wheel


def _copied(name: str, folder: Path) -> None:
    shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so"))


if __name__ == "__main__":
    sys.exit(main())
