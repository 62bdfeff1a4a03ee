"""The figures of a report for programs: JSON objects, and lines of CSV."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any, Final

from headrace.broker.cli.report.table import ReportSource, notes
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.report import ReportRow, SpendingReport
from headrace.schemas.instants import to_wire
from headrace.schemas.money import micro_usd_of

_COUNTS: Final = (
    "outcomes",
    "completed",
    "calls",
    "cut",
    "metered",
    "unpriced",
    "without_cost",
    "charge_tokens",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "image_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a cell that a spreadsheet computes; the last four are the wide forms of the first."""


def figures_of(report: SpendingReport, row: ReportRow) -> dict[str, int | float | None]:
    """Return all figures of a row. Money is in micro-dollars, shares and changes are 1 for the whole."""
    sums = row.sums
    each = row.pico_usd_each
    return {
        **{name: getattr(sums, name) for name in _COUNTS},
        "failed": row.failed,
        "micro_usd": micro_usd_of(sums.pico_usd),
        "failed_micro_usd": micro_usd_of(sums.failed_pico_usd),
        "cut_micro_usd": micro_usd_of(sums.cut_pico_usd),
        "tokens_mean": _rounded(row.tokens_mean, 3),
        "tokens_p50": row.size(0.5),
        "tokens_p95": row.size(0.95),
        "micro_usd_each": None if each is None else micro_usd_of(each),
        "cached_share": _rounded(row.cached_share, 6),
        "cost_share": _rounded(report.cost_share(row), 6),
        "token_share": _rounded(report.token_share(row), 6),
        "tokens_mean_before": None if row.before is None else _rounded(ReportRow((), row.before).tokens_mean, 3),
        "tokens_mean_change": _rounded(row.change, 6),
    }


def as_json(report: SpendingReport, source: ReportSource) -> dict[str, Any]:
    """Return the whole report as one object."""
    question, noted, compared = report.tally.question, report.tally.notes, report.compared
    names = question.dimensions
    return {
        "topic": source.topic,
        "from": "totals" if source.is_totals else "results",
        **_period(question.period.whole_hours() if source.is_totals else question.period),
        "reaches_back_to": None if source.reaches_back_to is None else to_wire(source.reaches_back_to),
        "by": list(names),
        "filters": {name: list(each) for name, each in question.filters.patterns.items()},
        "rows": [_row(report, row, names) for row in report.rows],
        "rest": None if report.rest is None else {"rows": report.rest_of, **figures_of(report, report.rest)},
        "total": figures_of(report, report.whole),
        "compared_with": None if compared is None else {"topic": compared.topic, **_period(compared.period)},
        "price_lists": dict(noted.price_lists.most_common()),
        "priced_by": noted.priced_by or None,
        "repriced": source.reprices,
        "priced_here": noted.priced_here,
        "unpriced_models": dict(noted.unpriced.most_common()),
        "unreadable": noted.unreadable,
        "too_late": noted.too_late,
        "smallest_together": bool(report.tally.groups.foldings),
        "notes": list(notes(report, source)),
    }


def as_csv(report: SpendingReport) -> str:
    """Return a header and a line for each row, and for the rest together, but none for the total."""
    written = StringIO()
    rows = [*report.rows, *([] if report.rest is None else [report.rest])]
    table = csv.writer(written, lineterminator="\n")
    table.writerow([*report.tally.question.dimensions, *figures_of(report, report.whole)])
    for row in rows:
        table.writerow([*map(_name, row.values), *_cells(figures_of(report, row).values())])
    return written.getvalue().removesuffix("\n")


def _name(value: str) -> str:
    """Return a name that no spreadsheet takes for a formula: any client that may write to a lane chooses names."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _cells(figures: Iterable[int | float | None]) -> list[str]:
    return [
        "" if figure is None else f"{figure:.6f}".rstrip("0").rstrip(".") if isinstance(figure, float) else str(figure)
        for figure in figures
    ]


def _row(report: SpendingReport, row: ReportRow, names: Iterable[str]) -> dict[str, Any]:
    """Return a row with its names: null where the outcomes named none."""
    return {**{name: value or None for name, value in zip(names, row.values, strict=True)}, **figures_of(report, row)}


def _period(period: ReportPeriod) -> dict[str, str]:
    return {"since": to_wire(period.since), "until": to_wire(period.until)}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
