"""Odd values, drawn by seed: helm refuses them with a sentence, or makes objects that an API server would accept.

    python -m tests.chart.test_odd_values 500

plays more seeds than a test run.
"""

import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from subprocess import CalledProcessError
from typing import Any

import pytest

from tests.chart import shapes
from tests.chart.kubernetes import faults
from tests.chart.rendering import Object, Rendered, notes, render
from tests.chart.test_refusals import CRYPTIC

LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

NAMES = (
    "headrace",
    "a",
    "0",
    "1.5",
    "my.leads",
    "x" * 53,
    "a-" * 25 + "b",
    "on",
    "null",
    "leads--eu",
    "n" * 49 + "--b",
)
TEXTS = (
    "",
    "x",
    "true",
    "1",
    "null",
    "a b",
    "Grüße",
    "{{ .Release.Name }}",
    "{{ $labels.job }}",
    "'\"",
    "-x",
    "x" * 64,
)
KEYS = (
    "team",
    "release",
    "app.kubernetes.io/name",
    "helm.sh/chart",
    "",
    "a b",
    "example.com/team",
    "-x",
    "k" * 64,
    "a/b/c",
)


def drawn(seed: int) -> tuple[str, dict[str, Any]]:
    """A release's name and values: some sensible, some odd."""
    dice = random.Random(seed)

    def labels() -> dict[str, str]:
        return {dice.choice(KEYS): dice.choice(TEXTS) for _ in range(dice.choice((0, 0, 1, 1, 2)))}

    def often(value: Any, usual: Any) -> Any:
        return value if dice.random() < 0.15 else usual

    values: dict[str, Any] = {
        "commonLabels": often(labels(), {}),
        "nameOverride": often(dice.choice(NAMES), ""),
        "fullnameOverride": often(dice.choice(NAMES), ""),
        "config": {"dispatcher": {"http_port": often(dice.choice((0, 80, 1024, 9090, 65_535)), 8080)}},
        "retrier": {"enabled": dice.random() < 0.8, "podLabels": often(labels(), {})},
        "dispatcher": {"podLabels": often(labels(), {}), "podAnnotations": often(labels(), {})},
        "topics": {"create": dice.random() < 0.3},
        "networkPolicy": {"enabled": dice.random() < 0.5, "monitoringNamespace": often(dice.choice(NAMES), "")},
        "secrets": {"httpToken": {"name": often(dice.choice(NAMES), "")}},
        "monitoring": {
            "runbooksUrl": often(dice.choice(("https://x/", "http://x/?a=b&c='\"", "/", "RUNBOOKS/")), "docs/runbooks"),
            "runbooksSuffix": often(dice.choice(TEXTS), ".md"),
            "podMonitor": {
                "enabled": dice.random() < 0.7,
                "intervalSeconds": often(dice.choice((0, 1, 60, 61)), 15),
                "timeoutSeconds": often(dice.choice((1, 16, 60)), None),
                "labels": often(labels(), {}),
            },
            "prometheusRule": {
                "enabled": dice.random() < 0.7,
                "labels": often(labels(), {}),
                "alertLabels": often(labels(), {}),
                "severities": often({dice.choice(("page", "ticket", "Page", "")): dice.choice(TEXTS)}, {}),
            },
            "dashboard": {
                "enabled": dice.random() < 0.7,
                "label": often(dice.choice(KEYS), "grafana_dashboard"),
                "labelValue": often(dice.choice(TEXTS), "1"),
                "folderAnnotation": often(dice.choice(KEYS), "grafana_folder"),
                "folder": often(dice.choice(TEXTS), ""),
            },
        },
    }
    return often(dice.choice([name for name in NAMES if name != "1.5"]), "rel"), values


def objections(found: Object) -> Iterator[str]:
    """What an API server would say that no schema does."""
    kind, metadata = found["kind"], found["metadata"]
    name = metadata["name"]
    if not (SERVICE if kind == "Service" else SUBDOMAIN).fullmatch(name):
        yield f"{kind} cannot be called {name!r}"
    template = found.get("spec", {}).get("template", {}).get("metadata", {})
    for part in (metadata, template):
        for key, value in part.get("labels", {}).items():
            if not (LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)):
                yield f"{kind} has a label {key!r}: {value!r}"
        for key in part.get("annotations", {}):
            if not LABEL_KEY.fullmatch(key.lower()):
                yield f"{kind} has an annotation {key!r}"


def played(seed: int) -> str:
    """Render the seed's values: "made", or the sentence of helm. Raises AssertionError where either is wrong."""
    release, values = drawn(seed)
    refused = ""
    try:
        rendered = render(values, release=release)
        told = notes(values)
    except CalledProcessError as error:
        refused = error.stderr
    if refused:
        [sentence, *_] = re.findall(r"(?:execution error at \(\S+\): |^- (?=at '))(.*)$", refused, re.MULTILINE) or [""]
        assert sentence, f"seed {seed}: {refused}"
        assert not CRYPTIC.search(sentence), f"seed {seed}: {sentence}"
        return str(sentence)
    assert "%!" not in told, f"seed {seed}"
    check(rendered, seed)
    return "made"


def check(rendered: Rendered, seed: int) -> None:
    names = Counter((found["kind"], found["metadata"]["name"]) for found in rendered.objects)
    assert max(names.values()) == 1, f"seed {seed}: {names}"
    custom = [found for found in rendered.objects if found["kind"] in shapes.KINDS]
    said = shapes.faults_of([(found["kind"], found) for found in custom]) if custom else []
    said += [[*objections(found)] for found in rendered.objects]
    said += [faults(found) for found in rendered.objects if found not in custom]
    assert not any(said), f"seed {seed}: {[fault for each in said for fault in each]}"


@pytest.mark.parametrize("seed", range(6))
def test_odd_values_are_refused_or_become_objects_that_an_api_server_accepts(seed: int) -> None:
    assert played(seed)


if __name__ == "__main__":
    outcomes: Counter[str] = Counter()
    failed = 0
    for each in range(int(sys.argv[1])):
        try:
            outcomes[re.sub(r'"[^"]*"|\d+', "…", played(each))] += 1
        except AssertionError as wrong:
            failed += 1
            sys.stdout.write(f"{wrong}\n")
    for outcome, count in outcomes.most_common():
        sys.stdout.write(f"{count:4} {outcome}\n")
    sys.exit(failed > 0)
