from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from headrace.broker.core.answers.numbers import (
    http_date_s,
    instant_ms,
    parse_count,
    parse_decimal_ms,
    parse_duration_ms,
    parse_span_ms,
    until_ms,
)


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


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("23 seconds", 23_000),
        ("57829 seconds", 57_829_000),
        ("1 second", 1_000),
        ("51.84 seconds", 51_840),
        ("0.0001 s", 1),
        ("250 ms", 250),
        ("250 milliseconds", 250),
        ("3 minutes", 180_000),
        ("5m", 300_000),
        ("1 Hour and 5 Minutes", 3_900_000),
        ("2 hours, 1 minute, 3 seconds", 7_263_000),
        ("7m 12s", 432_000),
        ("1 day", 86_400_000),
    ],
)
def test_a_span_in_words_is_read_and_rounded_up(text: str, milliseconds: int) -> None:
    assert parse_span_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "7", "seconds", "5 weeks", "1.2.3 seconds", "3 s.5", "-1 s", "9" * 13 + " s", "1 s " * 5, "1 s" + " " * 80],
)
def test_what_is_no_span_is_none(text: str) -> None:
    assert parse_span_ms(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-21T07:28:00Z",
        "2026-10-21t07:28:00z",
        "2026-10-21 07:28:00 UTC",
        "2026-10-21T09:28:00+02:00",
        "2026-10-21T02:58:00-0430",
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "1792567680",
        "1792567680000",
    ],
)
def test_an_instant_is_read_in_every_form(text: str) -> None:
    assert instant_ms(text) == datetime(2026, 10, 21, 7, 28, tzinfo=UTC).timestamp() * 1_000


def test_fractions_of_a_second_are_kept() -> None:
    assert instant_ms("1970-01-01T00:00:01.2345Z") == 1_234
    assert instant_ms("1000000000.0005") == 1_000_000_000_001


@pytest.mark.parametrize(
    "text", ["", "soon", "20", "123456789012", "9" * 16, "2026-10-21T07:28:00", "2026-13-21T07:28:00Z", "2026-10-21"]
)
def test_what_is_no_instant_is_none(text: str) -> None:
    assert instant_ms(text) is None


def test_the_time_until_an_instant_needs_the_date_of_the_answer() -> None:
    now = "Wed, 21 Oct 2026 07:27:48 GMT"
    assert until_ms("2026-10-21T07:28:00Z", now) == 12_000
    assert until_ms("2026-10-21T07:27:00Z", now) == 0
    assert until_ms("2026-10-21T07:28:00Z", "") is None
    assert until_ms("soon", now) is None
