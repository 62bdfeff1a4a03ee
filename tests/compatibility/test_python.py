"""The Pythons that the package names, besides the one that runs the other tests."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import ask_once, dispatching
from tests.compatibility.machine import ROOT, python

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in ("3.11", "3.12", "3.13") if version != OURS]
REPRESENTATIVE = (
    "tests/unit/core",
    "tests/unit/schemas",
    "tests/unit/test_client.py",
    "tests/unit/service/calls/test_caller.py",
    "tests/unit/service/test_driver.py",
    "tests/simulation/test_two_dispatchers.py",
)
SAME_RUNS = (
    ("tests.simulation.run", "--seeds", "10", "--digest"),
    ("tests.simulation.service.run", "--seeds", "5", "--processes", "1", "--digest"),
)
IMPORT_ALL = """
import importlib, pkgutil
import headrace
for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
    importlib.import_module(module.name)
    print(module.name)
"""


def run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "CI": "true"}
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@cache
def told(interpreter: str, simulation: tuple[str, ...]) -> list[str]:
    """Each seed's digest and what it came to; the last line would say how long all took."""
    seeds = run(interpreter, "-m", *simulation).splitlines()[:-1]
    assert len(seeds) == int(simulation[2])
    return seeds


class Elsewhere:
    """One of the others. Each is a class, so that loadscope gives them to two workers, which install both at once."""

    version: ClassVar[str]

    def test_every_module_is_imported_without_a_warning(self) -> None:
        imported = run(python(self.version), "-X", "dev", "-W", "error", "-c", IMPORT_ALL).split()
        assert {
            "headrace.broker.cli.main",
            "headrace.broker.core.dispatch",
            "headrace.consumers.results",
            "headrace.schemas.codec",
        } <= set(imported)

    def test_the_unit_tests_that_lean_most_on_python_pass(self) -> None:
        """Not the slow ones: they repeat for thousands of calls what the others do, and the seeds below do that too."""
        said = run(
            python(self.version), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *REPRESENTATIVE
        )
        assert " passed" in said.splitlines()[-1]

    @pytest.mark.parametrize("simulation", SAME_RUNS, ids=["core", "service"])
    def test_a_seed_takes_the_same_steps_as_in_our_python(self, simulation: tuple[str, ...]) -> None:
        assert told(python(self.version), simulation) == told(sys.executable, simulation)

    async def test_a_dispatcher_answers_a_request(self, services: LocalServices, tmp_path: Path) -> None:
        async with dispatching(services, f"python-{self.version}", tmp_path) as fleet:
            fleet.python = python(self.version)
            await fleet.start()
            await ask_once(fleet)


class TestTheOlderOfTheOthers(Elsewhere):
    version = OTHERS[0]


class TestTheNewerOfTheOthers(Elsewhere):
    version = OTHERS[1]
