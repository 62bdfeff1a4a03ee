"""The table on terminals of several widths."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from headrace.broker.cli.report.columns_shown import fitting
from headrace.broker.cli.report.table import ReportSource, heading, notes
from headrace.broker.spending.question import ReportPeriod, ReportQuestion
from headrace.broker.spending.report import SpendingReport, report_of
from headrace.broker.spending.sums import SpendingSums
from headrace.broker.spending.tally import SpendingTally
from headrace.schemas.spending import OTHERS

UNTIL = datetime(2026, 11, 28, 14, 10, tzinfo=UTC)
SOURCE = ReportSource("t.results")


def report(*names: str, usd: float = 1.5, groups_max: int = 100) -> SpendingReport:
    period = ReportPeriod(UNTIL - timedelta(days=2), UNTIL)
    tally = SpendingTally(ReportQuestion(period, ("tenant", "template")), groups_max=groups_max)
    sums = SpendingSums(outcomes=1_000, completed=990, metered=990, input_tokens=10**6, output_tokens=10**5)
    sums.pico_usd, sums.calls, sums.charge_tokens = round(usd * 1e12), 1_010, 2 * 10**6
    sums.sizes[120] = 990
    tally.groups.add_totals(((name, "welcome"), sums) for name in names)
    return report_of(tally)


def titles(width: int, name: str = "acme") -> list[str]:
    told = report(name)
    shown, _ = fitting(told, [*told.rows, told.whole], [["TENANT", "TEMPLATE"], [name, "welcome"]], width)
    return [figure.title for figure in shown]


def test_a_wide_terminal_has_every_column() -> None:
    figures = "OUTCOMES FAILED CALLS INPUT CACHED OUTPUT CHARGE MEAN P50 P95 COST EACH SHARE"
    assert titles(200) == figures.split()


@pytest.mark.parametrize("width", [100, 80, 60])
@pytest.mark.parametrize("name", ["acme", "tenant-with-a-very-long-name-of-its-own"])
def test_what_is_shown_fits_beside_names_of_a_readable_width(width: int, name: str) -> None:
    told = report(name)
    names = [["TENANT", "TEMPLATE"], [name, "welcome"]]
    shown, left_out = fitting(told, [*told.rows, told.whole], names, width)
    cells = sum(
        2 + max(cell_len(figure.title), *(cell_len(figure.cell(told, row)) for row in (*told.rows, told.whole)))
        for figure in shown
    )
    assert cells + min(14, len(name)) + 2 + len("TEMPLATE") <= width
    assert left_out


def test_the_narrowest_terminal_keeps_outcomes_mean_and_cost() -> None:
    assert titles(45) == ["OUTCOMES", "MEAN", "COST"]
    assert len(titles(1)) == 1


def test_the_heading_has_the_whole_cost_and_of_totals_whole_hours() -> None:
    told = report("a", "b")
    assert heading(told, SOURCE) == (
        "2,000 outcomes, $3.00, 2026-11-26 14:10 to 2026-11-28 14:10 UTC (2 d), from t.results"
    )
    of_totals = ReportSource("t.totals", is_totals=True)
    assert "2026-11-26 14:00 to 2026-11-28 15:00 UTC (2 d 1 h), from t.totals" in heading(told, of_totals)


def test_groups_counted_together_are_said() -> None:
    told = report(*(f"t{number}" for number in range(9)), groups_max=4)
    assert f"under {OTHERS}" in " ".join(notes(told, SOURCE))
    of_totals = report(OTHERS)
    assert "no place of their own" in " ".join(notes(of_totals, ReportSource("t", is_totals=True)))
    assert OTHERS not in " ".join(notes(of_totals, SOURCE))


def test_models_without_a_price_are_named_up_to_five() -> None:
    told = report("a")
    told.whole.sums.unpriced = 7
    for number in range(7):
        told.tally.notes.unpriced[f"m{number}"] += 7 - number
    [sentence] = [each for each in notes(told, SOURCE) if "price" in each]
    assert sentence.startswith("Without a price: 7 outcomes of m0, m1, m2, m3, m4, …. Their tokens count")


def test_repricing_names_both_lists() -> None:
    told = report("a")
    told.tally.notes.price_lists["list 1"] += 3
    told.tally.notes.priced_by = "list 2"
    reprices = ReportSource("t", reprices=True)
    assert "All calls are priced anew by list 2; the outcomes carry prices by list 1." in [*notes(told, reprices)]
    told.tally.notes.priced_here = 1
    said = "Priced by list 2: 1 outcome without a cost, of older releases or of times with costs off."
    assert said in [*notes(told, SOURCE)]


def test_outcomes_without_a_cost_are_told_from_those_without_a_price() -> None:
    told = report("a")
    told.whole.sums.without_cost = 7
    said = " ".join(notes(told, SOURCE))
    assert "Costs are off here (costs.enabled): 7 outcomes without a cost are not priced." in said
    assert "Without a price" not in said
    of_totals = " ".join(notes(told, ReportSource("t", is_totals=True)))
    assert "Without a cost: 7 outcomes of times with costs off (costs.enabled): --from results prices" in of_totals
    told.whole.sums.without_cost, told.whole.sums.unpriced = 0, 7
    assert "--prices --from results." in " ".join(notes(told, ReportSource("t", is_totals=True)))
