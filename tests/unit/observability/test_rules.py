"""The rule file is what the tables say, and the tables name only what exists."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import CollectorRegistry

from headrace.broker.adapters.prometheus.families import FAMILIES
from headrace.broker.observability.alert import Alert, Severity
from headrace.broker.observability.alerts import ALERTS
from headrace.broker.observability.panels import BY_KEY, PANELS
from headrace.broker.observability.rules import rule_file

ROOT = Path(__file__).parents[3]
PAGING_MAX = 13
"""More pages than this, and none of them is believed."""

an_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_rules", ROOT / "helm" / "write_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rule_file_is_what_its_script_writes() -> None:
    module = generator()
    assert module.RULES.read_text(encoding="utf-8") == module.written(), "run: make rules-file"


def series() -> dict[str, set[str]]:
    """Each series that a process exports, and its labels."""
    found = {"process_start_time_seconds": set[str](), "process_resident_memory_bytes": set[str]()}
    for family in [each for table in FAMILIES for each in vars(table(CollectorRegistry())).values()]:
        if not hasattr(family, "_labelnames"):
            continue
        [described], labels = family.describe(), set(family._labelnames)
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(described.type, ("",))
        found |= {f"{described.name}{ending}": labels for ending in endings}
    return found


def expressions() -> list[str]:
    rules = [rule for group in rule_file()["groups"] for rule in group["rules"]]
    return [*(rule["expr"] for rule in rules), *(panel.query for panel in PANELS)]


def test_every_metric_in_a_query_exists() -> None:
    known = series()
    recorded = {rule["record"] for group in rule_file()["groups"] for rule in group["rules"] if "record" in rule}
    for expression in expressions():
        named = re.findall(r"[a-z_]*:?(?:headrace|process)_[a-z_]+:?\w*", re.sub(r'"[^"]*"', "", expression))
        assert named or "headrace" not in expression, expression
        assert {name for name in named if name not in known and name not in recorded} == set(), expression


def test_every_label_that_a_query_selects_belongs_to_its_metric() -> None:
    known = series()
    for expression in expressions():
        for name, selected in re.findall(r"\b((?:headrace|process)_[a-z_]+)\{([^}]*)\}", expression):
            if f":{name}" not in expression:
                assert set(re.findall(r"([a-z]+)[=!]", selected)) <= known[name], expression


@an_alert
def test_an_alert_belongs_to_panels_and_says_what_holds_for_which_budget(alert: Alert) -> None:
    assert alert.panels
    assert set(alert.panels) <= BY_KEY.keys()
    assert re.fullmatch(r"Headrace([A-Z][a-z]+)+", alert.name)
    assert alert.summary.startswith("{{ $labels.job }}: ")
    assert re.fullmatch(r"\d+(s|m)", alert.hold)


def test_names_of_alerts_and_records_are_unique_and_few_alerts_page() -> None:
    records = [panel.record for panel in PANELS if panel.record is not None]
    assert len(set(records)) == len(records)
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert sum(alert.severity is Severity.PAGE for alert in ALERTS) <= PAGING_MAX


def test_every_recorded_panel_is_read_by_an_alert() -> None:
    conditions = " ".join(alert.condition for alert in ALERTS)
    assert [panel.key for panel in PANELS if panel.record is not None and panel.record not in conditions] == []
