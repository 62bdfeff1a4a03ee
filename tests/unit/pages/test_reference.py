"""The reference pages are what their scripts write, and name all that there is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from headrace.broker.cli.verbs import VERBS
from headrace.schemas.export import SHAPES
from tests.unit.pages.blocks import ROOT

GENERATED = ("cli", "metrics", "schemas")


def script(name: str) -> ModuleType:
    """The script of a page."""
    spec = importlib.util.spec_from_file_location(f"generate_{name}", ROOT / "docs" / f"generate_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_a_reference_page_is_what_its_script_writes(name: str) -> None:
    assert script(name).page() == text_of(name), "run: make reference"


def test_every_reference_page_has_a_script() -> None:
    assert {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")} == set(GENERATED)


def test_the_page_of_verbs_shows_every_verb() -> None:
    shown = {words.split()[0] for words in re.findall(r"^## `headrace (.+)`$", text_of("cli"), re.MULTILINE)}
    assert shown == {verb.name for verb in VERBS}


def test_the_page_of_schemas_names_every_schema() -> None:
    assert {f"{name}.json" for name in SHAPES} <= set(re.findall(r"\[(\w+\.json)\]", text_of("schemas")))


def test_a_meaning_keeps_its_links_on_the_page_of_metrics() -> None:
    moved = script("metrics")._moved("[a](#b), [c](consumers.md#d), [e](https://f.org)")
    assert moved == "[a](../operators.md#b), [c](../consumers.md#d), [e](https://f.org)"


def test_a_metric_without_a_meaning_stops_the_script(tmp_path: Path) -> None:
    table = tmp_path / "operators.md"
    table.write_text("| `headrace_leader` | | leads |\n", encoding="utf-8")
    with pytest.raises(KeyError, match="headrace_"):
        script("metrics").page(table)


def test_a_field_without_a_meaning_stops_the_script() -> None:
    with pytest.raises(KeyError, match="unheard_of"):
        script("schemas")._fields("request", {"properties": {"unheard_of": {"type": "string"}}})
