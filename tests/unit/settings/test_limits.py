"""Which limit a model draws from."""

from typing import Any

import pytest

from headrace.broker.settings.limits import settings_of
from headrace.broker.settings.whole import Settings


def _settings(**limits: dict[str, Any]) -> Settings:
    return Settings.model_validate({"limits": limits})


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("ft:gpt-4o-mini-2024-07-18:acme::1", "ft:gpt-4o-mini-2024-07-18:acme::1"),
        ("o3-2025-04-16", "o3"),
        ("gpt-4-0613", "gpt-4-0613"),
    ],
)
def test_a_limit_without_patterns_covers_its_name_and_dated_snapshots(model: str, limit: str) -> None:
    settings = _settings(**{"gpt-4o": {}, "gpt-4o-mini": {}})
    assert settings.limit_for(model) == limit


def test_the_longest_pattern_wins() -> None:
    settings = _settings(family={"models": ["gpt-4o*"]}, small={"models": ["gpt-4o-mini*", "ft:gpt-4o-mini*"]})
    assert settings.limit_for("gpt-4o-audio") == "family"
    assert settings.limit_for("gpt-4o-mini-2024-07-18") == "small"
    assert settings.limit_for("ft:gpt-4o-mini-2024-07-18:acme::1") == "small"


def test_its_own_name_beats_any_pattern() -> None:
    settings = _settings(family={"models": ["gpt-4o*"]}, **{"gpt-4o": {}})
    assert settings.limit_for("gpt-4o") == "gpt-4o"


def test_patterns_are_filled_in_so_that_readers_need_not_know_the_rule() -> None:
    assert _settings(o3={"tokens_per_minute": 1}).limits["o3"].models == ("o3", "o3-20*")


@pytest.mark.parametrize(
    ("model", "input_tokens", "limit"),
    [
        ("gpt-4.1", 128_000, "gpt-4.1"),
        ("gpt-4.1", 128_001, "gpt-4.1:long-context"),
        ("gpt-4.1-mini-2025-04-14", 300_000, "gpt-4.1-mini:long-context"),
        ("gpt-5.5", 200_000, "gpt-5.5"),
        ("gpt-5.4", 272_001, "gpt-5.4:long-context"),
        ("gpt-4o", 10**6, "gpt-4o"),
    ],
)
def test_a_long_context_has_a_limit_of_its_own_where_openai_documents_one(
    model: str, input_tokens: int, limit: str
) -> None:
    assert _settings().limit_for(model, input_tokens) == limit


def test_whether_a_context_is_long_depends_on_the_model_and_not_on_the_name_of_its_limit() -> None:
    settings = _settings(**{"family": {"models": ["gpt-4.1*"]}, "gpt-5.4": {"models": ["gpt-4o*"]}})
    assert settings.limit_for("gpt-4.1-mini", 128_001) == "family:long-context"
    assert settings.limit_for("gpt-4o", 10**6) == "gpt-5.4"


def test_an_operator_says_from_where_on_a_context_is_long() -> None:
    settings = _settings(**{"gpt-4.1": {"long_context_tokens": 0}, "own": {"long_context_tokens": 1_000}})
    assert settings.limit_for("gpt-4.1", 10**6) == "gpt-4.1"
    assert settings.limit_for("own", 1_000) == "own"
    assert settings.limit_for("own", 1_001) == "own:long-context"


def test_a_long_context_has_the_cap_of_the_limit_beside_it_and_not_its_figures() -> None:
    both = {"tokens_per_minute": 60_000, "tokens_per_day": 10**6, "cap_tokens_per_minute": 9_000}
    limits = _settings(**{"gpt-4.1": both, "gpt-5.4": both, "gpt-5.4:long-context": {"tokens_per_minute": 7}}).limits
    inherited = settings_of("gpt-4.1:long-context", limits)
    assert inherited is not None
    assert (inherited.tokens_per_minute, inherited.tokens_per_day, inherited.cap_tokens_per_minute) == (
        None,
        None,
        9_000,
    )
    own = settings_of("gpt-5.4:long-context", limits)
    assert own is not None
    assert (own.tokens_per_minute, own.cap_tokens_per_minute) == (7, None)
    assert settings_of("o3:long-context", limits) is None


def test_no_cap_is_escaped_and_no_other_server_is_taken_to_have_such_limits() -> None:
    """A second limit has a cap of its own; a gateway may have one limit for all."""
    capped = _settings(**{"gpt-4.1": {"cap_tokens_per_minute": 50_000}, "gpt-5.4": {"inflight_max": 5}})
    assert capped.limit_for("gpt-4.1", 200_000) == "gpt-4.1"
    assert capped.limit_for("gpt-5.4", 300_000) == "gpt-5.4"
    for base_url, limit in (("https://gateway.example/v1", ""), ("https://api.openai.com/v1", ":long-context")):
        settings = Settings.model_validate({"openai": {"base_url": base_url}})
        assert settings.limit_for("gpt-4.1", 200_000) == f"gpt-4.1{limit}"


def test_a_model_of_such_a_name_has_its_own_settings() -> None:
    assert settings_of("llama-long-context", _settings(llama={"cap_tokens_per_minute": 9}).limits) is None
