import json
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MONTH_MS,
    RESET_MS_MAX,
    SECOND_MS,
    LimitMetric,
    Reading,
    SideReading,
    exact_span_ms,
    lowered,
    reading_of,
    readings,
    retry_after_ms,
    side_readings,
    span_ms,
)

DATA = Path(__file__).parent.parent / "data"


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def headers(metric: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {
        f"X-RateLimit-Limit-{metric}": limit,
        f"x-ratelimit-remaining-{metric}": remaining,
        f"x-ratelimit-reset-{metric}": reset,
    }


def test_every_recorded_header_set_gives_both_metrics_and_a_usual_period_or_none() -> None:
    for row in recorded("openai_ratelimit_headers.jsonl"):
        tokens, requests = readings(row["headers"])
        assert (tokens.metric, tokens.capacity, tokens.remaining) == (
            LimitMetric.TOKENS,
            row["limit_tokens"],
            row["remaining_tokens"],
        )
        assert requests.metric is LimitMetric.REQUESTS
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
    (reading,) = readings(headers("tokens", "1000", "500", "4.995s"))
    assert reading == Reading(LimitMetric.TOKENS, 1_000, 500, 9_990, full_in_ms=4_995)


def test_no_answer_alone_shows_an_unusual_period_of_more_than_an_hour() -> None:
    """Before: a window of a minute with 300 of 785,000 used passed for one of 42 hours, and bulk was parked."""
    (window,) = readings(headers("tokens", "785000", "784700", "57.747s"))
    assert (window.period_ms, window.full_in_ms) == (None, 57_747)
    for reset, period_ms in (("29m59.999s", HOUR_MS - 2), ("30m0.001s", None)):
        (told,) = readings(headers("tokens", "1000", "500", reset))
        assert told.period_ms == period_ms


def test_whole_seconds_may_be_rounded_and_name_no_unusual_period() -> None:
    for remaining, reset, period_ms in (("500", "5s", None), ("900", "60s", None), ("500", "30s", 60_000)):
        (reading,) = readings(headers("tokens", "1000", remaining, reset))
        assert reading.period_ms == period_ms


@pytest.mark.parametrize(
    ("limit", "remaining"), [("-1", "-1"), ("0", "0"), ("XXX", "5"), ("100", ""), ("3,00", "1"), ("9" * 16, "1")]
)
def test_a_metric_with_an_unreadable_number_is_left_out(limit: str, remaining: str) -> None:
    assert readings(headers("tokens", limit, remaining, "1s")) == ()


def test_thousands_separators_are_read_and_more_remaining_than_the_limit_is_the_limit() -> None:
    (reading,) = readings(headers("TOKENS", "30,000", "30,001", "0s"))
    assert (reading.capacity, reading.remaining, reading.period_ms) == (30_000, 30_000, None)


def test_a_projects_bucket_and_that_of_images_are_kept_apart_from_the_organisations() -> None:
    side = headers("Project-Tokens", "70", "7", "54s") | headers("input-images", "50000", "49999", "1ms")
    assert readings(side) == ()
    assert side_readings(side) == (
        SideReading("project-tokens", 70, 7, MINUTE_MS, full_in_ms=54_000),
        SideReading("input-images", 50_000, 49_999, None, full_in_ms=1),
    )
    both = side | headers("tokens", "10", "5", "30s") | headers("project-requests", "-1", "-1", "0")
    assert len(readings(both)) == 1
    assert len(side_readings(both)) == 2
    assert side_readings(headers("tokens", "10", "5", "30s")) == ()


def test_a_side_reading_of_a_project_is_one_of_tokens_or_requests() -> None:
    of_tokens = SideReading("project-tokens", 10, 5, MINUTE_MS, 30_000)
    assert of_tokens.of_project() == Reading(LimitMetric.TOKENS, 10, 5, MINUTE_MS, 30_000)
    of_requests = SideReading("project-requests", 10, 5, None)
    assert of_requests.of_project() == Reading(LimitMetric.REQUESTS, 10, 5, None)
    assert SideReading("input-images", 10, 5, None).of_project() is None


def test_every_recorded_set_with_images_tells_of_them() -> None:
    shown = [side_readings(row["headers"]) for row in recorded("openai_ratelimit_headers.jsonl")]
    assert [side for side in shown if side] == [(SideReading("input-images", 50_000, 49_999, None, 1),)] * 4


@pytest.mark.parametrize("reset", ["7", "500", "-1", "60.0"])
def test_bare_numbers_of_azure_are_no_durations(reset: str) -> None:
    (reading,) = readings(headers("tokens", "120000", "119986", reset))
    assert (reading.period_ms, reading.full_in_ms) == (None, None)


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        ({}, None),
        ({"Retry-After": "20"}, 20_000),
        ({"retry-after": "0.0005"}, 1),
        ({"retry-after": "1", "Retry-After-Ms": "84.2"}, 85),
        ({"retry-after-ms": "soon", "retry-after": "1.5"}, 1_500),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),  # and who knows what time it is
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:27:48 GMT"}, 12_000),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0),
        ({"retry-after": "soon", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_the_stated_wait_is_milliseconds_first_then_seconds(given: dict[str, str], milliseconds: int | None) -> None:
    assert retry_after_ms(given) == milliseconds


def test_headers_are_lowered_once_and_known_as_such() -> None:
    once = lowered({"X-Name": " value "})
    assert once == {"x-name": "value"}
    assert lowered(once) is once


@pytest.mark.parametrize("remaining", [0, 1, 29_950, 29_999, 30_000])
def test_numbers_are_read_as_the_headers_that_carry_them(remaining: int) -> None:
    full_in_ms = (30_000 - remaining) * MINUTE_MS // 30_000
    (spelled,) = readings(headers("tokens", "30000", str(remaining), f"{full_in_ms}ms"))
    assert reading_of(LimitMetric.TOKENS, 30_000, remaining, full_in_ms) == spelled


def test_a_reset_in_more_than_a_month_is_not_believed() -> None:
    """What waits for it would wait for ever; the sizes beside it may be true."""
    for reset in ("999999999999h", f"{RESET_MS_MAX + 1}ms"):
        (told,) = readings(headers("tokens", "1000", "900", reset))
        assert (told.period_ms, told.full_in_ms) == (None, None)
    (told,) = readings(headers("tokens", "1000", "0", f"{RESET_MS_MAX}ms"))
    assert (told.period_ms, told.full_in_ms) == (MONTH_MS, RESET_MS_MAX)


def test_an_unusual_period_of_more_than_a_month_is_not_believed() -> None:
    (told,) = readings(headers("tokens", "1000000", "999900", "720h"))
    assert (told.period_ms, told.full_in_ms) == (None, 720 * 3_600_000)


@pytest.mark.parametrize("reset", ["0", "1", "500"])
def test_a_period_that_a_header_states_is_taken_and_azures_bare_reset_is_not(reset: str) -> None:
    """One of Azure's endpoints sends it in milliseconds, another in whole seconds, rounded down."""
    given = headers("requests", "250", "249", reset) | {"x-ratelimit-renewalperiod-requests": "60"}
    assert readings(given) == (Reading(LimitMetric.REQUESTS, 250, 249, MINUTE_MS),)


@pytest.mark.parametrize("stated", ["", "-1", "0", "soon", "2678401"])
def test_a_stated_period_that_is_none_leaves_it_open(stated: str) -> None:
    given = headers("tokens", "250", "249", "7") | {"x-ratelimit-renewalperiod-tokens": stated}
    assert readings(given) == (Reading(LimitMetric.TOKENS, 250, 249, None),)


DATE = "Wed, 21 Oct 2026 07:27:48 GMT"


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("7m12s", 432_000),
        ("40", 40_000),
        ("11.5", 11_500),
        ("2026-10-21T07:28:00Z", 12_000),
        ("1792567680", 12_000),
        ("1792567680000", 12_000),
        (DATE, 0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_time_is_read_whatever_its_form(text: str, milliseconds: int | None) -> None:
    assert span_ms(text, DATE) == milliseconds


def test_an_instant_without_a_date_beside_it_is_no_time() -> None:
    assert span_ms("2026-10-21T07:28:00Z", "") is None
    assert span_ms("1792567680000", "") is None


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1m0.198s", 60_198),
        ("11.382867097854614", 11_382),
        ("33011.382", 33_011_382),
        ("40", None),
        ("11.5", None),
        ("1.2x4", None),
        (".123", None),
        ("2026-10-21T07:28:00Z", None),
        ("745h", None),
        ("", None),
    ],
)
def test_only_a_time_to_the_millisecond_is_evidence_of_a_refill(text: str, milliseconds: int | None) -> None:
    assert exact_span_ms(text) == milliseconds
