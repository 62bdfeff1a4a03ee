from datetime import UTC, datetime, timedelta

import pytest
import typer

from headrace.broker.cli.moments import moment


def test_a_moment_is_a_span_ago_or_an_instant() -> None:
    assert moment("2026-01-02T04:04:05+01:00") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(days=2) - moment("2d")) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "700000d"])
def test_before_1970_kafka_knows_no_time_and_nothing_was_written(text: str) -> None:
    assert moment(text) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-01-02T03:04:05", "15", "", "999999999d", "-5m"])
def test_anything_else_is_refused_with_what_may_be_given(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="use latest, a span such as"):
        moment(text, also="latest, ")
