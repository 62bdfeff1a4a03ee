import json
from pathlib import Path
from typing import Any

import pytest

from broker.core.reading import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MONTH_MS,
    SECOND_MS,
    Metric,
    Reading,
    Snapshot,
    parse_duration_ms,
    readings,
    retry_after_ms,
    snapshot,
    wait_in_ms,
)

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def headers(metric: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {
        f"X-RateLimit-Limit-{metric}": limit,
        f"x-ratelimit-remaining-{metric}": remaining,
        f"x-ratelimit-reset-{metric}": reset,
    }


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


def test_every_recorded_header_set_gives_both_metrics_and_a_usual_period_or_none() -> None:
    for row in recorded("openai_ratelimit_headers.jsonl"):
        tokens, requests = readings(row["headers"])
        assert (tokens.metric, tokens.capacity, tokens.remaining) == (
            Metric.TOKENS,
            row["limit_tokens"],
            row["remaining_tokens"],
        )
        assert requests.metric is Metric.REQUESTS
        assert tokens.period_ms in {None, MINUTE_MS}
        assert requests.period_ms in {None, MINUTE_MS, DAY_MS}


def test_a_requests_limit_per_day_is_told_from_one_per_minute_by_its_reset() -> None:
    (per_day,) = readings(headers("requests", "10000", "9999", "8.64s"))
    (per_minute,) = readings(headers("requests", "500", "499", "120ms"))
    assert (per_day.period_ms, per_minute.period_ms) == (DAY_MS, MINUTE_MS)


def test_the_period_of_a_month_and_of_a_second_is_recovered() -> None:
    (month,) = readings(headers("tokens", "100000", "88447", "83h10m39.057s"))
    (second,) = readings(headers("tokens", "1000", "500", "501ms"))
    assert (month.period_ms, second.period_ms) == (MONTH_MS, SECOND_MS)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [
        ("1000", "1000", "20ms"),  # full
        ("30000000", "29998837", "2ms"),  # too short to tell
        ("60000", "59991", "9ms"),  # though it looks like a minute
        ("1000", "0", "soon"),
        ("1000", "999", "30ms"),  # half a request used, rounded to one
        ("1000", "300", "39ms"),
    ],
)
def test_a_period_that_cannot_be_computed_is_none(limit: str, remaining: str, reset: str) -> None:
    (reading,) = readings(headers("tokens", limit, remaining, reset))
    assert reading.period_ms is None


def test_an_unusual_period_is_returned_as_computed_when_rounding_cannot_explain_it() -> None:
    (reading,) = readings(headers("tokens", "1000", "500", "5s"))
    assert reading == Reading(Metric.TOKENS, 1_000, 500, 10_000, full_in_ms=5_000)


@pytest.mark.parametrize(
    ("limit", "remaining"), [("-1", "-1"), ("0", "0"), ("XXX", "5"), ("100", ""), ("3,00", "1"), ("9" * 16, "1")]
)
def test_a_metric_with_an_unreadable_number_is_left_out(limit: str, remaining: str) -> None:
    assert readings(headers("tokens", limit, remaining, "1s")) == ()


def test_thousands_separators_are_read_and_more_remaining_than_the_limit_is_the_limit() -> None:
    (reading,) = readings(headers("TOKENS", "30,000", "30,001", "0s"))
    assert (reading.capacity, reading.remaining, reading.period_ms) == (30_000, 30_000, None)


def test_project_and_image_headers_do_not_disturb() -> None:
    other = headers("project-tokens", "7", "7", "0s") | headers("input-images", "50000", "49999", "1ms")
    assert readings(other) == ()
    assert len(readings(other | headers("tokens", "10", "5", "30s"))) == 1


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        ({}, None),
        ({"Retry-After": "20"}, 20_000),
        ({"retry-after": "0.0005"}, 1),
        ({"retry-after": "1", "Retry-After-Ms": "84.2"}, 85),
        ({"retry-after-ms": "soon", "retry-after": "1.5"}, 1_500),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_the_stated_wait_is_milliseconds_first_then_seconds(given: dict[str, str], milliseconds: int | None) -> None:
    assert retry_after_ms(given) == milliseconds


def test_every_recorded_message_gives_the_numbers_a_reader_would_find_in_it() -> None:
    periods = {"minute": MINUTE_MS, "day": DAY_MS}
    for row in recorded("openai_error_messages.jsonl"):
        found = snapshot(row["message"])
        assert wait_in_ms(row["message"]) == row["retry_after_ms"]
        if row["period"] not in periods or row["limit"] is None:
            assert found is None
            continue
        assert found == Snapshot(
            metric=Metric(row["dimension"]),
            period_ms=periods[row["period"]],
            capacity=row["limit"],
            used=row["used"],
            requested=row["requested"],
            limit_name=row["model"],
            wait_ms=row["retry_after_ms"],
            project=row.get("scope") == "project",
        )


def test_a_shared_limit_is_named_by_the_limit_rather_than_the_model() -> None:
    found = snapshot(
        "Request too large for gpt-4.1-2025-04-14 (for limit gpt-4.1) in organization o on tokens per min (TPM): "
        "Limit 30000, Requested 36278."
    )
    assert found is not None
    assert found.limit_name == "gpt-4.1"


@pytest.mark.parametrize(
    ("period", "milliseconds"), [("second", SECOND_MS), ("minute", MINUTE_MS), ("hour", HOUR_MS), ("day", DAY_MS)]
)
def test_periods_are_read_in_long_form_too(period: str, milliseconds: int) -> None:
    found = snapshot(f"Rate limit reached for m in organization o on requests per {period}: Limit 3, Used 3.")
    assert found is not None
    assert found.period_ms == milliseconds


def test_the_form_of_2022_is_read_with_more_used_than_the_limit() -> None:
    found = snapshot("Rate limit reached for tokens. Limit: 150000.000000 / min. Current: 176000.000000 / min.")
    assert found == Snapshot(Metric.TOKENS, MINUTE_MS, 150_000, 176_000, None, None, None)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "on tokens per min: no number",
        "on tokens per min: Limit 0, Used 0",
        "on tokens per min: Limit ,,, Used 0",
        "on images per min: Limit 5, Used 5",
        "Limit 5, Used 5",
        " " * 1_000_000 + "on tokens per min: Limit 5, Used 5",
    ],
)
def test_a_message_that_states_no_limit_gives_no_snapshot(message: str) -> None:
    assert snapshot(message) is None


@pytest.mark.parametrize(
    ("message", "milliseconds"),
    [
        ("please slow down and try again after 51.84 seconds.", 51_840),
        ("Please retry after 1 second", 1_000),
        ("try again in 1.2.3 seconds", None),
        ("try again in 3 minutes", None),
        ("try again in 5weeks", None),
        ("Please try again later.", None),
    ],
)
def test_a_wait_in_words_is_read_or_none(message: str, milliseconds: int | None) -> None:
    assert wait_in_ms(message) == milliseconds
