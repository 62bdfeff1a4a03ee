"""The columns of the report's table, and which of them a terminal has room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from headrace.broker.cli.columns import Column, Cut
from headrace.broker.cli.report.amounts import spoken_change, spoken_share, spoken_tokens, spoken_usd
from headrace.broker.spending.report import ReportRow, SpendingReport

_GAP: Final = 2
_NAME_CELLS: Final = 14
"""Cells that each name of a row keeps before a column of figures gives way to it."""


@dataclass(frozen=True, slots=True)
class FigureColumn:
    """One column of figures; where the terminal is narrow, those of the highest `rank` are left out first."""

    title: str
    rank: int
    cell: Callable[[SpendingReport, ReportRow], str]


def _share(report: SpendingReport, row: ReportRow) -> str:
    """Return the share of the cost; of the tokens where nothing has a price."""
    return spoken_share(report.cost_share(row) if report.whole.sums.pico_usd else report.token_share(row))


_FIGURES: Final = (
    FigureColumn("OUTCOMES", 0, lambda _, row: f"{row.sums.outcomes:,}"),
    FigureColumn("FAILED", 6, lambda _, row: f"{row.failed:,}"),
    FigureColumn("CALLS", 11, lambda _, row: f"{row.sums.calls:,}"),
    FigureColumn("INPUT", 5, lambda _, row: spoken_tokens(row.sums.input_tokens)),
    FigureColumn("CACHED", 7, lambda _, row: spoken_share(row.cached_share)),
    FigureColumn("OUTPUT", 8, lambda _, row: spoken_tokens(row.sums.output_tokens)),
    FigureColumn("CHARGE", 12, lambda _, row: spoken_tokens(row.sums.charge_tokens)),
    FigureColumn("MEAN", 1, lambda _, row: spoken_tokens(row.tokens_mean)),
    FigureColumn("P50", 10, lambda _, row: spoken_tokens(row.size(0.5))),
    FigureColumn("P95", 9, lambda _, row: spoken_tokens(row.size(0.95))),
    FigureColumn("CHANGE", 4, lambda _, row: spoken_change(row.change)),
    FigureColumn("COST", 0, lambda _, row: spoken_usd(row.sums.pico_usd) if _has_price(row) else "-"),
    FigureColumn("EACH", 3, lambda _, row: spoken_usd(row.pico_usd_each)),
    FigureColumn("SHARE", 2, _share),
)


def _has_price(row: ReportRow) -> bool:
    return bool(row.sums.pico_usd) or row.sums.priced > 0 or not row.sums.metered


def fitting(
    report: SpendingReport, rows: Sequence[ReportRow], names: Sequence[Sequence[str]], width: int
) -> tuple[list[FigureColumn], list[FigureColumn]]:
    """Return the columns of figures that fit beside the names, and those that do not, in the table's order."""
    figures = [figure for figure in _FIGURES if figure.title != "CHANGE" or report.compared is not None]
    widths = {
        figure.title: max(cell_len(figure.title), *(cell_len(figure.cell(report, row)) for row in rows))
        for figure in figures
    }
    columns = list(zip(*names, strict=True))
    room = width - sum(min(_NAME_CELLS, max(map(cell_len, column))) + _GAP for column in columns)
    shown = list(figures)
    while len(shown) > 1 and sum(widths[figure.title] + _GAP for figure in shown) - _GAP > room:
        shown.remove(max(shown, key=lambda figure: figure.rank))
    return shown, [figure for figure in figures if figure not in shown]


def columns_of(dimensions: Sequence[str], figures: Sequence[FigureColumn]) -> list[Column]:
    """Return the columns of the table: the names, which may be cut, and the figures, which are not."""
    names = [Column(name.upper(), cut=Cut.LAST) for name in dimensions]
    return [*names, *(Column(figure.title, right=True) for figure in figures)]
