"""The axis of a chart's time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from headrace.broker.cli.report.plot import _mark_time
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.timeline import SpendingTimeline

UNTIL = datetime(2026, 11, 28, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize("days", [*range(1, 40), 100, 365, 1_000, 2_000, 20_000])
def test_the_names_of_days_have_room_beside_each_other(days: int) -> None:
    figure = Figure(figsize=(8.6, 4))  # the panels, without the legend beside them
    axes = figure.add_axes((0, 0.2, 1, 0.8))
    _mark_time(axes, SpendingTimeline(ReportPeriod(UNTIL - timedelta(days=days), UNTIL)))
    figure.draw_without_rendering()
    boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: box.x0)
    assert boxes
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
