"""Verdicts on what servers other than OpenAI state: buckets of other names, charges, waits."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, LimitMetric
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.verdict import (
    UNSTATED_WAIT_MS,
    Answer,
    judge,
)
from tests.unit.core.answers.answering import EMPTY_REQUESTS, EMPTY_TOKENS, answer

NOTHING = (None, None, None, "")
MINUTE = {"x-ratelimit-limit-tokens-minute": "100", "x-ratelimit-remaining-tokens-minute": "0"}
DAY = {"x-ratelimit-limit-tokens-day": "900", "x-ratelimit-remaining-tokens-day": "0"}
FULL_IN = {"x-ratelimit-reset-tokens-minute": "11.5"}


def refused(headers: dict[str, str], message: str = "", **details: str) -> Answer:
    named = tuple((name.replace("_", "-"), text) for name, text in details.items())
    return Answer(429, headers, None, None, None, message, details=named)


def test_headers_of_other_names_are_read_beside_openais() -> None:
    headers = {"X-RateLimit-Limit-Req-Minute": "9", "x-ratelimit-remaining-req-minute": "8"}
    (requests,) = judge(Answer(200, headers, *NOTHING)).readings
    assert (requests.metric, requests.capacity, requests.named) == (LimitMetric.REQUESTS, 9, True)
    both = judge(refused(MINUTE | {"x-ratelimit-limit-tokens": "5", "x-ratelimit-remaining-tokens": "4"}))
    assert [(reading.capacity, reading.named) for reading in both.readings] == [(5, False), (100, True)]


def test_a_stated_charge_stands_in_the_verdict_on_an_answer() -> None:
    cost = {"x-ratelimit-tokens-query-cost": "52"}
    assert judge(Answer(200, cost, *NOTHING)).charge == 52
    usual = judge(Answer(200, EMPTY_TOKENS | EMPTY_REQUESTS | cost, *NOTHING))
    assert usual.charge is None, "where OpenAI's headers are all there, no other names are looked for"
    assert judge(answer(200)).charge is None


@pytest.mark.parametrize(
    ("given", "wait_ms"),
    [
        (refused(MINUTE | FULL_IN), 11_500),
        (refused(MINUTE | FULL_IN, "Please wait 23 seconds"), 23_000),
        (refused(MINUTE | FULL_IN | {"retry-after": "3"}), 3_000),
        (refused(MINUTE | DAY | FULL_IN | {"x-ratelimit-reset-tokens-day": "90"}), 90_000),
        (refused({}, retrydelay="36s"), 36_000),
        (refused({}, "try again in 4s", retrydelay="36s"), 36_000),
        (
            refused(
                {"date": "Wed, 21 Oct 2026 07:27:48 GMT"},
                x_ratelimit_limit="50",
                x_ratelimit_remaining="0",
                x_ratelimit_reset="1792567680",
            ),
            12_000,
        ),
        (refused({}, unknown="36s"), UNSTATED_WAIT_MS),
        (refused({"x-rate-limit-reset-tokens": "55", "policy-id": "DeploymentRatelimit-Token"}), 55_000),
    ],
)
def test_the_wait_of_another_server_is_its_own_word_then_the_empty_buckets_time(given: Answer, wait_ms: int) -> None:
    assert judge(given).wait_ms == wait_ms


def test_an_empty_bucket_is_no_wait_of_a_server_in_trouble() -> None:
    assert judge(Answer(503, MINUTE | FULL_IN, *NOTHING)).wait_ms is None


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (refused(MINUTE | DAY, "Tokens per day limit exceeded"), StatedLimit("tokens", None, DAY_MS, 900, 900)),
        (
            refused(MINUTE | {"x-ratelimit-remaining-tokens-minute": "7"} | DAY, "Tokens rate limit exceeded"),
            StatedLimit("tokens", None, DAY_MS, 900, 900),
        ),
        (refused(MINUTE, "Tokens per hour limit exceeded"), StatedLimit("tokens", None, 3_600_000)),
        (refused({"policy-id": "DeploymentRatelimit-Token"}), StatedLimit("tokens")),
        (Answer(503, {"policy-id": "DeploymentRatelimit-Token"}, *NOTHING), None),
    ],
)
def test_of_several_buckets_of_a_metric_the_stated_period_or_the_empty_one_is_meant(
    given: Answer, limit: StatedLimit | None
) -> None:
    assert judge(given).limit == limit
