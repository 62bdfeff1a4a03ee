"""How a 200 and a 429 speak of limits, manner by manner."""

import re
from typing import Any

import pytest

from headrace.broker.simulator.admission import DAY_US, MINUTE_US, SECOND_US, HeaderTriple, Metric, Refusal
from headrace.broker.simulator.behaviours.catalogue import NAMED, behaviour
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.response_headers import Speech

LEVELS = {Metric.TOKENS: HeaderTriple(120_000, 119_986, 7), Metric.REQUESTS: HeaderTriple(120, 119, 500)}
REFUSED = Refusal(Metric.TOKENS, MINUTE_US, 60_000, 59_500, 2_000, 1_500, LEVELS)
TOO_LARGE = REFUSED._replace(wait_ms=None, requested=61_000)


def speech(*names: str) -> Speech:
    return Speech([behaviour(name) for name in names])


def headers_of(*names: str) -> dict[str, str]:
    return speech(*names).headers("m", LEVELS, {}, 0)


def said(name: str, refused: Refusal = REFUSED, endpoint: Endpoint = Endpoint.CHAT) -> tuple[dict[str, str], Any]:
    headers, body = speech(name).refusal(endpoint, "gpt-4o", refused, 0)
    return headers, body if isinstance(body, str) else body["error"]


def test_without_a_manner_it_is_openais() -> None:
    assert headers_of() == headers_of("headers-all")
    assert headers_of()["x-ratelimit-reset-tokens"] == "7ms"
    assert len(headers_of()) == 6


@pytest.mark.parametrize("name", ["headers-none", "headers-retry-after", "gateway-html"])
def test_some_say_nothing_on_an_answer(name: str) -> None:
    assert headers_of(name) == {}


def test_some_speak_of_tokens_alone() -> None:
    names = {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}
    assert set(headers_of("headers-tokens")) == names
    assert set(said("headers-tokens")[0]) == names


def test_a_projects_levels_stand_beside_the_accounts() -> None:
    headers = speech().headers("m", LEVELS, {Metric.TOKENS: HeaderTriple(50_000, 49_000, 1_200)}, 0)
    assert headers["x-ratelimit-limit-project-tokens"] == "50000"
    assert headers["x-ratelimit-limit-tokens"] == "120000"


def test_azures_resets_are_bare_milliseconds_as_recorded() -> None:
    headers = headers_of("azure")
    told = {name.removeprefix("x-ratelimit-"): value for name, value in headers.items() if "ratelimit" in name}
    assert told == {
        "limit-tokens": "120000",
        "remaining-tokens": "119986",
        "reset-tokens": "7",
        "renewalperiod-tokens": "60",
        "limit-requests": "120",
        "remaining-requests": "119",
        "reset-requests": "500",
        "renewalperiod-requests": "60",
    }
    assert "x-ms-region" in headers
    assert headers_of("azure-seconds")["x-ratelimit-reset-tokens"] == "1"


def test_azures_unlimited_limits_are_minus_one() -> None:
    headers = headers_of("azure-unlimited")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("-1", "-1")
    assert headers["x-ratelimit-reset-tokens"] == "0"
    headers, error = said("azure-unlimited")
    assert "retry-after" not in headers
    assert error == {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}


def test_azure_refuses_in_the_recorded_words() -> None:
    headers, error = said("azure", REFUSED._replace(wait_ms=6_100))
    assert headers["retry-after"] == "7"
    assert error == {
        "code": "429",
        "message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-08-01-preview "
        "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds. Please "
        "go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
    }
    assert "Please retry after 86400 seconds." in said("azure", TOO_LARGE)[1]["message"]
    assert "exceeded call rate limit" in said("azure", REFUSED._replace(metric=Metric.REQUESTS))[1]["message"]


def test_groq_refuses_in_the_recorded_words() -> None:
    refused = Refusal(Metric.TOKENS, DAY_US, 100_000, 99_996, 484, 414_720, LEVELS)
    message = said("groq", refused)[1]["message"]
    assert re.sub(r"`org-\w+`", "`org-2bfd70b140e92ff867179462`", message) == (
        "Rate limit reached for model `gpt-4o` in organization `org-2bfd70b140e92ff867179462` service tier "
        "`on_demand` on tokens per day (TPD): Limit 100000, Used 99996, Requested 484. Please try again in 6m54.72s."
    )
    assert said("groq", TOO_LARGE)[1]["message"].startswith("Request too large for model `gpt-4o`")


def test_one_says_only_when_and_another_not_even_that() -> None:
    headers, error = said("headers-retry-after")
    assert headers == {"retry-after": "2"}
    assert not re.search(r"\d", error["message"])
    assert said("headers-retry-after", TOO_LARGE)[0] == {}
    headers, error = said("headers-none")
    assert headers == {}
    assert "Please try again in 1.5s." in error["message"]


def test_only_refusals_of_the_responses_api_are_bare() -> None:
    assert said("responses-bare-429", endpoint=Endpoint.RESPONSES)[0] == {}
    assert "retry-after" in said("responses-bare-429")[0]
    assert headers_of("responses-bare-429") == headers_of()


def test_a_gateway_speaks_in_pages() -> None:
    headers, page = said("gateway-html")
    assert headers == {}
    assert "<h1>429 Too Many Requests</h1>" in page
    assert "<h1>503 Service Unavailable</h1>" in str(speech("gateway-html").failure_body(503))
    assert not isinstance(speech().failure_body(503), str)
    polite = Speech([behaviour("gateway-html", retry_after=True)])
    assert polite.refusal(Endpoint.CHAT, "m", REFUSED, 0)[0] == {"retry-after": "2"}


def test_stale_levels_are_told_until_they_are_looked_up_again() -> None:
    stale = speech("headers-stale")
    later = {Metric.TOKENS: HeaderTriple(120_000, 5, 59_000)}
    assert stale.headers("m", LEVELS, {}, 0)["x-ratelimit-remaining-tokens"] == "119986"
    assert stale.headers("m", later, {}, SECOND_US - 1)["x-ratelimit-remaining-tokens"] == "119986"
    assert stale.headers("other", later, {}, SECOND_US - 1)["x-ratelimit-remaining-tokens"] == "5"
    assert stale.headers("m", later, {}, SECOND_US)["x-ratelimit-remaining-tokens"] == "5"


def test_rounded_levels_are_never_too_high_and_their_resets_never_too_early() -> None:
    headers = headers_of("headers-rounded")
    assert headers["x-ratelimit-remaining-tokens"] == "114000"
    assert headers["x-ratelimit-reset-tokens"] == "1s"


def test_a_manner_and_what_lags_in_it_go_together() -> None:
    both = speech("headers-tokens", "headers-rounded").headers("m", LEVELS, {}, 0)
    assert both["x-ratelimit-remaining-tokens"] == "114000"
    assert len(both) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_every_manner_can_refuse_on_every_endpoint(name: str) -> None:
    for endpoint in Endpoint:
        for refused in (REFUSED, TOO_LARGE):
            headers, body = speech(name).refusal(endpoint, "m", refused, 0)
            assert body
            assert all(isinstance(value, str) for value in headers.values())
