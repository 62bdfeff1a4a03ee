from datetime import UTC, datetime, timedelta

import pytest

from headrace.broker.spending.question import NameFilters, ReportPeriod, ReportQuestion
from headrace.schemas.spending import SpendingKey

AT = datetime(2026, 11, 28, 13, 30, tzinfo=UTC)
KEY = SpendingKey(0, "bulk", "gpt-4o-2024-08-06", "acme", "", "flex")


def test_a_period_touches_the_hours_of_its_first_and_last_minute() -> None:
    period = ReportPeriod(AT, AT + timedelta(hours=1))
    assert len(period.hours) == 2
    assert period.whole_hours() == ReportPeriod(AT.replace(minute=0), AT.replace(hour=15, minute=0))
    assert ReportPeriod(AT.replace(minute=0), AT.replace(hour=14, minute=0)).hours == range(498_853, 498_854)


@pytest.mark.parametrize(("days", "weeks"), [(1 / 24, 1), (7, 1), (7.1, 2), (30, 5)])
def test_a_period_is_compared_with_one_on_the_same_weekdays_that_is_over_before_it(days: float, weeks: int) -> None:
    period = ReportPeriod(AT - timedelta(days=days), AT)
    before = period.before()
    assert (before.length, before.until) == (period.length, AT - timedelta(weeks=weeks))
    assert before.until <= period.since


def test_nothing_is_before_1970() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert ReportPeriod(epoch, AT).before().since == epoch


@pytest.mark.parametrize(
    ("patterns", "holds"),
    [
        ({}, True),
        ({"lane": ["bulk"]}, True),
        ({"lane": ["bul"]}, False),
        ({"lane": ["urgent", "b*"]}, True),
        ({"model": ["gpt-4o-20??-*"], "tenant": ["acme"]}, True),
        ({"model": ["gpt-4o-20??-*"], "tenant": ["other"]}, False),
        ({"template": [""]}, True),
        ({"tenant": [""]}, False),
        ({"tier": ["flex"]}, True),
        ({"tenant": ["acme\n"]}, False),
    ],
)
def test_one_pattern_of_each_filter_must_match_the_whole_name(patterns: dict[str, list[str]], *, holds: bool) -> None:
    assert NameFilters(patterns).hold(KEY) is holds


def test_a_chart_is_stacked_by_the_first_dimension_that_is_no_time() -> None:
    period = ReportPeriod(AT, AT)
    assert ReportQuestion(period, ("day", "tenant", "lane")).stacked_by == "tenant"
    assert ReportQuestion(period, ("day",)).stacked_by == "lane"
