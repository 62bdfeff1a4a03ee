"""The options of `headrace report` as a question."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from headrace.broker.cli.moments import moment
from headrace.broker.spending.breakdown import DIMENSIONS
from headrace.broker.spending.question import NameFilters, ReportPeriod, ReportQuestion
from headrace.schemas.nearest import there_is_no

DEFAULT_BY: Final = "lane,model"
DEFAULT_SINCE: Final = timedelta(days=7)
_AHEAD_MAX: Final = timedelta(days=366)
"""A later end says no more, and neither calendar nor chart have room for any."""


def question_from(
    since: str | None,
    until: str | None,
    by: str,
    patterns: Mapping[str, Sequence[str] | None],
    *,
    by_hour: bool = False,
    now: datetime | None = None,
) -> ReportQuestion:
    """Return the question. Raises typer.BadParameter."""
    now = now or datetime.now(UTC)
    to = now if until is None else min(moment(until), now + _AHEAD_MAX)
    begin = moment(since) if since is not None else to - DEFAULT_SINCE
    if begin >= to:
        raise typer.BadParameter("--since must be before --until: nothing lies between them")
    filters = NameFilters({name: tuple(given) for name, given in patterns.items() if given})
    return ReportQuestion(ReportPeriod(begin, to), _dimensions(by), filters, by_hour)


def _dimensions(by: str) -> tuple[str, ...]:
    named = [each.strip() for each in by.split(",")]
    for each in named:
        if each not in DIMENSIONS:
            raise typer.BadParameter(f"--by: {there_is_no('dimension', each, DIMENSIONS)}")
    if len(set(named)) < len(named):
        raise typer.BadParameter("--by names a dimension twice: name each of them once")
    return tuple(named)
