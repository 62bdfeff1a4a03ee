"""Headrace beside what it requires without an extra, and nothing else: as producers and readers install it."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.broker.extras import MODULES
from tests.distributions import environment, needed

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_PUBLIC = "import headrace, sys\nfor name in headrace.__all__: getattr(headrace, name)\n"
_CONSOLE = "import sys; from headrace.broker.cli.console import main; sys.exit(main())"
_TEST = """
import asyncio, sys
from headrace import GenerationClient
from headrace.broker.simulator.upstream import Upstream
from headrace.broker.testing import MemoryBroker

async def main():
    async with MemoryBroker(lambda asked: "Dear Ada") as broker:
        async with GenerationClient(connection=broker.connection) as generations:
            done = await generations.generate({"model": "gpt-4o-mini", "messages": []}, lane="urgent")
    print(done.response["choices"][0]["message"]["content"])

asyncio.run(main())
print(*{'openai', 'redis', 'tiktoken', 'typer', 'rich'} & {*sys.modules})
"""
_OF_AIOKAFKA = {"aiokafka", "async_timeout", "cramjam", "packaging"}
_OF_PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}

Run = Callable[..., subprocess.CompletedProcess[str]]


def site_of(folder: Path) -> Path:
    [site] = folder.glob("lib/python*/site-packages")
    return site


def installed(folder: Path, *extras: str) -> Run:
    """Run a program, with arguments, where Headrace and what these extras ask for are installed."""
    asked = [*PROJECT["dependencies"], *(each for extra in extras for each in PROJECT["optional-dependencies"][extra])]
    python = environment(folder, needed(asked) | {"headrace"})

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = (str(python), "-W", "error", "-c", program, *arguments)
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return installed(tmp_path_factory.mktemp("alone"))


def test_every_public_name_is_there_and_loads_no_package_but_these(alone: Run) -> None:
    done = alone(f"{_PUBLIC}print(*{{name.partition('.')[0] for name in sys.modules}} - sys.stdlib_module_names)")
    assert done.returncode == 0, done.stderr
    packages = {name for name in done.stdout.split() if not name.startswith("_") and name != "cython_runtime"}
    assert packages <= {"headrace"} | _OF_AIOKAFKA | _OF_PYDANTIC


def test_of_the_core_two_values_are_loaded_and_none_of_its_decisions(alone: Run) -> None:
    done = alone(f"{_PUBLIC}print(*(name for name in sys.modules if name.startswith('headrace.broker.core.')))")
    core = {name.removeprefix("headrace.broker.core.") for name in done.stdout.split()}
    assert core == {"answers", "answers.answer", "setback"}


@pytest.mark.parametrize("arguments", [[], ["dispatcher", "--help"]])
def test_the_console_script_says_in_one_sentence_which_extra_to_install(alone: Run, arguments: list[str]) -> None:
    done = alone(_CONSOLE, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("headrace: the verbs need more than the client that is installed (missing: aiohttp, ")
    assert done.stderr.endswith(": pip install 'headrace[server]'.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["testing", "simulator.upstream"])
def test_what_is_for_tests_names_the_extra_of_tests(alone: Run, module: str) -> None:
    done = alone(f"import headrace.broker.{module}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith("(missing: aiohttp, prometheus_client, structlog): pip install 'headrace[testing]'.")
    assert "During handling of the above" not in done.stderr


def test_with_that_extra_a_service_is_tested_without_openai_or_redis(tmp_path: Path) -> None:
    done = installed(tmp_path, "testing")(_TEST)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["Dear Ada", ""]


def test_an_older_openai_beside_the_client_is_no_dispatcher(tmp_path: Path) -> None:
    """A service has a module of each package of the extra, but an openai 1, which brings no httpx2."""
    run = installed(tmp_path)
    for name in {*MODULES["server"]} - {"httpx2"}:
        (site_of(tmp_path) / f"{name}.py").touch()
    assert run(_CONSOLE, "dispatcher").stderr == (
        "headrace: the verbs need more than the client that is installed (missing: httpx2): "
        "pip install 'headrace[server]'.\n"
    )
