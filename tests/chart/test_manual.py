"""values.yaml is the manual and values.schema.json its law: both speak of the same keys, and the law is up to date."""

import importlib.util
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from headrace.broker.settings.known import known_keys
from headrace.broker.settings.whole import Settings
from tests.chart import tools
from tests.chart.rendering import CHART

ROOT = CHART.parents[1]
SHAPED_BY_KUBERNETES = {"resources", "podSecurityContext", "containerSecurityContext"}
"""Below these stands what every operator knows from a pod."""


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return loaded


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_config_schema", ROOT / "helm" / "write_config_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_schema_of_config_is_what_its_script_writes() -> None:
    written = (CHART / "values.schema.json").read_text(encoding="utf-8")
    assert generator().written() == written, "run: python helm/write_config_schema.py"


def test_the_schema_of_config_knows_every_setting_and_no_other() -> None:
    groups = schema()["properties"]["config"]["properties"]
    assert set(groups) == set(Settings.model_fields)
    for name, group in groups.items():
        path = (name, "x") if "properties" not in group else (name,)
        keys = group.get("properties") or group["additionalProperties"]["properties"]
        assert {key.removesuffix("_file") for key in keys} | {"ca_file"} == {
            known[-1].removesuffix("_file") for known in known_keys(path)
        } | {"ca_file"}, name


def closed_objects(part: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of ours in the schema, with its place."""
    if "$ref" in part:
        part = schema()["definitions"][part["$ref"].rpartition("/")[2]]
    if "properties" in part:
        yield at, part
    for key, inner in part.get("properties", {}).items():
        yield from closed_objects(inner, f"{at}.{key}")
    for place in ("items", "additionalProperties"):
        if isinstance(part.get(place), dict):
            yield from closed_objects(part[place], f"{at}.*")


def test_no_object_of_ours_lets_an_unknown_key_pass() -> None:
    open_by_kubernetes = {".imagePullSecrets.*", ".extraVolumes.*", ".extraVolumeMounts.*"}
    for place, part in closed_objects(schema()):
        assert part.get("additionalProperties") is False or place in open_by_kubernetes, place


def keys_of(tree: Any, at: str = "") -> set[str]:
    if not isinstance(tree, dict) or not tree or at.rpartition(".")[2] in SHAPED_BY_KUBERNETES or at == ".config":
        return {at}
    return {key for name, inner in tree.items() for key in keys_of(inner, f"{at}.{name}")}


def allowed(part: dict[str, Any], at: str = "") -> set[str]:
    if "$ref" in part:
        part = schema()["definitions"][part["$ref"].rpartition("/")[2]]
    if not part.get("properties") or at.rpartition(".")[2] in SHAPED_BY_KUBERNETES or at == ".config":
        return {at}
    return {key for name, inner in part["properties"].items() for key in allowed(inner, f"{at}.{name}")}


def test_the_manual_names_every_value_that_is_allowed_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert keys_of(values) == allowed(schema()) - {".global"}


def test_every_value_of_the_manual_has_a_sentence_over_it() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    inside: list[str] = []
    for number, line in enumerate(lines):
        found = re.match(r"^( *)(\w+):(.*)$", line)
        if not found:
            continue
        depth, key, value = len(found[1]) // 2, found[2], found[3].strip()
        inside = [*inside[:depth], key]
        if value and not SHAPED_BY_KUBERNETES & set(inside[:-1]):
            above = lines[number - 1].strip()
            sentence = above.startswith("# ") and (above.endswith((".", "or …", "}")) or "…" in above)
            told_together = inside[0] == "podDisruptionBudget"
            assert sentence or told_together, f"values.yaml:{number + 1} {key} has no sentence above it"


def test_the_chart_is_of_the_version_of_headrace() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == version("headrace")
    assert chart["annotations"]["licenses"] == "Apache-2.0"
    assert chart["kubeVersion"] == f">={tools.KUBERNETES[0]}-0", "the oldest that the objects are held against"


def test_no_line_of_the_chart_is_too_wide_to_read() -> None:
    for path in [*CHART.glob("*.yaml"), *CHART.glob("examples/*.yaml")]:
        wide = [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120]
        assert not wide, (Path(path).name, wide)
