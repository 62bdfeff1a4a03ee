"""Writes docs/reference/metrics.md: each metric's type, labels and buckets from the code, its meaning from one table.

    python docs/generate_metrics.py

The meaning stands in the table of docs/operators.md, and is repeated here as it is there. A metric that the table does
not name is an error. A test compares the file with what this script would write.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, imported by its test alone

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram

from headrace.broker.adapters.prometheus.families import FAMILIES
from headrace.broker.observability.panels import PANELS

DOCS: Final = Path(__file__).parent
PAGE: Final = DOCS / "reference" / "metrics.md"
TABLE: Final = DOCS / "operators.md"

HEAD: Final = """# Metrics

<!-- Written by docs/generate_metrics.py from the metrics and the table of docs/operators.md. Run `make reference`. -->

Every process serves its metrics at `/metrics`, in Prometheus' text format. How they count, and which of them
are worth an alert, is in [Running it](../operators.md#metrics). *Panels* are the figures made from a metric, on
the dashboard and on the live page.

| metric | type | labels |
|---|---|---|
"""


def page(table: Path = TABLE) -> str:
    """The whole page, with the meanings of a page that has the table."""
    meanings = _meanings(table.read_text(encoding="utf-8"))
    order = list(meanings)
    families = {each[0]: each for each in _families()}
    if unexplained := sorted(families.keys() - meanings.keys()):
        raise KeyError(f"{table.name} does not explain {', '.join(unexplained)}")
    found = sorted(families.values(), key=lambda each: order.index(each[0]))
    rows = [f"| [`{name}`](#{name}) | {kind} | {_labels(family)} |\n" for name, kind, family in found]
    return HEAD + "".join(rows) + "".join(_section(*each, meanings) for each in found)


def _families() -> Iterator[tuple[str, str, Any]]:
    """Name, type and family of each metric."""
    tables = [vars(table(CollectorRegistry())).values() for table in FAMILIES]
    for family in [each for table in tables for each in table if hasattr(each, "_labelnames")]:
        described = family.describe()[0]
        yield described.name + ("_total" if described.type == "counter" else ""), described.type, family


def _labels(family: Any) -> str:
    return ", ".join(f"`{label}`" for label in family._labelnames)  # noqa: SLF001  # prometheus_client tells them nowhere else


def _section(name: str, kind: str, family: Any, meanings: Mapping[str, str]) -> str:
    told = [f"\n## `{name}`\n\n{kind.capitalize()}: {family.describe()[0].documentation}\n\n"]
    told.append(f"- Meaning: {meanings[name]}\n")
    if labels := _labels(family):
        told.append(f"- Labels: {labels}\n")
    if isinstance(family, Histogram):
        bounds = ", ".join(f"{bound:g}" for bound in family._upper_bounds[:-1])  # noqa: SLF001  # as above
        told.append(f"- Upper bounds of its buckets: {bounds}\n")
    if shown := [panel.title for panel in PANELS if re.search(rf"\b{name}(_bucket)?\b", panel.query)]:
        told.append(f"- Panels: {', '.join(shown)}\n")
    return "".join(told)


def _meanings(text: str) -> dict[str, str]:
    """The third column of the table of metrics, by metric, with links as they lead from this page."""
    found: dict[str, str] = {}
    for names, meaning in re.findall(r"^\| ((?:`headrace_\w+`(?:, )?)+) \|[^|]*\| (.*) \|$", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), _moved(meaning))
    return found


def _moved(text: str) -> str:
    """Text of docs/operators.md with its links as they lead from docs/reference/."""
    text = re.sub(r"\]\(#", f"]({TABLE.name}#", text)
    return re.sub(r"\]\((?!https?:)", "](../", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
