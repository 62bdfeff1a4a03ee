"""What the pages name exists: links, files, types, settings, metrics, verbs, log events."""

import importlib.util
import re
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml
from prometheus_client import CollectorRegistry

from headrace.broker.adapters.prometheus.families import FAMILIES
from headrace.broker.cli.verbs import VERBS
from headrace.broker.observability.spans import Attribute
from headrace.broker.settings.known import group_at, known_keys
from headrace.broker.settings.whole import Settings
from headrace.schemas.outcome import FailureReason

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "DESIGN.md", "CHANGELOG.md", "CONTRIBUTING.md", "helm/headrace/README.md")
PAGES = sorted(
    [*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("README.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

a_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def ticked(text: str) -> list[str]:
    """Everything in single backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@a_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@a_page
def test_no_row_stands_outside_of_its_table(page: Path) -> None:
    lines = ["", *re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE).splitlines(), ""]
    starts = [at for at in range(1, len(lines)) if lines[at].startswith("|") and not lines[at - 1].startswith("|")]
    assert [lines[at] for at in starts if not set(lines[at + 1]) <= set("|-: ")] == []


@a_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    for name in ticked(text_of(page)):
        looks_like_a_file = re.fullmatch(r"[\w.-]+(/[\w.-]+)*\.(py|md|json|jsonl|toml|lua|lock)|[\w-]+/[\w/-]*/", name)
        if looks_like_a_file and not name.startswith("facts/") and name not in {"headrace.toml", "leads.jsonl"}:
            assert (ROOT / name).exists() or (page.parent / name).exists() or name.startswith("values."), name


DESIGN = ROOT / "DESIGN.md"
PAPERS = sorted((ROOT / "docs/design").glob("*.md"))
LINES_MAX, COLUMNS_MAX, PICTURE_COLUMNS_MAX = 300, 130, 100


def test_the_design_takes_ten_minutes_and_its_picture_fits_a_terminal() -> None:
    lines = text_of(DESIGN).splitlines()
    assert len(lines) <= LINES_MAX
    assert [line for line in lines if len(line) > COLUMNS_MAX] == []
    pictures = re.findall(r"^```text\n(.*?)^```$", text_of(DESIGN), re.MULTILINE | re.DOTALL)
    assert pictures
    assert [line for line in pictures[0].splitlines() if len(line) > PICTURE_COLUMNS_MAX or not line.isascii()] == []


def test_the_design_names_every_paper() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\((docs/design/[\w-]+\.md)", text_of(DESIGN))}
    assert {paper.resolve() for paper in PAPERS} == linked


def life_of_a_request() -> list[tuple[list[str], str]]:
    [table] = re.findall(r"^## The life of a request$(.*?)^## ", text_of(DESIGN), re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([\w/]+\.py)` \|$", table, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\|", table, re.MULTILINE)) - len(["its titles", "the line below"])
    return [(re.findall(r"`(\w+)`", names), path) for names, path in rows]


def defines(source: str, name: str) -> bool:
    under_a_condition = r"^if [^\n]*:\n\n(    @[^\n]*\n)*    "
    return bool(re.search(rf"(^|{under_a_condition})(class|def|async def) {name}\b|^{name}\b.*=", source, re.MULTILINE))


def test_each_step_in_the_life_of_a_request_is_in_the_module_that_is_named() -> None:
    assert len(life_of_a_request()) > 15
    for names, path in life_of_a_request():
        assert names, path
        assert defines(text_of(ROOT / path), names[0]), (path, names)


ELSEWHERE = {"BaseException", "CancelledError", "KafkaError", "AssertionError", "ProducerFenced", "UnknownError"}
"""Errors of Python and of libraries."""


@pytest.mark.slow
@pytest.mark.parametrize("page", [DESIGN, *PAPERS], ids=lambda page: page.name)
def test_every_class_that_the_design_names_exists(page: Path) -> None:
    source = "\n".join(text_of(path) for room in ("broker", "consumers", "schemas", "tests") for path in modules(room))
    named = {name for name in ticked(text_of(page)) if re.fullmatch(r"[A-Z][a-z]+\w*", name)} - ELSEWHERE
    known = set(re.findall(r"^ *class (\w+)|^(\w+)\b[^\n]*=", source, re.MULTILINE))
    assert sorted(named - {each for pair in known for each in pair}) == []


def layers_of(text: str) -> list[set[str]]:
    return [set(layer.replace(",", " ").split()) for layer in text.split(">")]


def test_the_design_draws_the_layers_of_the_import_contracts() -> None:
    [drawn] = re.findall(r"^```text\n(cli >.*?)^consumers", text_of(DESIGN), re.MULTILINE | re.DOTALL)
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    stated = [[set(layer.split(" | ")) for layer in each["layers"]] for each in contracts if each["type"] == "layers"]
    assert [layers_of(part) for part in drawn.split("core:")] == stated


def test_the_design_names_every_room() -> None:
    [table] = re.findall(r"^## Rooms$(.*?)^## ", text_of(DESIGN), re.MULTILINE | re.DOTALL)
    rooms = {
        f"{path.parent.relative_to(ROOT)}/"
        for package in ("core", "service")
        for path in (ROOT / "broker" / package).rglob("__init__.py")
    }
    assert sorted(rooms - set(ticked(table))) == []


def registries() -> list[CollectorRegistry]:
    """One for each kind of process."""
    found = [CollectorRegistry() for _ in FAMILIES]
    for registry, table in zip(found, FAMILIES, strict=True):
        table(registry)
    return found


def metric_names() -> set[str]:
    found = (family for registry in registries() for family in registry.collect() if "headrace_" in family.name)
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in found}


def test_the_operators_table_names_every_metric_and_no_other() -> None:
    [table] = re.findall(
        r"^## Metrics$(.*?)^The backlog", text_of(ROOT / "docs/operators.md"), re.MULTILINE | re.DOTALL
    )
    assert set(re.findall(r"`(headrace_\w+)`", table)) - {"headrace_"} == metric_names()


@a_page
def test_every_metric_that_is_named_exists(page: Path) -> None:
    named = {name for name in ticked(text_of(page)) if re.fullmatch(r"headrace_[a-z_]+", name)}
    assert named - {"headrace_"} <= metric_names()


def labels() -> dict[str, set[str]]:
    """Each metric, without `_total`, and its labels."""
    families = [each for table in FAMILIES for each in vars(table(CollectorRegistry())).values()]
    return {each.describe()[0].name: set(each._labelnames) for each in families if hasattr(each, "_labelnames")}


def test_the_operators_table_names_the_labels_of_every_metric() -> None:
    [table] = re.findall(
        r"^## Metrics$(.*?)^The backlog", text_of(ROOT / "docs/operators.md"), re.MULTILINE | re.DOTALL
    )
    known, told = labels(), dict[str, set[str]]()
    for row in re.findall(r"^\| (`headrace_.*)$", table, re.MULTILINE):
        names, said, _ = row.split("|", 2)
        told |= {name.removesuffix("_total"): set(said.replace(",", " ").split()) for name in ticked(names)}
    assert told == known


@a_page
def test_every_label_that_is_named_belongs_to_its_metric(page: Path) -> None:
    known = labels()
    for name, label in re.findall(r"`(?:headrace_)?([a-z_]+?)(?:_total|_bucket)?\{([a-z_]+)=", text_of(page)):
        assert label in known[f"headrace_{name}"], name


def resolved(key: str) -> bool:
    """Whether a dotted key, with `<lane>` and its like for a name somebody chose, is a setting or a group."""
    path = tuple(re.sub(r"<kind>", "results", part) for part in key.split("."))
    return group_at(path) is not None or path in known_keys(path[:-1])


def is_a_value_of_the_chart(key: str) -> bool:
    """Whether a dotted key is one of values.yaml, of which some begin as a group of settings does."""
    at = yaml.safe_load((ROOT / "helm/headrace/values.yaml").read_text(encoding="utf-8"))
    for part in key.split("."):
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


@a_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    groups = "|".join(Settings.model_fields)
    attributes = {each.value for each in Attribute}  # of spans: some begin as a group of settings does
    for key in [each for each in ticked(text_of(page)) if each not in attributes]:
        if re.fullmatch(rf"({groups})(\.([a-z_]+|<[a-z]+>|\*))+", key) and not key.endswith(".py"):
            assert resolved(key) or is_a_value_of_the_chart(key), key


@a_page
def test_every_variable_that_is_named_exists(page: Path) -> None:
    for variable in re.findall(r"\bHEADRACE_[A-Z_]+\b(?!<)", text_of(page)):
        key = variable.removeprefix("HEADRACE_").lower()
        if key not in {"config", "cache_dir", ""} and not variable.endswith("__"):
            assert resolved(key.replace("__", ".")), variable


def verbs_of(name: str) -> set[str]:
    [target] = [verb.target for verb in VERBS if verb.name == name]
    module, _, attribute = target.partition(":")
    app = getattr(import_module(module), attribute)
    if not isinstance(app, typer.Typer):
        return set()
    groups = {str(group.name) for group in app.registered_groups}
    return groups | {str(each.name or getattr(each.callback, "__name__", "")) for each in app.registered_commands}


@a_page
def test_every_verb_that_is_named_exists(page: Path) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)
    commands = [line.strip() for block in blocks for line in block.splitlines()] + ticked(text_of(page))
    for command in commands:
        for verb, rest in re.findall(r"(?:^|&& )headrace ([a-z-]+)((?: [a-z|]+)*)", command):
            assert verb in {each.name for each in VERBS}, command
            for sub in rest.split()[:1]:
                assert not verbs_of(verb) or set(sub.split("|")) <= verbs_of(verb), command


def test_every_log_event_of_the_operators_guide_is_written_somewhere() -> None:
    [table] = re.findall(r"^\| log event \|(.*?)^## ", text_of(ROOT / "docs/operators.md"), re.MULTILINE | re.DOTALL)
    rooms = (*(ROOT / "broker" / name for name in ("service", "gateway", "adapters")), ROOT / "consumers")
    source = "".join(text_of(path) for room in rooms for path in room.rglob("*.py"))
    for row in table.splitlines():
        for event in re.findall(r"`([a-z_]+)`", row.split("|")[1] if row.count("|") > 1 else ""):
            assert f'"{event}"' in source, event


def test_the_readers_guide_explains_every_reason() -> None:
    guide = text_of(ROOT / "docs/consumers.md")
    assert {reason.value for reason in FailureReason} <= set(ticked(guide))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_settings", ROOT / "docs" / "generate_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_what_its_script_writes() -> None:
    written = generator().page()
    assert written == text_of(ROOT / "docs/settings.md"), "run: python docs/generate_settings.py"


def test_the_settings_page_explains_no_setting_that_does_not_exist() -> None:
    kinds = {"lanes": "lanes.<lane>.", "limits": "limits.<limit>.", "topics": "topics.ledger."}
    for key in generator().SENTENCES:
        group, _, name = key.partition(".")
        assert resolved(kinds.get(group, f"{group}.") + name), key
