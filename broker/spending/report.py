"""A report: the rows of a tally, their shares of the whole, and how they changed since an earlier period."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.broker.spending.breakdown import Breakdown, Values
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.sizes import quantile
from headrace.broker.spending.sums import SpendingSums
from headrace.broker.spending.tally import SpendingTally

REST: Final = "(rest)"
"""Value, in each dimension, of the row that puts the rows beyond `--top` together."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One line of a report. `before` are the sums of the same group in the earlier period; None: there are none."""

    values: Values
    sums: SpendingSums
    before: SpendingSums | None = None

    @property
    def failed(self) -> int:
        """Outcomes that failed."""
        return self.sums.outcomes - self.sums.completed

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.sums.tokens

    @property
    def tokens_mean(self) -> float | None:
        """Tokens of a request, as far as they have usage."""
        return self.sums.tokens_mean

    def size(self, share: float) -> int | None:
        """Return the tokens below which this share of the requests lies, within 3 %."""
        return quantile(self.sums.sizes, share)

    @property
    def cached_share(self) -> float | None:
        """Share of the input that came out of OpenAI's cache."""
        return self.sums.cached_share

    @property
    def pico_usd_each(self) -> float | None:
        """Mean cost of the requests that have one."""
        return _part(self.sums.pico_usd, self.sums.priced)

    @property
    def change(self) -> float | None:
        """Change of the tokens of a request: 0.1 is a tenth more than before."""
        before = None if self.before is None else self.before.tokens_mean
        return None if before is None or self.tokens_mean is None else _part(self.tokens_mean - before, before)


@dataclass(frozen=True, slots=True)
class Compared:
    """The earlier period, and the topic that its sums come from."""

    period: ReportPeriod
    topic: str
    groups: Breakdown


@dataclass(frozen=True, slots=True)
class SpendingReport:
    """Rows in order, the largest first unless they are of days or hours.

    `rest` is the sum of the `rest_of` rows beyond the number that was asked for, `whole` that of all rows.
    """

    rows: Sequence[ReportRow]
    rest: ReportRow | None
    rest_of: int
    whole: ReportRow
    tally: SpendingTally
    compared: Compared | None = None

    def cost_share(self, row: ReportRow) -> float | None:
        """Return a row's share of all costs."""
        return _part(row.sums.pico_usd, self.whole.sums.pico_usd)

    def token_share(self, row: ReportRow) -> float | None:
        """Return a row's share of all input and output."""
        return _part(row.tokens, self.whole.tokens)


def report_of(tally: SpendingTally, compared: Compared | None = None, *, top: int = 0) -> SpendingReport:
    """Return the report of a tally; `top`: only so many rows, and the others together; 0: all."""
    dimensions = tally.question.dimensions
    by_time = [number for number, name in enumerate(dimensions) if name in {"day", "hour"}]
    earlier = None if compared is None or by_time else compared.groups.groups  # a day is not compared with another
    rows = [
        ReportRow(values, sums, None if earlier is None else earlier.get(values))
        for values, sums in tally.groups.groups.items()
    ]
    rows.sort(key=lambda row: row.values)
    rows.sort(key=lambda row: row.sums.weight, reverse=True)
    rest = rows[top:] if top else []
    kept = rows[: len(rows) - len(rest)]
    if by_time:
        kept.sort(key=lambda row: tuple(row.values[number] for number in by_time))
    whole_before = None if compared is None else compared.groups.whole()
    return SpendingReport(
        rows=kept,
        rest=_together(rest, len(dimensions)) if rest else None,
        rest_of=len(rest),
        whole=ReportRow(("",) * len(dimensions), tally.groups.whole(), whole_before),
        tally=tally,
        compared=compared,
    )


def _together(rows: Iterable[ReportRow], dimensions: int) -> ReportRow:
    sums, before, has_before = SpendingSums(), SpendingSums(), False
    for row in rows:
        sums.add_total(row.sums)
        if row.before is not None:
            before.add_total(row.before)
            has_before = True
    return ReportRow((REST,) * dimensions, sums, before if has_before else None)


def _part(of: float, whole: float) -> float | None:
    return of / whole if whole else None
