import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, LimitMetric, Snapshot
from headrace.broker.core.answers.rate_limit_messages import (
    STATEMENTS_MAX,
    StatedLimit,
    Statement,
    side_limit_of,
    snapshot_of,
    stated_in,
    wait_in_ms,
)

DATA = Path(__file__).parent.parent / "data"


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def snapshot(message: str) -> Snapshot | None:
    return snapshot_of(stated_in(message), wait_in_ms(message))


def stated_limit(message: str, *details: tuple[str, str]) -> StatedLimit | None:
    statement = stated_in(message, details)
    return None if statement is None else statement.limit


def test_every_recorded_message_gives_the_numbers_a_reader_would_find_in_it() -> None:
    periods = {"minute": MINUTE_MS, "day": DAY_MS}
    for row in recorded("openai_error_messages.jsonl"):
        found = snapshot(row["message"])
        assert wait_in_ms(row["message"]) == row["retry_after_ms"]
        if row["period"] not in periods or row["limit"] is None:
            assert found is None
            continue
        assert found == Snapshot(
            metric=LimitMetric(row["dimension"]),
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
    assert found == Snapshot(LimitMetric.TOKENS, MINUTE_MS, 150_000, 176_000, None, None, None)


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
        ("try again in 3 minutes", 180_000),
        ("Please retry after 1 day.", 86_400_000),
        ("Please retry in 33.23s.", 33_230),
        ("try again in 5weeks", None),
        ("Please try again later.", None),
    ],
)
def test_a_wait_in_words_is_read_or_none(message: str, milliseconds: int | None) -> None:
    assert wait_in_ms(message) == milliseconds


@pytest.mark.parametrize(
    ("message", "stated"),
    [
        (
            (
                "Rate limit reached for gpt-4.1-2025-04-14 (for limit gpt-4.1) in organization o on tokens per min "
                "(TPM): Limit 30000, Used 29000, Requested 3000. Please try again in 4s."
            ),
            StatedLimit("tokens", "gpt-4.1", MINUTE_MS, 30_000, 29_000, 3_000, model="gpt-4.1-2025-04-14"),
        ),
        (
            (
                "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization o on input-images per min: "
                "Limit 5, Used 5, Requested 1. Please try again in 12s."
            ),
            StatedLimit("input-images", "gpt-image", MINUTE_MS, 5, 5, 1, model="gpt-image-2"),
        ),
        (
            "Rate limit reached for gpt-4o (for limit gpt-4o) in organization o on tokens per min: Limit 3",
            StatedLimit("tokens", "gpt-4o", MINUTE_MS, 3),
        ),
        (
            "Rate limit reached for m in project proj-1 organization o on requests per day (RPD): Limit 200, Used 200",
            StatedLimit("requests", "m", DAY_MS, 200, 200, project=True),
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens.",
            StatedLimit("tokens", capacity=8_192, requested=8_227),
        ),
        (
            (
                "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (568 in the "
                "messages, 6048 in the completion)."
            ),
            StatedLimit("tokens", capacity=6_048, requested=6_616),
        ),
        (
            (
                "'max_tokens' is too large: 9000. This model's maximum context length is 16,384 tokens and your "
                "request has 12946 input tokens."
            ),
            StatedLimit("tokens", capacity=16_384, requested=12_946),
        ),
        ("maximum context length is 8192 tokens", StatedLimit("tokens", capacity=8_192)),
        (
            "Requested 300500 tokens, max 300000 tokens per request",
            StatedLimit("tokens", capacity=300_000, requested=300_500),
        ),
        (
            "Enqueued token limit reached for gpt-4o-mini in organization o. Limit: 2,000,000 enqueued tokens.",
            StatedLimit("tokens", "gpt-4o-mini", capacity=2_000_000),
        ),
        ("have exceeded token rate limit of your current OpenAI S0 pricing tier", StatedLimit("tokens")),
        ("exceeded the call rate limit for your current AIServices S0 pricing tier", StatedLimit("requests")),
        ("You exceeded your current limit of tokens per minute.", StatedLimit("tokens", period_ms=MINUTE_MS)),
        ("You exceeded your current limit of concurrent requests.", None),
        (
            "Rate limit exceeded for api_key: k. Limit type: tokens. Current limit: 5000, Remaining: 0.",
            StatedLimit("tokens", capacity=5_000, used=5_000),
        ),
        (
            "Limit type: requests. Current limit: 9999999999999999, Remaining: 1",  # more digits than a count has
            StatedLimit("requests"),
        ),
        (
            (
                "Crossed TPM / RPM / Max Parallel Request Limit. current rpm: 1, rpm limit: 15, current tpm: 12260, "
                "tpm limit: 5000, current max_parallel_requests: 0"
            ),
            StatedLimit("tokens", period_ms=MINUTE_MS, capacity=5_000, used=12_260),
        ),
        (
            "current rpm: 15, rpm limit: 15, current tpm: 2, tpm limit: 5000",
            StatedLimit("requests", period_ms=MINUTE_MS, capacity=15, used=15),
        ),
        ("The model `x` does not exist.", None),
    ],
)
def test_whatever_a_message_tells_of_a_limit_is_read(message: str, stated: StatedLimit | None) -> None:
    assert stated_limit(message) == stated


