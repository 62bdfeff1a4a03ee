from datetime import UTC, datetime, timedelta

import pytest

from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.timeline import DAY, HOUR, SpendingTimeline
from headrace.schemas.spending import HOUR_S, OTHERS

UNTIL = datetime(2026, 11, 28, 13, 30, tzinfo=UTC)


def timeline(length: timedelta, values_max: int = 400) -> SpendingTimeline:
    return SpendingTimeline(ReportPeriod(UNTIL - length, UNTIL), values_max)


def hour_of(at: datetime) -> int:
    return int(at.timestamp()) // HOUR_S


@pytest.mark.parametrize(
    ("length", "width", "bins", "begin"),
    [
        (timedelta(hours=2), HOUR, 3, UNTIL.replace(hour=11, minute=0)),
        (timedelta(days=8), HOUR, 193, UNTIL.replace(day=20, minute=0)),
        (timedelta(days=9), DAY, 10, UNTIL.replace(day=19, hour=0, minute=0)),
    ],
)
def test_short_periods_have_hours_and_long_ones_whole_days(
    length: timedelta, width: timedelta, bins: int, begin: datetime
) -> None:
    found = timeline(length)
    assert (found.width, found.bins, found.begin) == (width, bins, begin)
    found.add("a", hour_of(UNTIL - length), 1, 10)
    found.add("a", hour_of(UNTIL), 2, 20)
    assert (found.rows["a"].pico_usd[0], found.rows["a"].tokens[-1]) == (1, 20)


def test_beyond_a_number_of_values_the_smallest_are_put_together_and_nothing_is_lost() -> None:
    found = timeline(timedelta(hours=5), values_max=6)
    for number in range(100):
        found.add(f"v{number}", hour_of(UNTIL) - number % 5, 1, 1_000 if number in {2, 60} else 1)
    found.add(OTHERS, hour_of(UNTIL), 1, 1)
    assert len(found.rows) <= 7
    assert {"v2", "v60", OTHERS} <= set(found.rows)
    assert sum(sum(row.pico_usd) for row in found.rows.values()) == 101
    assert sum(sum(row.tokens) for row in found.rows.values()) == 2_099


def test_a_period_of_many_years_takes_no_more_memory() -> None:
    found = timeline(timedelta(days=20_000))
    for number in range(2_000):
        found.add(f"v{number}", hour_of(UNTIL) - number, 1, 1)
    assert len(found.rows) * found.bins < 500_000
    assert sum(sum(row.tokens) for row in found.rows.values()) == 2_000
