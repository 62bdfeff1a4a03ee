"""The tables of panels and alerts as a rule file of Prometheus, as data: recording rules, burn rates, alerts."""

from typing import Any, Final

from headrace.broker.observability import objectives
from headrace.broker.observability.alert import Alert
from headrace.broker.observability.alerts import ALERTS
from headrace.broker.observability.panels import PANELS

EVERY: Final = "15s"
"""Interval of the evaluation: an alert must not wait longer for it than for a scrape."""

SLOWLY: Final = "1m"
"""The same of shares over hours and days, which cost more and change slowly."""

RUNBOOKS: Final = "docs/runbooks/"
"""Beginning of each `runbook_url`; the chart puts the address of the pages in its place."""


def rule_file() -> dict[str, Any]:
    """Return all groups, in the form of a rule file."""
    return {
        "groups": [
            {"name": "headrace.panels", "interval": EVERY, "rules": _recordings()},
            {"name": "headrace.objectives", "interval": SLOWLY, "rules": _shares()},
            {"name": "headrace.alerts", "interval": EVERY, "rules": [_alert(alert) for alert in ALERTS]},
        ]
    }


def _recordings() -> list[dict[str, str]]:
    return [{"record": panel.record, "expr": panel.query} for panel in PANELS if panel.record is not None]


def _shares() -> list[dict[str, str]]:
    return [
        {"record": objectives.recorded(window), "expr": objectives.late_share(window)} for window in objectives.WINDOWS
    ]


def _alert(alert: Alert) -> dict[str, Any]:
    hold = {} if alert.hold == "0s" else {"for": alert.hold}
    return {
        "alert": alert.name,
        "expr": alert.condition,
        **hold,
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}{alert.runbook}.md",
        },
    }