def test_images_are_no_snapshot_for_no_budget_counts_them() -> None:
    assert snapshot("Rate limit reached for m in organization o on input-images per min: Limit 5, Used 5") is None


@pytest.mark.parametrize(
    ("message", "milliseconds"),
    [
        ("Please wait 23 seconds before retrying.", 23_000),
        ("Try again in 60 seconds. Passed model=gpt-4o", 60_000),
        ("please try again after 1 seconds", 1_000),
        ("Please retry in about 5 minutes", 300_000),
        ("please wait at least 2 hours", 7_200_000),
        ("Retrying in 1 minute and 5 seconds", 65_000),
        ("please wait or upgrade to continue", None),
        ("Please retry after a brief wait.", None),
        ('"retryDelay": "26s"', 26_000),
    ],
)
def test_other_servers_waits_in_words_are_read(message: str, milliseconds: int | None) -> None:
    assert wait_in_ms(message) == milliseconds


DATE = "Fri, 19 Sep 2025 18:26:05 GMT"


def test_an_instant_in_words_is_compared_with_the_answers_own_date() -> None:
    message = "Limit type: tokens. Current limit: 5, Remaining: 0. Limit resets at: 2025-09-19 18:27:05 UTC"
    assert wait_in_ms(message, date=DATE) == 60_000
    assert wait_in_ms(message) is None
    assert wait_in_ms("Please retry after 2025-09-19T18:26:15Z.", date=DATE) == 10_000
    assert wait_in_ms("retry after 2025-09-19T18:26:05Z or wait 5 s", date=DATE) == 5_000


@pytest.mark.parametrize(
    ("details", "milliseconds"),
    [
        ((("retrydelay", "48s"),), 48_000),
        ((("retrydelay", "0s"), ("quotaresetdelay", "539.5ms")), 540),
        ((("resets_in_seconds", "12345"),), 12_345_000),
        ((("retry-after", "3"),), 3_000),
        ((("retry_after", "2025-09-19T18:26:15Z"),), 10_000),
        ((("retrydelay", "soon"),), None),
        ((("unknown", "48s"),), None),
        ((("raw", "temporarily limited, please retry in 3s"),), 3_000),
    ],
)
def test_a_field_of_the_details_states_a_wait(details: tuple[tuple[str, str], ...], milliseconds: int | None) -> None:
    assert wait_in_ms("busy", details, DATE) == milliseconds


@pytest.mark.parametrize(
    ("message", "details", "stated"),
    [
        (
            "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 5 seconds.",
            (),
            StatedLimit("requests", period_ms=DAY_MS, capacity=50),
        ),
        (
            "Rate limit of 2 per 0s exceeded for UserConcurrentRequests.",
            (),
            StatedLimit("concurrent-requests", capacity=2),
        ),
        (
            "Rate limit of 300000 per 60s exceeded for UserByModelByMinuteTokens.",
            (),
            StatedLimit("tokens", period_ms=MINUTE_MS, capacity=300_000),
        ),
        (
            "You exceeded your current quota",
            (("quotaid", "GenerateContentOutputTokensPerModelPerHour"), ("quotavalue", "7"), ("model", "g")),
            StatedLimit("output-tokens", "g", HOUR_MS, 7),
        ),
        (
            "current rpm: 1, rpm limit: 15, current tpm: 12, tpm limit: 5000",
            (),
            StatedLimit("requests", period_ms=MINUTE_MS, capacity=15, used=1),
        ),
        ("current rpm: 1, rpm limit: 9223372036854775807", (), None),
        ("600 RPM (10 QPS) and 180000 TPM (3000 TPS)", (), StatedLimit("requests", period_ms=MINUTE_MS, capacity=600)),
        (
            "input length exceed context limit: 142123 + 64000 > 200000",
            (),
            StatedLimit("tokens", capacity=200_000, requested=206_123),
        ),
        (
            "context limit: 9999999999999999 + 64000 > 200000",
            (),
            StatedLimit("tokens", capacity=200_000),
        ),
        (
            "request reached project TPM rate limit, current: 1410, limit: 100",
            (),
            StatedLimit("tokens", period_ms=MINUTE_MS, capacity=100, used=1_410, project=True),
        ),
        ("", (("policy-id", "DeploymentRatelimit-Call"),), StatedLimit("requests")),
        ("you've reached your weekly usage limit", (), StatedLimit("usage", period_ms=7 * DAY_MS)),
        ("busy", (("quotavalue", "7"),), None),
    ],
)
def test_other_servers_limits_are_read(
    message: str, details: tuple[tuple[str, str], ...], stated: StatedLimit | None
) -> None:
    assert stated_limit(message, *details) == stated


