"""A refused service tier is the server's matter only where the body cannot have asked for one."""

from typing import Any

import pytest

from headrace.broker.core.answers.unasked_tier import mentions_tier, refuses_unasked_tier

REFUSED = "Unsupported service_tier: flex"


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("service_tier", "Invalid value."),
        (None, REFUSED),
        (None, "Unknown parameter 'service_tier'"),
        (None, "Unknown parameter: 'service_tier'."),
        (None, "Unsupported argument: `service_tier`"),
        (None, 'invalid value for "service_tier"'),
        (None, "Invalid value of service_tier"),
        (None, "Unknown field service_tier"),
    ],
)
def test_a_tier_is_blamed_by_the_parameter_or_at_the_beginning_of_the_text(param: str | None, message: str) -> None:
    assert refuses_unasked_tier(param, message, {"model": "m"})
    assert not refuses_unasked_tier(param, message, {"model": "m", "service_tier": "flex"})


@pytest.mark.parametrize(
    "message",
    [
        "You wrote: Unsupported service_tier: flex",
        "Unknown model service_tier",
        "Invalid value: 'service_tier'. Supported values are: 'low'",
        "Invalid prompt about a service",
        "Unsupported service_tiers",
        "",
    ],
)
def test_a_text_that_may_quote_the_request_blames_no_tier(message: str) -> None:
    assert not refuses_unasked_tier("model", message, {})


@pytest.mark.parametrize(
    "body",
    [
        {"service_tier": None},
        {"service_tier": ""},
        {"Service_Tier": "flex"},
        {"\u017fervice_tier": "flex"},
        {"service-tier": "flex"},
        {" service_tier ": "flex"},
        {"providerOptions": {"openai": {"serviceTier": "flex"}}},
        {"model": "m", "fallbacks": ["a", {"model": "b", "service_tier": "flex"}]},
        {"allowed_openai_params": ["SERVICE_TIER"]},
    ],
)
def test_a_body_that_writes_the_name_anyhow_may_have_caused_the_refusal(body: dict[str, Any]) -> None:
    assert mentions_tier(body)
    assert not refuses_unasked_tier("service_tier", REFUSED, body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "m", "seed": 7, "stop": None, "messages": [{"role": "user", "content": "What is a service_tier?"}]},
        {"tier": "flex", "service": "tier", "input": [[1, 2], [3]]},
    ],
)
def test_a_body_that_only_speaks_of_tiers_has_asked_for_none(body: dict[str, Any]) -> None:
    assert not mentions_tier(body)
