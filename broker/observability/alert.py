"""An alert: what defines one, and how its condition is built from panels, so that the two cannot disagree."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from headrace.broker.observability.panels import BY_KEY

CAUSES_TO_ACT_ON: Final = ("quota", "auth", "not_the_api")
"""Meanings of answers that stop the whole account until an operator acts; each has an alert of its own."""


class Severity(Enum):
    """How soon a person is told."""

    PAGE = "page"
    """Requests are lost or late now, or soon will be, and a person can change that: it may wake one."""

    TICKET = "ticket"
    """It can wait until the next working hour."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        name: Of the alert in Prometheus; never changed.
        panels: Keys of the panels that show it.
        condition: PromQL; it fires for each series of the result, whose labels include `job`.
        hold: How long the condition must hold (`for`); "0s": not at all.
        severity: Label of the alert.
        summary: One line, a template of Prometheus, with the budget and its figure.
        description: What it means for requests, and what follows.
        runbook: Name of its page in docs/runbooks, without the ending.
    """

    name: str
    panels: tuple[str, ...]
    condition: str
    hold: str
    severity: Severity
    summary: str
    description: str
    runbook: str


def shown(key: str, where: str = "") -> str:
    """Return the figure of a panel in PromQL: its recorded series, those `where` labels say, else its query."""
    panel = BY_KEY[key]
    if panel.record is None:
        return f"({panel.query})"
    return f"{panel.record}{{{where}}}" if where else panel.record


def above(key: str, where: str = "") -> str:
    """Return the condition that a panel's figure is above the threshold that the page marks."""
    return f"{shown(key, where)} > {_threshold(key):g}"


def reached(key: str, where: str = "") -> str:
    """Return the condition that a panel's figure has reached that threshold."""
    return f"{shown(key, where)} >= {_threshold(key):g}"


def above_its_own(key: str) -> str:
    """Return the condition that a panel's figure is above the threshold of its series."""
    panel = BY_KEY[key]
    return f"{shown(key)} > on ({', '.join(('job', *panel.by))}) {panel.warn_query}"


def _threshold(key: str) -> float:
    warn = BY_KEY[key].warn
    if warn is None:
        raise ValueError(f"Panel {key} has no threshold.")
    return warn


KAFKA_AWAY: Final = f"max by (job) ({shown('kafka_ready')}) == 0"
"""Condition that no process of a budget reaches Kafka: the cause of much that has an alert of its own."""
