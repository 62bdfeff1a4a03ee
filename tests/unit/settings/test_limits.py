"""Which limit a model draws from."""

from typing import Any

import pytest

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
