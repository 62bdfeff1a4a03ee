"""File, environment and flags: which wins, and what each may give."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace.broker.errors import SettingsError
from headrace.broker.settings.load import load_settings, load_with_origins
from headrace.broker.settings.whole import Settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "headrace.toml"


def test_without_anything_given_the_defaults_of_the_contract_hold() -> None:
    settings = load_settings(environ={})
    assert settings.kafka.topic_prefix == "generation"
    assert settings.redis.key_prefix == "headrace"
    assert settings.openai.timeout_s == 600
    assert (settings.dispatcher.inflight_max, settings.dispatcher.grace_s, settings.dispatcher.lease_ttl_s) == (
        512,
        30,
        2,
    )
    assert settings.dispatcher.held_bytes_max == 64 * 1024 * 1024
    assert {name: (lane.order, lane.floor, lane.reserve, lane.deadline_s) for name, lane in settings.lanes.items()} == {
        "urgent": (1, 0.0, 0.05, 3_600),
        "standard": (2, 0.10, 0.0, 86_400),
        "bulk": (3, 0.05, 0.0, 432_000),
    }
    assert settings.models.allow == ("*",)
    assert (settings.input.request_bytes_max, settings.input.nesting_max) == (900_000, 64)
    assert (settings.retry.in_place_max_s, settings.retry.attempts_max) == (60, 8)
    assert (settings.dedupe.window_s, settings.dedupe.ids_max) == (3_600, 2_000_000)
    assert settings.ledger_retention_s == 86_400
    assert [settings.deadline_max_s(lane) for lane in settings.lanes] == [6 * 86_400] * 3


def test_settings_built_by_hand_equal_loaded_ones() -> None:
    assert Settings() == load_settings(environ={})


def test_flags_win_over_the_environment_and_that_over_the_file(config: Path) -> None:
    config.write_text('[kafka]\ntopic_prefix = "file"\n[redis]\nkey_prefix = "file"\n[dispatcher]\nname = "file"\n')
    environ = {"HEADRACE_KAFKA__TOPIC_PREFIX": "env", "HEADRACE_REDIS__KEY_PREFIX": "env"}
    settings = load_settings(config, {"kafka.topic_prefix": "flag", "redis.url": None}, environ)
    assert (settings.kafka.topic_prefix, settings.redis.key_prefix, settings.dispatcher.name) == ("flag", "env", "file")


def test_every_value_knows_where_it_came_from(config: Path) -> None:
    config.write_text('[kafka]\ntopic_prefix = "file"\n')
    loaded = load_with_origins(config, {"dispatcher.http_port": 1}, {"HEADRACE_REDIS__KEY_PREFIX": "env"})
    assert loaded.origin("kafka", "topic_prefix") == f"{config}:2"
    assert loaded.origin("dispatcher", "http_port") == "the flag --http-port"
    assert loaded.origin("redis", "key_prefix") == "the environment variable HEADRACE_REDIS__KEY_PREFIX"
    assert loaded.origin("input", "nesting_max") == loaded.origin("lanes", "bulk", "order") == "the defaults"


def test_the_environment_names_the_file_unless_a_flag_does(config: Path, tmp_path: Path) -> None:
    config.write_text('[dispatcher]\nname = "named"\n')
    other = tmp_path / "other.toml"
    other.write_text('[dispatcher]\nname = "other"\n')
    environ = {"HEADRACE_CONFIG": str(config)}
    assert load_settings(environ=environ).dispatcher.name == "named"
    assert load_settings(other, environ=environ).dispatcher.name == "other"


def test_a_group_can_be_given_whole_as_json_and_one_key_of_it_still_apart() -> None:
    environ = {
        "HEADRACE_LIMITS": json.dumps({"gpt-4o-mini": {"tokens_per_minute": 60_000, "requests_per_minute": 500}}),
        "HEADRACE_LIMITS__GPT-4O-MINI__REQUESTS_PER_MINUTE": "7",
    }
    limit = load_settings(environ=environ).limits["gpt-4o-mini"]
    assert (limit.tokens_per_minute, limit.requests_per_minute) == (60_000, 7)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(environ={"HEADRACE_KAFKA__TOPIC_PREFIX": "", "OPENAI_API_KEY": ""}).openai.api_key is None


def test_variables_that_kubernetes_sets_for_our_services_are_none_of_ours() -> None:
    environ = {
        "HEADRACE_PORT": "tcp://10.0.0.1:80",
        "HEADRACE_SERVICE_HOST": "10.0.0.1",
        "HEADRACE_DISPATCHER_SERVICE_PORT_HTTP": "80",
        "HEADRACE_DISPATCHER_PORT_80_TCP_ADDR": "10.0.0.1",
        "HEADRACE_DISPATCHER_PORT_80_TCP_PORT": "80",
        "HEADRACE_DISPATCHER_HTTP_PORT": "tcp://10.0.0.1:80",
        "HEADRACE_DISPATCHER_SERVICE_PORT": "80",
    }
    assert load_settings(environ=environ) == Settings()


def test_lists_come_from_the_environment_with_commas_or_as_json() -> None:
    assert load_settings(environ={"HEADRACE_MODELS__ALLOW": "gpt-4o*, o3"}).models.allow == ("gpt-4o*", "o3")
    assert load_settings(environ={"HEADRACE_MODELS__ALLOW": '["a,b"]'}).models.allow == ("a,b",)


def test_sizes_are_bytes_or_carry_a_unit(config: Path) -> None:
    config.write_text('[dispatcher]\nheld_bytes_max = "2MiB"\n[lanes.bulk]\nbuffer_bytes_max = 2_000_000\n')
    settings = load_settings(config, environ={})
    assert settings.dispatcher.held_bytes_max == 2 * 1024 * 1024
    assert settings.lanes["bulk"].buffer_bytes_max == 2_000_000


def test_servers_may_be_a_list(config: Path) -> None:
    config.write_text('[kafka]\nbootstrap_servers = ["a:1", "b:2"]\n')
    assert load_settings(config, environ={}).kafka.bootstrap_servers == "a:1,b:2"


def test_naming_a_lane_changes_it_adds_it_or_takes_it_away(config: Path) -> None:
    config.write_text("[lanes]\nbulk = false\n[lanes.urgent]\ndeadline_s = 60\n[lanes.nightly]\norder = 9\n")
    lanes = load_settings(config, environ={}).lanes
    assert sorted(lanes) == ["nightly", "standard", "urgent"]
    assert (lanes["urgent"].deadline_s, lanes["urgent"].reserve) == (60, 0.05)


def test_a_lane_taken_away_in_the_file_can_be_brought_back(config: Path) -> None:
    config.write_text("[lanes]\nbulk = false\n")
    assert load_settings(config, environ={"HEADRACE_LANES__BULK__ORDER": "3"}).lanes["bulk"].order == 3


def test_secrets_come_from_files_without_their_last_newline(config: Path, tmp_path: Path) -> None:
    (tmp_path / "kafka-password").write_text("hush\n")
    (tmp_path / "key").write_text("sk-hush\n")
    config.write_text(
        '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nusername = "u"\n'
        'password_file = "kafka-password"\n'
    )
    settings = load_settings(config, environ={"OPENAI_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.kafka.password is not None
    assert settings.kafka.password.get_secret_value() == "hush"
    assert settings.openai.api_key is not None
    assert settings.openai.api_key.get_secret_value() == "sk-hush"


def test_a_secret_of_the_environment_may_be_in_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hush@cache:6379/1\n")
    settings = load_settings(environ={"HEADRACE_REDIS__URL_FILE": str(tmp_path / "url")})
    assert settings.redis.url.get_secret_value() == "redis://:hush@cache:6379/1"


def test_our_own_names_win_over_those_of_openai() -> None:
    environ = {"OPENAI_API_KEY": "theirs", "OPENAI_BASE_URL": "http://theirs/v1", "HEADRACE_OPENAI__API_KEY": "ours"}
    openai = load_settings(environ=environ).openai
    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == "ours"
    assert openai.base_url == "http://theirs/v1"


def test_no_secret_is_ever_in_a_repr() -> None:
    environ = {"OPENAI_API_KEY": "hush", "HEADRACE_REDIS__URL": "redis://:hush@h:1/0"}
    assert "hush" not in repr(load_settings(environ=environ))


def test_no_secret_is_ever_in_a_sentence_or_in_what_caused_it() -> None:
    for environ in ({"HEADRACE_REDIS__URL": "http://:hush@h"}, {"HEADRACE_OPENAI": '{"api_key": {"hush": "hush"}}'}):
        with pytest.raises(SettingsError) as caught:
            load_settings(environ=environ)
        assert "hush" not in str(caught.value)
        assert "hush" not in str(caught.value.__cause__)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.topic_prefix = "x"  # type: ignore[misc] # that is the point


def test_a_replica_count_that_was_set_is_told_from_the_default(config: Path) -> None:
    config.write_text("[topics.requests]\nreplication = 3\n")
    topics = load_settings(config, environ={}).topics
    assert topics.requests.model_fields_set == {"replication"}
    assert not topics.results.model_fields_set


def test_the_ledger_keeps_twice_the_window_unless_set(config: Path) -> None:
    config.write_text("[dedupe]\nwindow_s = 86_400\n")
    assert load_settings(config, environ={}).ledger_retention_s == 2 * 86_400


def test_an_own_longest_deadline_beats_what_the_topic_allows(config: Path) -> None:
    config.write_text("[lanes.urgent]\ndeadline_max_s = 7_200\n")
    assert load_settings(config, environ={}).deadline_max_s("urgent") == 7_200
