"""What a machine must have for this room, installed where it can be: Debian's programs, and other Pythons.

What cannot be had fails the test in CI and skips it elsewhere, with a sentence that says how to get it.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools" / "compatibility"
LOCK = ROOT / "requirements.lock"
_PROGRAMS = ("kcat", "redis-server")  # each is in the package of its name
_UV = ROOT / ".tools" / "uv"  # where `make install` has put it
_UV_LOCK = ROOT / "requirements-uv.lock"


def program(name: str) -> str:
    """The path of a program of Debian's; as root on Debian all that are missing are installed first, at once."""
    _install_programs()
    return shutil.which(name) or unavailable(f"{name} is missing: install it with `apt-get install {name}`, as root.")


@cache
def python(version: str) -> str:
    """The interpreter of an environment with the whole lock, on a Python of this minor version."""
    home = TOOLS / f"python-{version}"
    made, stamp = home / "bin" / "python", home / ".installed"
    found = interpreter(version)
    wanted = f"{found}\n{LOCK.read_text(encoding='utf-8')}"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        run(ROOT, *uv(), "venv", "--clear", "--no-project", "--python", found, str(home))
        run(ROOT, *uv(), "pip", "install", "--python", str(made), "--require-hashes", "-r", str(LOCK))
        editable = ("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        run(ROOT, *uv(), "pip", "install", "--python", str(made), *editable)
        stamp.write_text(wanted, encoding="utf-8")
    return str(made)


@cache
def workers() -> Path:
    """A folder with gunicorn, Celery and Flask, which nothing else here needs."""
    home = TOOLS / "workers"
    install(home, Path(__file__).parent / "workers.lock")
    return home


def node_package(source: Path) -> Path:
    """A copy of a Node package with what its lock file says installed beside it, unless it stands there already."""
    if shutil.which("npm") is None:
        unavailable("npm is missing: install Node 20 or newer.")
    home = TOOLS / source.name
    shutil.copytree(source, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    stamp, wanted = home / "node_modules" / ".installed", (source / "package-lock.json").read_text(encoding="utf-8")
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        run(home, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")  # it empties node_modules first
        stamp.write_text(wanted, encoding="utf-8")
    return home


def run(directory: Path, *command: str) -> str:
    """What a command said on stdout; whatever it said, if it failed."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def install(home: Path, lock: Path) -> None:
    """Install the packages of a lock into a folder for PYTHONPATH, unless they are there."""
    stamp = home / ".installed"
    wanted = f"{sys.version}\n{lock.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(home, ignore_errors=True)
    target = ("--python", sys.executable, "--target", str(home))
    run(ROOT, *uv(), "pip", "install", *target, "--require-hashes", "-r", str(lock))
    stamp.write_text(wanted, encoding="utf-8")


def unavailable(sentence: str) -> NoReturn:
    """Fail in CI, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@cache
def _install_programs() -> None:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    apt_get = shutil.which("apt-get")
    if not missing or apt_get is None or os.geteuid() != 0:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", *missing)
    for step in (install, ("update", "-qq"), install):  # what is listed already needs no update, which takes seconds
        done = subprocess.run([apt_get, *step], env=quiet, check=False, capture_output=True)
        if done.returncode == 0 and step is install:
            return


def interpreter(version: str) -> str:
    """The path of a Python of this minor version.

    Asked, not believed: a shim of pyenv bears a version's name and may answer that it has none.
    """
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = [Path(directory) / name for directory in os.environ.get("PATH", "").split(os.pathsep) if directory]
    for candidate in (*on_path, *sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))):
        asked = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
        if not candidate.exists():
            continue
        answer = subprocess.run([str(candidate), "-c", asked], capture_output=True, text=True, check=False)
        executable, _, told = answer.stdout.strip().rpartition(" ")
        if answer.returncode == 0 and told == version:
            return executable
    unavailable(
        f"There is no Python {version} on the PATH or among pyenv's: `pyenv install {version}` brings one, or your"
        f" system's package python{version}."
    )


def uv() -> tuple[str, ...]:
    """The beginning of uv's commands. It installs the lock in seconds where pip needs half a minute for each Python."""
    program = _UV / "bin" / "uv"
    if not program.exists():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(ROOT, *pip, "--target", str(_UV), "--require-hashes", "-r", str(_UV_LOCK))
    return str(program), "--quiet", "--no-config", "--cache-dir", str(TOOLS / "cache")
