"""What is compiled does what is interpreted does: the same digests, the same plans, the same tests passed."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.compiled.build import ROOT, TREE

TIMEOUT_S = 600

pytestmark = pytest.mark.timeout(TIMEOUT_S)


def run_in(folder: Path, *command: str) -> str:
    """What it prints where these modules are the nearest; a failure shows it all."""
    environment = os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1"}
    ran = subprocess.run(
        (sys.executable, *command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-5_000:]
    return ran.stdout


def digests(folder: Path, *command: str) -> list[str]:
    """The line of each seed, without that of how fast they were."""
    return [line for line in run_in(folder, *command, "--digest").splitlines() if line.startswith("seed ")]


def named_by_the_hook() -> set[Path]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    found = {path.relative_to(ROOT) for pattern in hook["include"] for path in ROOT.glob(pattern.lstrip("/"))}
    excluded = {path.lstrip("/") for path in hook["exclude"]}
    return {path for path in found if str(path) not in excluded and path.name not in excluded}


def test_what_the_build_names_is_compiled_and_is_what_is_imported() -> None:
    assert TREE.is_dir(), "Nothing is compiled yet: run `make compiled`, which compiles it first."
    names = sorted(".".join(path.with_suffix("").parts) for path in named_by_the_hook())
    assert len(names) > 80
    code = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {names}), sep='\\n')"
    for name, file in zip(names, run_in(TREE, "-c", code).splitlines(), strict=True):
        assert Path(file).is_relative_to(TREE), file
        assert file.endswith((".so", ".pyd")), f"{name} is interpreted: {file}"
        assert (ROOT / Path(*name.split("."))).with_suffix(".py").read_bytes() == (
            TREE / Path(*name.split("."))
        ).with_suffix(".py").read_bytes(), f"{name} has changed since it was compiled: run `make compiled`."


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "tests.simulation.run", "--seeds", "200"),
        ("-m", "tests.simulation.run", "--seeds", "20", "--crowded"),
        ("-m", "tests.simulation.service.run", "--seeds", "200"),
    ],
    ids=["core", "core, crowded", "service"],
)
def test_every_step_of_every_seed_is_the_same(command: tuple[str, ...]) -> None:
    compiled, interpreted = digests(TREE, *command), digests(ROOT, *command)
    assert len(compiled) == int(command[3])
    assert compiled == interpreted


@pytest.mark.parametrize(
    "workload",
    [
        ("examples/workload.toml", "--tokens-per-minute", "30000", "--quotas", "1,2"),
        ("examples/workload.toml", "--tokens-per-minute", "40000", "--behaviour", "sliding-window", "--quotas", "1"),
        ("--rate", "bulk=60/s", "--size", "300-700", "--hours", "1", "--tokens-per-minute", "2100000", "--quotas", "1"),
    ],
    ids=["two quotas side by side", "under another law", "in parts"],
)
def test_a_plan_is_the_same_although_its_parts_go_from_process_to_process(workload: tuple[str, ...]) -> None:
    command = ("-m", "headrace.broker.cli.main", "simulate", *workload, "--json")
    compiled, interpreted = (json.loads(run_in(folder, *command)) for folder in (TREE, ROOT))
    assert compiled["requests"] > 30_000
    assert compiled == interpreted


def test_the_tests_of_the_core_pass() -> None:
    folders = ("tests/unit/core", "tests/property")
    summary = run_in(TREE, "-m", "pytest", "-q", "-n", "auto", "-m", "not interpreted", *folders).splitlines()[-1]
    print(summary)
    assert int(summary.split()[0]) > 2_300
