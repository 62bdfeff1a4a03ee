"""The settings on their way from values to TOML to Headrace: nothing is lost, bent or let through."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.settings.group import Group
from headrace.broker.settings.known import group_at, secret_keys
from headrace.broker.settings.whole import Settings
from tests.chart.pod_files import Secrets, settings_in
from tests.chart.rendering import EXAMPLES, component_of, render

SECRETS: Secrets = {("headrace-openai", "api-key"): "sk-test"}
EVERYWHERE = {"http_host": "0.0.0.0"}  # noqa: S104  # the chart's own, since no probe reaches the default
ELSEWHERE = {"kafka": {"password"}, "redis": {"url"}, "openai": {"api_key"}}


def settings_of(config: Mapping[str, Any], root: Path) -> Settings:
    return settings_in(render({"config": config}), "dispatcher", root, SECRETS).settings


def test_every_setting_may_be_set_and_arrives_as_it_was(tmp_path: Path) -> None:
    defaults = Settings()
    dumped = defaults.model_dump(mode="json", exclude_none=True, exclude=ELSEWHERE)
    dumped["kafka"]["bootstrap_servers"] = "kafka:9092"
    for duty in ("dispatcher", "retrier"):  # whose default is refused: no probe would reach it
        dumped[duty]["http_host"] = "::"
    dumped["limits"] = {"gpt-4.1": {"models": ["gpt-4.1*"], "tokens_per_minute": 30_000, "burst_s": 2.5}}
    found = settings_of(dumped, tmp_path).model_dump(mode="json", exclude_none=True, exclude=ELSEWHERE)
    assert {**found, "limits": None} == {**dumped, "limits": None}
    assert found["limits"]["gpt-4.1"].items() >= dumped["limits"]["gpt-4.1"].items()


@pytest.mark.parametrize(
    "text",
    [
        'quoted "twice"',
        "back\\slash",
        "<b> & 'c'",
        "Grüße, 世界 🚰",
        "[not.a.table]",
        "# no comment",
        "two\nlines",
        "0",
    ],
)
def test_text_arrives_as_it_was_written(text: str, tmp_path: Path) -> None:
    assert settings_of({"dispatcher": {"name": text}}, tmp_path).dispatcher.name == text


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4.1", 'a "b"', "ft:gpt-4o:acme::9x", "模型"])
def test_a_limit_keeps_its_name(name: str, tmp_path: Path) -> None:
    assert list(settings_of({"limits": {name: {"tokens_per_minute": 1}}}, tmp_path).limits) == [name]


def test_whole_numbers_are_written_as_such_and_shares_keep_their_digits() -> None:
    config = {
        "lanes": {"urgent": {"reserve": 0.05, "deadline_s": 3_600}},
        "limits": {"m": {"tokens_per_minute": 2 * 10**9}},
    }
    written = tomllib.loads(render({"config": config}).toml())
    assert written["lanes"]["urgent"] == {"reserve": 0.05, "deadline_s": 3_600}
    assert written["limits"]["m"]["tokens_per_minute"] == 2_000_000_000
    assert isinstance(written["limits"]["m"]["tokens_per_minute"], int), "2e+09 would be a float"


def test_a_size_may_be_bytes_or_text(tmp_path: Path) -> None:
    found = settings_of({"dispatcher": {"held_bytes_max": "128MiB"}, "input": {"request_bytes_max": 500_000}}, tmp_path)
    assert found.dispatcher.held_bytes_max == 128 * 1024 * 1024
    assert found.input.request_bytes_max == 500_000


def test_a_default_lane_can_be_taken_away(tmp_path: Path) -> None:
    assert set(settings_of({"lanes": {"bulk": False}}, tmp_path).lanes) == {"urgent", "standard"}


def test_a_setting_set_to_null_is_left_to_headrace(tmp_path: Path) -> None:
    found = settings_of({"dispatcher": None, "kafka": {"topic_prefix": None}}, tmp_path)
    assert found.dispatcher == Settings().dispatcher.model_copy(update=EVERYWHERE)
    assert found.kafka.topic_prefix == "generation"


def test_the_values_show_the_defaults_of_headrace_itself(tmp_path: Path) -> None:
    found = settings_of({}, tmp_path)
    assert found.dispatcher == Settings().dispatcher.model_copy(update=EVERYWHERE)
    assert found.retrier == Settings().retrier.model_copy(update=EVERYWHERE)
    assert found.kafka.topic_prefix == Settings().kafka.topic_prefix
    assert found.lanes == Settings().lanes


def test_the_url_in_the_secret_takes_the_place_of_the_one_in_the_settings(tmp_path: Path) -> None:
    rendered = render({"secrets": {"redisUrl": {"name": "redis"}}})
    assert "url" not in tomllib.loads(rendered.toml())["redis"]
    secrets = {**SECRETS, ("redis", "url"): "redis://:hush@elsewhere:6379/0"}
    for component in ("dispatcher", "retrier"):
        found = settings_in(rendered, component, tmp_path / component, secrets).settings
        assert found.redis.url.get_secret_value() == "redis://:hush@elsewhere:6379/0"


def test_a_file_of_your_own_takes_the_place_of_the_url(tmp_path: Path) -> None:
    volume = {"name": "vault", "secret": {"secretName": "vault", "items": [{"key": "redis", "path": "redis"}]}}
    url_file = tmp_path / "vault" / "redis"
    values = {
        "config": {"redis": {"url_file": str(url_file)}},
        "extraVolumes": [volume],
        "extraVolumeMounts": [{"name": "vault", "mountPath": "/vault"}],
    }
    secrets = {**SECRETS, ("vault", "redis"): "redis://:hush@elsewhere:6379/0"}
    found = settings_in(render(values), "retrier", tmp_path, secrets).settings
    assert found.redis.url.get_secret_value() == "redis://:hush@elsewhere:6379/0"


def leaf_paths(table: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaf_paths(value, (*at, key))
        else:
            yield (*at, key)


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_configmap_holds_a_secret(example: str) -> None:
    configmaps = [one for one in render(example=example).of_kind("ConfigMap") if component_of(one) != "dashboard"]
    assert configmaps
    for found in configmaps:
        written = tomllib.loads(found["data"]["headrace.toml"])
        for path in leaf_paths(written):
            group = group_at(path[:-1])
            assert isinstance(group, type)
            assert issubclass(group, Group)
            assert path[-1] not in secret_keys(group) or path == ("redis", "url"), path
        assert "@" not in written["redis"].get("url", "")


def test_an_additional_variable_beats_the_file(tmp_path: Path) -> None:
    variable = {"name": "HEADRACE_DISPATCHER__INFLIGHT_MAX", "value": "7"}
    rendered = render({"config": {"dispatcher": {"inflight_max": 5}}, "dispatcher": {"extraEnv": [variable]}})
    assert settings_in(rendered, "dispatcher", tmp_path / "1", SECRETS).settings.dispatcher.inflight_max == 7
    assert settings_in(rendered, "retrier", tmp_path / "2", SECRETS).settings.dispatcher.inflight_max == 5


def test_a_key_that_comes_another_way_is_not_mounted() -> None:
    variable = {"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "openai"}}}
    values = {"secrets": {"openaiApiKey": {"name": ""}}, "dispatcher": {"extraEnv": [variable]}}
    pod = render(values).pod("dispatcher")["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["settings", "tmp"]
    assert variable in pod["containers"][0]["env"]
