import re
from typing import Any

import pytest

from headrace.broker.simulator.admission import DAY_US, MINUTE_US, HeaderTriple, Metric, Refusal
from headrace.broker.simulator.wording import (
    ORGANIZATION,
    failure_body,
    go_duration,
    limit_headers,
    project_headers,
    refusal_body,
    refusal_message,
    retry_headers,
    wrong_key_body,
)
from tests.unit.simulator.recorded import HEADERS, REFUSALS

# Templates 1, 2 and 4 name a model and an organization; those without a model are not spoken here.
SPOKEN = [row for row in REFUSALS if row["model"] and " organization " in row["message"]]


def refused_as(row: dict[str, Any]) -> Refusal:
    return Refusal(
        Metric(row["dimension"]),
        DAY_US if row["period"] == "day" else MINUTE_US,
        row["limit"],
        row["used"] or 0,
        row["requested"],
        row["retry_after_ms"],
        {},
    )


@pytest.mark.parametrize("row", SPOKEN, ids=lambda row: f"{row['model']}-{row['limit']}-{row['requested']}")
def test_a_429_reads_word_for_word_as_recorded(row: dict[str, Any]) -> None:
    recorded = " ".join(re.sub(r"( organization) \S+", rf"\1 {ORGANIZATION}", row["message"]).split())
    project = re.search(r"in project (\S+) ", recorded)
    recorded = recorded.partition(" You can increase your rate limit")[0]  # said to accounts without a payment method
    spoken = refusal_message(row["model"], refused_as(row), project=project[1] if project else None)
    assert spoken.startswith(recorded)  # some reports cut the last sentence off
    assert recorded.endswith(("more.", "Visit", f"{row['requested']}.", "ms.", "s."))


def test_most_recorded_429s_are_spoken() -> None:
    assert len(SPOKEN) >= 19
    assert any(" in project " in row["message"] for row in SPOKEN)
    assert any(row["period"] == "day" for row in SPOKEN)


def test_code_and_type_are_the_recorded_ones() -> None:
    for row in SPOKEN:
        error = refusal_body(row["model"], refused_as(row))["error"]
        if row["code"] is not None:
            assert (error["code"], error["type"], error["param"]) == (row["code"], row["type"], None)


def test_header_names_are_the_recorded_ones() -> None:
    spoken = limit_headers({Metric.TOKENS: HeaderTriple(10, 5, 30_000), Metric.REQUESTS: HeaderTriple(10, 9, 6)})
    assert {name.removeprefix("x-ratelimit-") for name in spoken} == set(HEADERS[0]["headers"])
    assert spoken["x-ratelimit-reset-tokens"] == "30s"


def test_a_projects_headers_are_named_as_recorded() -> None:
    assert project_headers(Metric.REQUESTS, HeaderTriple(10, 0, 60_000)) == {
        "x-ratelimit-limit-project-requests": "10",
        "x-ratelimit-remaining-project-requests": "0",
        "x-ratelimit-reset-project-requests": "1m0s",
    }


def test_a_502_is_a_page_of_somebody_else_and_the_others_are_openais() -> None:
    assert str(failure_body(502)).startswith("<html>")
    bodies = {status: failure_body(status) for status in (500, 503)}
    kinds = {status: body["error"]["type"] for status, body in bodies.items() if not isinstance(body, str)}
    assert kinds == {500: "server_error", 503: "service_unavailable_error"}


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0s"),
        (2, "2ms"),
        (174, "174ms"),
        (1_146, "1.146s"),
        (3_890, "3.89s"),
        (8_640, "8.64s"),
        (20_000, "20s"),
        (60_198, "1m0.198s"),
        (432_000, "7m12s"),
        (660_528, "11m0.528s"),
        (1_252_666, "20m52.666s"),
        (4_105_745, "1h8m25.745s"),
        (3_600_000, "1h0m0s"),
        (299_439_057, "83h10m39.057s"),
    ],
)
def test_durations_are_spelled_as_recorded(duration_ms: int, text: str) -> None:
    assert go_duration(duration_ms) == text


@pytest.mark.parametrize(
    ("wait_ms", "seconds", "milliseconds"), [(0, "1", "1"), (84, "1", "84"), (1_001, "2", "1001"), (2_000, "2", "2000")]
)
def test_retry_after_is_whole_seconds_upwards_and_never_zero(wait_ms: int, seconds: str, milliseconds: str) -> None:
    headers = retry_headers(Refusal(Metric.TOKENS, MINUTE_US, 10, 10, 1, wait_ms, {}))
    assert headers == {"retry-after": seconds, "retry-after-ms": milliseconds}


def test_a_call_that_is_too_large_is_not_told_to_come_back() -> None:
    assert retry_headers(Refusal(Metric.TOKENS, MINUTE_US, 10, 0, 11, None, {})) == {}


def test_a_wrong_key_is_not_repeated_in_full() -> None:
    message = wrong_key_body("wrong-secret-1234")["error"]["message"]
    assert "secret" not in message
    assert message.startswith("Incorrect API key provided: wrong")


@pytest.mark.parametrize(
    ("period_us", "words"),
    [(1_000_000, "tokens per sec (TPS)"), (6_000_000, "tokens per 6 sec (TP6S)"), (500_000, "tokens per 0.5 sec")],
)
def test_a_period_without_recorded_words_is_said_in_seconds(period_us: int, words: str) -> None:
    assert words in refusal_message("m", Refusal(Metric.TOKENS, period_us, 10, 10, 1, 100, {}))


def test_a_shared_limit_is_named_beside_the_model_as_recorded() -> None:
    refused = Refusal(Metric.TOKENS, MINUTE_US, 10, 0, 11, None, {}, limit_name="gpt-4.1")
    message = refusal_message("gpt-4.1-2025-04-14", refused)
    assert message.startswith("Request too large for gpt-4.1-2025-04-14 (for limit gpt-4.1) in organization ")


def test_a_projects_limit_names_the_project_as_recorded() -> None:
    refused = Refusal(Metric.TOKENS, MINUTE_US, 10, 10, 1, 100, {}, project=True)
    assert re.search(r" for m in project \S+ organization \S+ on tokens", refusal_message("m", refused))
