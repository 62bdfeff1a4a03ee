"""The report as text: what it covers, the table, and what must be known to read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from headrace.broker.amounts import counted, spoken_s
from headrace.broker.cli.columns import Columns, Line
from headrace.broker.cli.report.amounts import spoken_usd
from headrace.broker.cli.report.columns_shown import columns_of, fitting
from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import say
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.report import SpendingReport
from headrace.schemas.nearest import listed
from headrace.schemas.spending import OTHERS

_UNCUT: Final = 10_000
"""Width where the output is no terminal: nothing is cut or left out."""
NAMELESS: Final = "(none)"
_TOTAL: Final = "total"
_PRICE_LISTS_NAMED: Final = 3
_MODELS_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class ReportSource:
    """Where the sums come from: the topic, whether it is that of totals, and from when on it has everything."""

    topic: str
    is_totals: bool = False
    reaches_back_to: datetime | None = None
    reprices: bool = False


def show(report: SpendingReport, source: ReportSource) -> None:
    """Print the report."""
    say(heading(report, source), wrap=True)
    if report.rows:
        say()
        left_out = _show_table(report)
        say()
        if left_out:
            say(f"Not shown at this width: {listed(left_out)}; --json has all.", wrap=True)
    for sentence in notes(report, source):
        say(sentence, wrap=True)


def _show_table(report: SpendingReport) -> list[str]:
    """Print the table; return the titles that there was no room for."""
    console = screen(width_unwatched=_UNCUT)
    dimensions = report.tally.question.dimensions
    rest = () if report.rest is None else (report.rest,)
    rows = [*report.rows, *rest, report.whole]
    names = [
        *([value or NAMELESS for value in row.values] for row in report.rows),
        *([f"({report.rest_of:,} more)", *[""] * (len(dimensions) - 1)] for _ in rest),
        [_TOTAL, *[""] * (len(dimensions) - 1)],
    ]
    shown, left_out = fitting(report, rows, [[name.upper() for name in dimensions], *names], console.width)
    table = Columns(console, columns_of(dimensions, shown))
    lines = [
        Line([*named, *(each.cell(report, row) for each in shown)]) for named, row in zip(names, rows, strict=True)
    ]
    lines[-1] = Line(lines[-1].cells, styled=0, style="bold")
    table.show(lines)
    return [figure.title.lower() for figure in left_out]


def spoken_period(period: ReportPeriod) -> str:
    """Return a period: `2026-11-24 09:00 to 2026-12-01 09:00 UTC (7 d)`."""
    since, until = (f"{each:%Y-%m-%d %H:%M}" for each in (period.since, period.until))
    return f"{since} to {until} UTC ({spoken_s(period.length.total_seconds())})"


def heading(report: SpendingReport, source: ReportSource) -> str:
    """Return the line above the table."""
    period = report.tally.question.period
    period = period.whole_hours() if source.is_totals else period
    whole = report.whole
    cost = f", {spoken_usd(whole.sums.pico_usd)}" if whole.sums.pico_usd else ""
    return f"{counted(whole.sums.outcomes, 'outcome')}{cost}, {spoken_period(period)}, from {source.topic}"


def notes(report: SpendingReport, source: ReportSource) -> Iterator[str]:
    """Yield the sentences below the table."""
    yield from _incomplete(report, source)
    yield from _together(report, source)
    yield from _prices(report, source)
    yield from _comparison(report)


def _incomplete(report: SpendingReport, source: ReportSource) -> Iterator[str]:
    noted = report.tally.notes
    if source.reaches_back_to is not None:
        since = f"{source.reaches_back_to:%Y-%m-%d %H:%M} UTC"
        mend = "" if source.is_totals else ": use --from totals for the time before"
        yield f"{source.topic} reaches back to {since} only, since Kafka has removed what is older{mend}."
    if noted.unreadable:
        kind = "total" if source.is_totals else "outcome"
        yield f"Not counted: {counted(noted.unreadable, 'record')} from which this release can read no {kind}."
    if noted.too_late:
        yield f"Not counted: {counted(noted.too_late, 'total')} written more than a day after the hour that was summed."


def _together(report: SpendingReport, source: ReportSource) -> Iterator[str]:
    if report.tally.groups.foldings:
        yield f"There are more groups than fit in memory: the smallest are counted together, under {OTHERS}."
    elif source.is_totals and any(OTHERS in row.values for row in report.rows):
        yield f"{OTHERS} are the names that had no place of their own in the totals of their hour."


def _prices(report: SpendingReport, source: ReportSource) -> Iterator[str]:
    noted = report.tally.notes
    carried = [name or "an unnamed list" for name, _ in noted.price_lists.most_common(_PRICE_LISTS_NAMED + 1)]
    if source.reprices and noted.priced_by:
        by = f"; the outcomes carry prices by {listed(carried)}" if carried else ""
        yield f"All calls are priced anew by {noted.priced_by}{by}."
    else:
        if carried:
            yield f"Costs are those that the outcomes carry, by {listed(carried)}."
        if noted.priced_by:
            of = counted(noted.priced_here, "outcome")
            yield f"Priced by {noted.priced_by}: {of} without a cost, of older releases or of times with costs off."
    yield from _missing_costs(report, source)


def _missing_costs(report: SpendingReport, source: ReportSource) -> Iterator[str]:
    sums, noted = report.whole.sums, report.tally.notes
    if sums.without_cost and source.is_totals:
        yield (
            f"Without a cost: {counted(sums.without_cost, 'outcome')} of times with costs off (costs.enabled): --from "
            "results prices those that Kafka still has."
        )
    elif sums.without_cost:
        yield (
            f"Costs are off here (costs.enabled): {counted(sums.without_cost, 'outcome')} without a cost "
            f"{'is' if sums.without_cost == 1 else 'are'} not priced. --prices FILE prices all calls."
        )
    if sums.unpriced:
        models = [name or NAMELESS for name, _ in noted.unpriced.most_common(_MODELS_NAMED)]
        from_results = " --from results" if source.is_totals else ""
        more = ", …" if len(noted.unpriced) > _MODELS_NAMED else ""
        yield (
            f"Without a price: {counted(sums.unpriced, 'outcome')} of {', '.join(models)}{more}. Their tokens count, "
            f"their cost is missing: name prices in a file, and give it with --prices{from_results}."
        )


def _comparison(report: SpendingReport) -> Iterator[str]:
    compared, asked = report.compared, report.tally.question
    if compared is not None:
        yield f"CHANGE: mean tokens of a request, against {spoken_period(compared.period)}, from {compared.topic}."
    elif report.rows:
        yield f"Not compared: neither totals nor results have all of {spoken_period(asked.period.before())}."
