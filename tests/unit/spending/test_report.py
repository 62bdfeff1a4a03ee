from datetime import UTC, datetime, timedelta

import pytest

from headrace.broker.spending.breakdown import Breakdown
from headrace.broker.spending.question import ReportPeriod, ReportQuestion
from headrace.broker.spending.report import REST, Compared, ReportRow, report_of
from headrace.broker.spending.sums import SpendingSums
from headrace.broker.spending.tally import SpendingTally

UNTIL = datetime(2026, 11, 28, 14, tzinfo=UTC)
PERIOD = ReportPeriod(UNTIL - timedelta(days=7), UNTIL)


def sums(outcomes: int, tokens: int, usd: float = 0) -> SpendingSums:
    """So many outcomes that used so many tokens each, and cost so much in all."""
    made = SpendingSums(outcomes=outcomes, completed=outcomes, metered=outcomes, input_tokens=outcomes * tokens)
    made.sizes[1] = outcomes
    made.pico_usd = round(usd * 1e12)
    return made


def tally(*dimensions: str, **groups: SpendingSums) -> SpendingTally:
    made = SpendingTally(ReportQuestion(PERIOD, dimensions))
    made.groups.add_totals((tuple(name.split("_")), each) for name, each in groups.items())
    return made


def earlier(*dimensions: str, **groups: SpendingSums) -> Compared:
    made = Breakdown(dimensions)
    made.add_totals((tuple(name.split("_")), each) for name, each in groups.items())
    return Compared(PERIOD.before(), "t.totals", made)


def test_the_costliest_rows_come_first_and_rows_without_a_price_by_their_tokens() -> None:
    told = report_of(tally("lane", a=sums(1, 9), b=sums(1, 10), c=sums(1, 1, 0.5), d=sums(1, 1, 2)))
    assert [row.values for row in told.rows] == [("d",), ("c",), ("b",), ("a",)]


def test_rows_of_days_come_in_their_order_and_the_largest_of_a_day_first() -> None:
    told = report_of(tally("lane", "day", a_2=sums(1, 5), b_2=sums(1, 9), a_1=sums(1, 1)))
    assert [row.values for row in told.rows] == [("a", "1"), ("b", "2"), ("a", "2")]


def test_shares_are_of_the_whole() -> None:
    told = report_of(tally("lane", a=sums(1, 100, 3), b=sums(3, 100, 1)))
    assert [told.cost_share(row) for row in told.rows] == [0.75, 0.25]
    assert [told.token_share(row) for row in told.rows] == [0.25, 0.75]
    assert told.cost_share(told.whole) == 1


def test_of_nothing_there_are_no_shares_and_no_means() -> None:
    told = report_of(tally("lane"))
    assert (told.rows, told.cost_share(told.whole), told.whole.tokens_mean, told.whole.size(0.5)) == (
        [],
        None,
        None,
        None,
    )
    assert (told.whole.cached_share, told.whole.pico_usd_each, told.whole.change) == (None, None, None)


def test_rows_beyond_a_number_are_put_together_and_the_whole_stays() -> None:
    told = report_of(
        tally("lane", a=sums(1, 100, 3), b=sums(2, 10, 2), c=sums(5, 40, 1)),
        earlier("lane", b=sums(1, 20), c=sums(1, 60)),
        top=1,
    )
    assert ([row.values for row in told.rows], told.rest_of) == ([("a",)], 2)
    assert told.rest is not None
    assert (told.rest.values, told.rest.sums.outcomes, told.rest.sums.pico_usd) == ((REST,), 7, 3 * 10**12)
    assert told.rest.change == pytest.approx(220 / 7 / 40 - 1)
    assert told.whole.sums.outcomes == 8


def test_there_is_no_rest_where_all_rows_fit() -> None:
    told = report_of(tally("lane", a=sums(1, 1), b=sums(1, 1)), top=2)
    assert (told.rest, len(told.rows)) == (None, 2)


def test_a_row_is_compared_with_the_same_group_before() -> None:
    told = report_of(tally("lane", a=sums(2, 110), b=sums(1, 50)), earlier("lane", a=sums(9, 100), z=sums(1, 1_000)))
    assert {row.values[0]: row.change for row in told.rows} == {"a": pytest.approx(0.1), "b": None}
    assert told.whole.change == pytest.approx(90 / 190 - 1)


def test_days_are_not_compared_but_the_whole_is() -> None:
    told = report_of(tally("day", x=sums(1, 110)), earlier("day", x=sums(1, 100)))
    assert told.rows[0].change is None
    assert told.whole.change == pytest.approx(0.1)


def test_a_call_costs_what_those_with_a_price_cost() -> None:
    made = sums(4, 100, 6)
    made.unpriced = 1
    assert ReportRow(("a",), made).pico_usd_each == 2e12
