"""What is in the image, what is not, and what a process in it is."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from tests.image.build import BASE, bytes_of
from tests.image.engine import as_in_a_cluster, output, podman
from tests.image.inside import TEXTS
from tests.image.machine import ROOT

NOBODY = 10_001
OURS_MB_MAX = 118  # of which the extra otel takes 7
HOME = Path("opt/headrace")
BUILDS_OR_TESTS = {"cc", "gcc", "g++", "c++", "clang", "ld", "make", "cargo", "go", "git", "pytest", "hatchling", "uv"}


@pytest.fixture(scope="session")
def root(image: str) -> Iterator[Path]:
    """The image's file system, seen from outside by root."""
    yield Path(output(podman("image", "mount", image)))
    output(podman("image", "unmount", image))


@pytest.fixture(scope="session")
def told(image: str) -> dict[str, Any]:
    """What a process in a container without a network says of itself."""
    run = podman(
        "run", "--rm", "--interactive", "--network", "none", *as_in_a_cluster(), "--entrypoint", "python", image, "-"
    )
    program = (Path(__file__).parent / "inside.py").read_text(encoding="utf-8")
    done = subprocess.run(run, input=program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="session")
def config(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output(podman("image", "inspect", image)))[0]["Config"]
    return found


def packages(root: Path) -> Path:
    [found] = (root / HOME / "lib").glob("python3.*/site-packages")
    return found


def test_it_tells_its_version_without_a_network(image: str) -> None:
    run = podman("run", "--rm", "--network", "none", *as_in_a_cluster(), image, "--version")
    assert output(run) == f"headrace {project()['version']}"


def test_tokens_are_counted_without_a_network(told: dict[str, Any]) -> None:
    assert told["interfaces"] == ["lo"]
    assert told["tokens"] == [TiktokenCounter().count(model, text) for model, text in TEXTS]


def test_a_process_is_nobody_and_may_write_nowhere(told: dict[str, Any]) -> None:
    assert (told["uid"], told["gids"], told["capabilities"]) == (NOBODY, [NOBODY], 0)
    assert told["writable"] == []


def test_a_file_in_the_working_directory_shadows_no_module(told: dict[str, Any]) -> None:
    assert told["safe_path"] is True


def test_what_it_logs_is_not_held_back_and_no_bytecode_is_tried(told: dict[str, Any], config: dict[str, Any]) -> None:
    assert "PYTHONUNBUFFERED=1" in config["Env"]
    hosts = {"DISPATCHER__HTTP_HOST", "RETRIER__HTTP_HOST", "GATEWAY__HTTP_HOST", "GATEWAY__METRICS_HOST"}
    assert {f"HEADRACE_{each}=0.0.0.0" for each in hosts} <= set(config["Env"])
    assert told["writes_bytecode"] is False


def test_it_starts_what_a_signal_reaches(config: dict[str, Any]) -> None:
    assert config["Entrypoint"] == ["headrace"]
    assert config["Cmd"] == ["dispatcher"]
    assert config.get("StopSignal", "SIGTERM") in {"SIGTERM", "15"}
    assert config["User"] == f"{NOBODY}:{NOBODY}", "by number, or a cluster cannot tell that it is not root"


def test_its_labels_say_what_the_project_says(config: dict[str, Any]) -> None:
    label = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    wanted = project()
    assert (label["title"], label["version"], label["licenses"]) == tuple(
        wanted[key] for key in ("name", "version", "license")
    )


def test_it_holds_what_the_lock_says_and_ours(root: Path) -> None:
    there = {dist.name: dist.version for dist in Distribution.discover(path=[str(packages(root))])}
    python = packages(root).parent.name.removeprefix("python")
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    lines = re.findall(
        r"^([a-z0-9-]+)==(\S+) (?:; (.+) )?\\$", (ROOT / "requirements-runtime.lock").read_text(), re.MULTILINE
    )
    locked = {name: version for name, version, marker in lines if not marker or Marker(marker).evaluate(machine)}
    assert {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in there.items()} == {
        **locked,
        "headrace": project()["version"],
    }


def test_nothing_in_it_builds_or_tests(root: Path) -> None:
    folders = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/headrace/bin")
    programs = {path.name for folder in folders for path in (root / folder).glob("*")}
    assert {"python3", "headrace"} <= programs
    assert not {name for name in programs if name in BUILDS_OR_TESTS or re.match(r".*-gcc|gcc-|pytest", name)}
    assert not (root / "build").exists()
    ours = {path.relative_to(root) for path in (packages(root) / "headrace").rglob("*")}
    assert len(ours) > 400
    assert not {path for path in ours if path.name.startswith(("test_", "conftest")) or "tests" in path.parts}
    assert not (packages(root) / "tests").exists()


def test_no_cache_and_no_secret_is_left_behind(root: Path) -> None:
    assert not list((root / "root").rglob("*.cache"))
    assert not [
        path
        for path in (root / "root", root / "tmp", root / "run/secrets")
        if path.exists() and any(path.rglob("pip*"))
    ]
    assert not (root / "etc/pip.conf").exists()


def test_no_file_belongs_to_the_process(root: Path) -> None:
    owners = {path.lstat().st_uid for path in (root / HOME).rglob("*")}
    assert owners == {0}


def test_every_module_of_ours_and_of_the_packages_is_compiled(root: Path) -> None:
    """A process that may not write compiles anew at every start what is not."""
    tag = packages(root).parent.name.replace("python", "cpython-").replace(".", "")
    sources = list(packages(root).rglob("*.py"))
    assert len(sources) > 500
    bare = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists()]
    assert not bare


def test_it_stays_small(image: str) -> None:
    ours_mb = (bytes_of(image) - bytes_of(BASE)) / 1e6
    assert ours_mb < OURS_MB_MAX


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found
