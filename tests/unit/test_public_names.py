"""What `headrace` offers by its one import name."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headrace

ROOT = Path(__file__).parents[2]
INIT = ROOT / "headrace" / "__init__.py"
LINKS = ("broker", "consumers", "schemas")


def told_to_type_checkers() -> dict[str, str]:
    """Each name, and the module that a type checker takes it from."""
    imports = [
        node for node in ast.walk(ast.parse(INIT.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    return {
        each.name: node.module
        for node in imports
        if node.module and node.module.startswith("headrace")
        for each in node.names
    }


def test_each_name_is_what_type_checkers_are_told_it_is() -> None:
    assert sorted(told_to_type_checkers()) == sorted(headrace.__all__)
    for name, module in told_to_type_checkers().items():
        assert getattr(headrace, name) is getattr(importlib.import_module(module), name)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'headrace' has no attribute 'Dispatch'"):
        headrace.Dispatch  # type: ignore[attr-defined]  # that is what is tested  # noqa: B018


def test_every_public_name_is_listed() -> None:
    assert set(headrace.__all__) <= set(dir(headrace))


def test_every_error_of_the_producers_guide_is_public() -> None:
    guide = (ROOT / "docs" / "producers.md").read_text(encoding="utf-8")
    [table] = re.findall(
        r"^\| [^\n]*\n\|---\|---\|---\|\n((?:\|[^\n]*InvalidRequest[^\n]*\n)(?:\|[^\n]*\n)+)", guide, re.MULTILINE
    )
    named = {name for row in table.splitlines() for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}
    assert "WaitTimedOut" in named
    assert named <= set(headrace.__all__)
    assert all(issubclass(getattr(headrace, name), headrace.HeadraceError) for name in named)


@pytest.mark.parametrize("package", LINKS)
def test_each_package_is_a_folder_of_the_repository_behind_a_relative_link(package: str) -> None:
    link = INIT.with_name(package)
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{package}"
    assert importlib.import_module(f"headrace.{package}").__file__ == str(link / "__init__.py")


def test_importing_headrace_loads_nothing_but_itself() -> None:
    program = (
        "import sys; before = {*sys.modules}; import headrace; "
        "print(*sorted({*sys.modules} - before - {'importlib', 'typing'}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert [name for name in loaded.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names] == [
        "headrace"
    ]
