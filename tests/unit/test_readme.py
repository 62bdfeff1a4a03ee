"""The README's examples are files that exist, compile and name what there is."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from headrace.broker.cli.request_lines import submissions
from headrace.broker.client import GenerationClient
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Completed, Failed

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUOTED = dict(re.findall(r"<!-- (examples/\S+) -->\n```python\n(.*?)```", README, re.DOTALL))
EXAMPLES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py"))
KNOWN = {"generations": GenerationClient, "results": ResultReader}


def test_every_example_is_quoted_and_every_quotation_is_an_example() -> None:
    assert sorted(QUOTED) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_quotation_equals_its_file(name: str) -> None:
    assert QUOTED[name] == (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_compiles_and_imports_what_there_is(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), name)
    compile(tree, name, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), node.module


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_uses_methods_and_fields_that_exist(name: str) -> None:
    outcome_fields = {*Completed.model_fields, *Failed.model_fields}
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"), name)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = KNOWN.get(node.value.id)
            assert owner is None or hasattr(owner, node.attr), node.attr
            assert node.value.id != "outcome" or node.attr in outcome_fields, node.attr


def test_the_tree_in_the_readme_is_the_tree() -> None:
    [drawn] = re.findall(r"## The tree\n\n<!-- [^\n]* -->\n```text\n(.*?)```", README, re.DOTALL)
    above = ROOT
    for line in drawn.splitlines():
        names = [word for word in line.split("  ") if re.fullmatch(r"\s*[\w./]+(/|\.py)\s*", word)]
        for name in names or [line.split()[0]]:
            home = above if line.startswith("  ") else ROOT
            assert (home / name.strip()).exists(), name
        if not line.startswith("  "):
            above = ROOT / line.split()[0]


def test_the_lines_that_the_readme_submits_are_requests() -> None:
    assert "headrace submit examples/leads.jsonl" in README
    with (ROOT / "examples" / "leads.jsonl").open("rb") as lines:
        found = list(submissions(lines, lane="standard", tenant=None, source="examples/leads.jsonl"))
    assert {"urgent", "bulk"} <= {each.lane for each in found}


def test_no_example_of_a_producer_has_an_id_of_the_leads_that_are_submitted_before_it() -> None:
    """In the order of the README it would be another request of a known id."""
    with (ROOT / "examples" / "leads.jsonl").open("rb") as lines:
        leads = {each.request.id for each in submissions(lines, lane="bulk", tenant="acme", source="leads.jsonl")}
    texts = [README, *((ROOT / name).read_text(encoding="utf-8") for name in EXAMPLES)]
    named = {found for text in texts for found in re.findall(r'id="([^"]+)"', text)}
    assert named
    assert named.isdisjoint(leads)
