"""What is in force is shown with who gave it, and no secret is ever in it."""

from pathlib import Path

import pytest

from headrace.broker.settings.effective import SettingRow, rows
from headrace.broker.settings.load import load_with_origins
from headrace.broker.settings.origins import SourceKind
from headrace.broker.settings.urls import HttpUrl, RedisUrl

SECRETS = {
    "OPENAI_API_KEY": "sk-hush",
    "HEADRACE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "HEADRACE_KAFKA__SASL_MECHANISM": "PLAIN",
    "HEADRACE_KAFKA__USERNAME": "u",
    "HEADRACE_KAFKA__PASSWORD": "hush",
    "HEADRACE_REDIS__URL": "redis://:hush@cache/0",
    "HEADRACE_OPENAI__BASE_URL": "https://me:hush@gateway/v1?api_key=hush",
    "HEADRACE_TRACING__ENDPOINT": "http://me:hush@collector:4318",
}


def shown(environ: dict[str, str], config: Path | None = None) -> dict[str, SettingRow]:
    return {".".join(row.path): row for row in rows(load_with_origins(config, environ=environ))}


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hush@h:1/0", "redis://:***@h:1/0"),
        ("rediss://me:hush@h:1/0", "rediss://me:***@h:1/0"),
        ("redis://hush@h:1/0", "redis://***@h:1/0"),
        ("redis://me:hu/sh#hu?sh@h:1/0", "redis://me:***@h:1/0"),
        ("redis://me:hu@sh@h:1/0", "redis://me:***@h:1/0"),
        ("redis://h/0?db=1&password=hush&protocol=3", "redis://h/0?db=1&password=***&protocol=3"),
        ("redis://h/0?password=hu@sh#hush", "redis://h/0?password=***"),
        ("unix:///run/redis.sock?password=hush", "unix:///run/redis.sock?password=***"),
        ("unix://:hu/sh@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("https://g/v1?api-key=hush&x=hu?sh#hush", "https://g/v1?api-key=***&x=***"),
        ("https://g/v1?hush", "https://g/v1?***"),
        ("http://me:hu@sh@g:1/v1", "http://me:***@g:1/v1"),
    ],
)
def test_a_password_is_masked_wherever_a_url_holds_it(url: str, masked: str) -> None:
    kind = HttpUrl if url.startswith("http") else RedisUrl
    assert kind.read(url).masked() == masked


def test_no_secret_is_shown_and_each_is_said_to_be_there() -> None:
    found = shown(SECRETS)
    assert "hush" not in str(found)
    assert (found["openai.api_key"].value, found["kafka.password"].value) == ("***", "***")
    assert found["redis.url"].value == "redis://:***@cache/0"
    assert found["openai.base_url"].value == "https://me:***@gateway/v1?api_key=***"
    assert shown({})["openai.api_key"].value is None


def test_every_value_has_the_place_that_gave_it(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[openai]\napi_key_file = "key"\n[limits."gpt-4o"]\n[lanes.late]\norder = 9\n')
    (tmp_path / "key").write_text("sk-hush\n")
    found = shown({"HEADRACE_RETRY__ATTEMPTS_MAX": "3"}, config)
    assert found["openai.api_key"].origin.source is SourceKind.SECRET_FILE
    assert str(found["lanes.late.order"].origin) == f"{config}:5"
    assert found["retry.attempts_max"].origin.name == "HEADRACE_RETRY__ATTEMPTS_MAX"
    assert {found[key].origin.source for key in ("lanes.late.floor", "lanes.bulk.order", "limits.gpt-4o.burst_s")} == {
        SourceKind.DEFAULT
    }
    assert [key for key in found if key.startswith("lanes.") and key.endswith(".order")][-1] == "lanes.late.order"


def test_what_follows_from_other_settings_is_shown_as_it_is_in_force() -> None:
    found = shown({"HEADRACE_DEDUPE__WINDOW_S": "100000", "HEADRACE_LIMITS": '{"m": {}}'})
    assert (found["topics.ledger.retention_s"].value, found["lanes.bulk.deadline_max_s"].value) == (200_000, 518_400)
    assert found["limits.m.models"].value == ["m", "m-20*"]
    assert found["topics.ledger.retention_s"].because.startswith("twice")
    assert found["topics.results.replication"].because == "fewer where there are fewer nodes"
    assert found["dedupe.window_s"].because == ""
