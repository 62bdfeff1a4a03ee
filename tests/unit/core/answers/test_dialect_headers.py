import pytest

from headrace.broker.core.answers.dialect_headers import NONE, OtherLimits, other_limits
from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    MINUTE_MS,
    MONTH_MS,
    LimitMetric,
    Reading,
    SideReading,
)

TOKENS, REQUESTS = LimitMetric.TOKENS, LimitMetric.REQUESTS
DATE = {"date": "Wed, 21 Oct 2026 07:27:48 GMT"}


def trio(pattern: str, limit: object, remaining: object, reset: object | None = None) -> dict[str, str]:
    given = {"limit": limit, "remaining": remaining, "reset": reset}
    return {pattern.format(word): str(value) for word, value in given.items() if value is not None}


def test_headers_of_openai_alone_or_none_say_nothing_else() -> None:
    assert other_limits({}) == NONE
    assert other_limits(trio("x-ratelimit-{}-tokens", 10, 5, "30s")) == NONE


def test_a_metric_has_a_bucket_for_each_period_that_is_named_the_shorter_first() -> None:
    given = trio("x-ratelimit-{}-tokens-day", 1_000, 900, "864.125") | trio("x-ratelimit-{}-tokens-minute", 100, 40)
    assert other_limits(given).readings == (
        Reading(TOKENS, 100, 40, MINUTE_MS, None, named=True),
        Reading(TOKENS, 1_000, 900, DAY_MS, 864_125, named=True),
    )


def test_mistrals_older_names_are_read_and_its_charge() -> None:
    given = {
        "ratelimitbysize-limit": "500000",
        "x-ratelimitbysize-remaining-minute": "467993",
        "ratelimitbysize-reset": "40",
        "ratelimitbysize-query-cost": "32007",
        "x-ratelimitbysize-limit-month": "1000000000",
        "x-ratelimitbysize-remaining-month": "2000000000",
    }
    found = other_limits(given)
    assert found.charge == 32_007
    assert found.readings == (
        Reading(TOKENS, 500_000, 467_993, MINUTE_MS, None, named=True),  # whole seconds are no evidence of a refill
        Reading(TOKENS, 1_000_000_000, 1_000_000_000, MONTH_MS, None, named=True),
    )


def test_a_charge_may_come_without_a_bucket_and_an_unreadable_one_is_none() -> None:
    assert other_limits({"x-ratelimit-tokens-query-cost": "11"}) == OtherLimits(charge=11)
    assert other_limits({"x-ratelimit-tokens-query-cost": "-1"}) == NONE
    assert other_limits({"x-ratelimit-tokens-query-cost": "9" * 16}) == NONE


def test_input_tokens_are_shown_beside_what_bounds_all_tokens() -> None:
    given = (
        DATE
        | trio("anthropic-ratelimit-tokens-{}", 28_000, 8_000, "2026-10-21T07:28:00Z")
        | trio("anthropic-ratelimit-input-tokens-{}", 20_000, 0, "2026-10-21T07:28:48Z")
    )
    assert other_limits(given) == OtherLimits(
        (Reading(TOKENS, 28_000, 8_000, MINUTE_MS, None, named=True),),
        (SideReading("input-tokens", 20_000, 0, MINUTE_MS),),
        None,
        60_000,
    )


def test_names_that_say_neither_metric_nor_period_are_shown_only() -> None:
    found = other_limits(trio("x-ratelimit-{}", 50, 0, 1_792_567_680_000) | DATE)
    assert found == OtherLimits((), (SideReading("requests", 50, 0, None),), None, 12_000)
    assert other_limits(trio("x-ratelimit-api_key-{}-tokens", 5, 4)).side_readings == (
        SideReading("api-key-tokens", 5, 4, None),
    )


def test_the_longest_time_of_an_empty_bucket_is_the_wait() -> None:
    given = trio("x-ratelimit-{}-requests-minute", 5, 0, "11.5") | trio("x-ratelimit-{}-requests-day", 9, 0, "3600")
    assert other_limits(given).wait_ms == 3_600_000
    assert other_limits(given | {"x-ratelimit-remaining-requests-day": "1"}).wait_ms == 11_500
    assert other_limits(trio("x-ratelimit-{}-requests-day", 9, 0, "soon")).wait_ms is None


@pytest.mark.parametrize(("limit", "remaining"), [("-1", "-1"), ("0", "0"), ("", "5"), ("5", "x"), ("9" * 16, "1")])
def test_a_bucket_with_an_unreadable_number_is_left_out(limit: str, remaining: str) -> None:
    assert other_limits(trio("x-ratelimit-{}-tokens-minute", limit, remaining)) == NONE


def test_a_level_without_a_limit_is_no_bucket() -> None:
    assert other_limits({"x-ratelimit-remaining-tokens-minute": "5"}) == NONE


@pytest.mark.parametrize(
    ("level", "policy", "shown"),
    [
        ('"api";r=999;t=295', '"fixed window";"api";q=1000;w=300', SideReading("requests", 1_000, 999, 300_000)),
        ('"default";r=50;t=30', '"default";q=20;w=0', SideReading("requests", 20, 20, None)),
        ('"default";r=50;t=30', '"burst";q=100;qu="requests";w=60', SideReading("requests", 100, 50, 60_000)),
        ('"default";r=50', '"default";q=0;w=60', None),
        ('"default";t=30', '"default";q=100;w=60', None),
        ('"default";r=50', "", None),
        ("r=" + "9" * 20, "q=" + "9" * 20 + ";w=60", None),
    ],
)
def test_the_structured_fields_of_the_draft_are_read(level: str, policy: str, shown: SideReading | None) -> None:
    found = other_limits({"ratelimit": level, "ratelimit-policy": policy})
    assert found == OtherLimits(side_readings=(shown,) if shown else ())