def test_of_many_statements_a_bound_number_is_read() -> None:
    used_up = "current tpm: 7, tpm limit: 5"
    message = "current rpm: 1, rpm limit: 15 " * STATEMENTS_MAX + used_up
    assert stated_limit(message) == StatedLimit("requests", period_ms=MINUTE_MS, capacity=15, used=1)
    assert stated_limit(message.replace("current rpm: 1, rpm limit: 15 ", "", 1)) == StatedLimit(
        "tokens", period_ms=MINUTE_MS, capacity=5, used=7
    )


@pytest.mark.parametrize(
    ("message", "believed"),
    [
        ("Rate limit of 50 per 86400s exceeded for UserByModelByDay.", True),
        ("exceed the rate limit for your organization of 50 requests per minute", True),
        ("exceed the rate limit for your organization of 20,000 input tokens per minute", False),
        ("Tokens per Minute (actual/limit): 65605/16000", False),  # which part is this call's is not said
        ("Rate limit of 2 per 0s exceeded for UserByModel.", False),
        ("Your rate limit is 60 queries per minute", False),  # enforced by the second
        ("", False),
    ],
)
def test_a_budget_believes_only_what_is_exact(message: str, *, believed: bool) -> None:
    assert (snapshot(message) is not None) is believed


@pytest.mark.parametrize(
    ("period", "period_ms"),
    [
        ("min", 60_000),
        ("10 sec", 10_000),
        ("6 seconds", 6_000),
        ("3 hours", 3 * 3_600_000),
        ("0 sec", None),
        ("31 days", 31 * 86_400_000),
        ("32 days", None),
        ("99999 months", None),
    ],
)
def test_a_period_may_be_several_seconds_or_hours_and_no_longer_than_a_month(
    period: str, period_ms: int | None
) -> None:
    """A bucket of years would hold its limit back for years."""
    stated = stated_in(f"Rate limit reached for m on tokens per {period} (X): Limit 9000, Used 8000, Requested 2000.")
    assert stated is not None
    assert stated.limit.period_ms == period_ms


@pytest.mark.parametrize(
    ("message", "metric"),
    [
        ("on input-tokens per min: Limit 100, Used 99, Requested 5.", "input-tokens"),
        ("on images per min: Limit 5, Used 5, Requested 1.", "input-images"),
        ("on input-images per 10 sec: Limit 5, Used 5, Requested 1.", "input-images"),
        ("on tokens per min: Limit 100, Used 99, Requested 5.", None),
        ("on input-tokens per min.", None),
    ],
)
def test_a_limit_of_input_is_one_that_a_budget_counts_if_size_and_period_are_stated(
    message: str, metric: str | None
) -> None:
    found = side_limit_of(stated_in(f"Rate limit reached for m {message}"))
    assert (None if found is None else found.metric) == metric
    assert side_limit_of(None) is None


def test_a_limit_without_a_period_or_that_is_not_stated_exactly_is_for_people() -> None:
    limit = StatedLimit("input-tokens", capacity=100, period_ms=MINUTE_MS)
    assert side_limit_of(Statement(limit, exact=True)) == limit
    assert side_limit_of(Statement(limit, exact=False)) is None
    assert side_limit_of(Statement(replace(limit, period_ms=None), exact=True)) is None
