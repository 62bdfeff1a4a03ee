from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from headrace.broker.core.answers.numbers import http_date_s, parse_count, parse_decimal_ms, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("0", 0),
        ("2ms", 2),
        ("84ms", 84),  # not 84 minutes
        ("1.146s", 1_146),
        ("8.64s", 8_640),
        ("7m12s", 432_000),
        ("1m0.198s", 60_198),
        ("20m52.666s", 1_252_666),
        ("14m24s", 864_000),
        ("1h8m25.745s", 4_105_745),
        ("83h10m39.057s", 299_439_057),
        (" 5m ", 300_000),
        ("6ms", 6),
        ("9s", 9_000),
        ("3.9s", 3_900),
        ("3.09s", 3_090),
        ("3.0001s", 3_001),
        ("1.5ms", 2),
        ("1ns", 1),
        ("1.5us", 1),
        ("1500µs", 2),
        ("1500μs", 2),
    ],
)
def test_a_go_duration_is_read_and_rounded_up_to_a_whole_millisecond(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "-1s",
        "1.s",
        ".5s",
        "1d",
        "s",
        "1 s",
        "\N{ARABIC-INDIC DIGIT ONE}s",
        "1e3s",
        "NaN",
        "9" * 13 + "s",
        "1s" * 40,
    ],
)
def test_what_is_not_a_go_duration_is_none(text: str) -> None:
    assert parse_duration_ms(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("30,000", 30_000),
        ("150000000", 150_000_000),
        ("-1", None),
        ("3,00", None),
        ("", None),
        ("1.5", None),
        ("9" * 16, None),
        ("9" * 5_000, None),
    ],
)
def test_a_count_is_read_with_commas_or_without(text: str, count: int | None) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "unit_ms", "milliseconds"),
    [("20", 1_000, 20_000), ("0.0005", 1_000, 1), ("84.2", 1, 85), ("nan", 1, None), ("1e3", 1, None), ("", 1, None)],
)
def test_a_bare_decimal_is_rounded_up(text: str, unit_ms: int, milliseconds: int | None) -> None:
    assert parse_decimal_ms(text, unit_ms) == milliseconds


@pytest.mark.parametrize("year", [1970, 1999, 2000, 2024, 2026, 2100])
@pytest.mark.parametrize("month", [1, 2, 3, 12])
def test_a_date_is_read_as_python_writes_it(year: int, month: int) -> None:
    moment = datetime(year, month, 28, 1, 2, 3, tzinfo=UTC)
    assert http_date_s(format_datetime(moment, usegmt=True)) == moment.timestamp()


def test_leap_days_are_counted() -> None:
    before, after = (http_date_s(f"Mon, {day} 2028 00:00:00 GMT") for day in ("28 Feb", "01 Mar"))
    assert before is not None
    assert after == before + 2 * 86_400


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-10-21T07:28:00Z", "Wed, 21 Foo 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 +0200"]
)
def test_what_is_no_http_date_is_none(text: str) -> None:
    assert http_date_s(text) is None
