"""Import lines and install lines stand in docs/lines.toml alone: pages, examples and messages repeat that file."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.pages.blocks import PAGES, ROOT, of_kind

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
OURS = "headrace"
ROOMS = ("broker", "consumers", "schemas")
_INSTALL = re.compile(r"(?:HATCH_BUILD_HOOK_ENABLE_MYPYC=1 )?pip install [^`\n]*?(?=`|\n|,|\.\"|$)|make install\b")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_lines", ROOT / "docs" / "write_lines.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITE_LINES = script()
MODULES: dict[str, str] = WRITE_LINES.modules()
INSTALL: dict[str, str] = WRITE_LINES.install_lines()


def sources() -> Iterator[tuple[str, str]]:
    """Every example and Python block, with its place."""
    yield from ((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in EXAMPLES)
    yield from ((str(block), block.text) for block in of_kind("python"))


def imported() -> Iterator[tuple[str, str, str]]:
    """Place, module and name of each import of ours."""
    for place, text in sources():
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == OURS:
                    yield from ((place, module, each.name) for each in names)
                case ast.Import(names=names):
                    assert not [each for each in names if each.name.split(".")[0] == OURS], place


@pytest.mark.parametrize(("name", "module"), MODULES.items())
def test_each_name_is_where_its_line_says(name: str, module: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_every_import_of_ours_is_a_line_of_the_source() -> None:
    found = list(imported())
    assert len(found) > 40
    assert [each for each in found if MODULES.get(each[2]) != each[1]] == []


def test_a_name_in_running_text_stands_with_the_module_of_its_line() -> None:
    for page in PAGES:
        for module, name in re.findall(r"`(headrace(?:\.[a-z_]+)+)\.([A-Z]\w+)", page.read_text()):
            assert MODULES.get(name, module) == module, (page.name, name)


def install_lines_told() -> Iterator[tuple[str, str]]:
    """Each install line of pages, examples and messages, with its file; the change log tells of former ones."""
    every = [*PAGES, *EXAMPLES, *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    for path in every:
        for line in _INSTALL.findall(path.read_text(encoding="utf-8")):
            if path.name != "CHANGELOG.md" and "…" not in line:
                yield path.name, line.strip()


@pytest.mark.slow
def test_every_install_line_is_one_of_the_source() -> None:
    told = list(install_lines_told())
    assert {line for _, line in told} == set(INSTALL.values())
    assert {"README.md", "producers.md", "planning.md", "verb.py", "requirements.py"} <= {name for name, _ in told}


def test_the_script_has_nothing_left_to_write() -> None:
    for path in WRITE_LINES.files():
        text = path.read_text(encoding="utf-8")
        assert WRITE_LINES.rewritten(text, MODULES, INSTALL) == text, "run: python docs/write_lines.py"


def test_the_script_moves_each_name_to_its_module_and_leaves_others_alone() -> None:
    text = "from headrace.broker.client import GenerationClient, Submission\nfrom json import loads\n"
    moved = {"GenerationClient": "headrace", "Submission": "headrace.broker.client"}
    assert WRITE_LINES.rewritten(text, moved, {}) == (
        "from headrace import GenerationClient\nfrom headrace.broker.client import Submission\nfrom json import loads\n"
    )
    beside = "from headrace.consumers.results import ResultReader\nfrom headrace.schemas.outcome import Failed\n"
    moved = {"ResultReader": "headrace", "Failed": "headrace"}
    assert WRITE_LINES.rewritten(beside, moved, {}) == "from headrace import Failed, ResultReader\n"
    block = "<!-- line: install.package; not run: why -->\n```sh\npip install ./headrace\n```\n"
    assert "```sh\npip install headrace\n```" in WRITE_LINES.rewritten(block, {}, {"package": "pip install headrace"})


def test_a_service_imports_the_client_from_the_module_that_is_quoted() -> None:
    quoted = {Path(place.partition(":")[0]).name for place, _, name in imported() if name == "GenerationClient"}
    assert {"producer.py", "README.md", "producers.md", "consumers.md", "testing.md", "service.py"} <= quoted
