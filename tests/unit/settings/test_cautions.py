"""What is allowed and deserves a word."""

from pathlib import Path

import pytest

from headrace.broker.settings.cautions import WITHOUT_EFFECT, cautions
from headrace.broker.settings.known import group_at
from headrace.broker.settings.load import load_with_origins

QUIET = {"OPENAI_API_KEY": "k", "HEADRACE_MODELS__ALLOW": "gpt-4o-mini*"}


def said(environ: dict[str, str]) -> list[str]:
    return [caution.sentence for caution in cautions(load_with_origins(environ=environ))]


def test_settings_that_do_what_they_say_deserve_no_word() -> None:
    assert said({**QUIET, "HEADRACE_LANES__BULK__FLOOR": "0.1", "HEADRACE_LIMITS": '{"m": {"burst_s": 1}}'}) == []


def test_a_missing_key_is_said_though_only_a_dispatcher_needs_it() -> None:
    [sentence] = said({"HEADRACE_MODELS__ALLOW": "m"})
    assert sentence.startswith("no OpenAI key is set: a dispatcher does not start without one")


def test_each_setting_without_effect_is_named_with_its_place() -> None:
    environ = QUIET | {
        "HEADRACE_LANES__BULK__CEILING": "0.5",  # which has one
        "HEADRACE_LIMITS": '{"m": {"tokens_per_day": 1, "charge_law": "usage"}}',  # which have one
        "HEADRACE_TOPICS__LEDGER__SEGMENT_S": "60",
    }
    sentences = said(environ)
    assert [sentence.partition(" (from")[0] for sentence in sentences] == [
        "topics.ledger.segment_s has no effect in this version",
    ]
    assert "(from the environment variable HEADRACE_TOPICS__LEDGER__SEGMENT_S)" in sentences[0]


def test_what_is_without_effect_is_a_setting() -> None:
    tables = {"lanes": ("lanes", "x"), "limits": ("limits", "x"), "topics": ("topics", "ledger")}
    for name in WITHOUT_EFFECT:
        group, _, key = name.partition(".")
        table = group_at(tables[group])
        assert table is not None
        assert key in table.model_fields


def kafka(servers: str, protocol: str, mechanism: str | None = None) -> dict[str, str]:
    login = {} if mechanism is None else {"SASL_MECHANISM": mechanism, "USERNAME": "u", "PASSWORD": "hush"}
    group = {"BOOTSTRAP_SERVERS": servers, "SECURITY_PROTOCOL": protocol} | login
    return QUIET | {f"HEADRACE_KAFKA__{key}": value for key, value in group.items()}


@pytest.mark.parametrize(
    ("environ", "beginning"),
    [
        (kafka("k:9092", "PLAINTEXT"), "prompts and answers cross the network to Kafka unencrypted"),
        (kafka("localhost:9092,k:9092", "PLAINTEXT"), "prompts and answers cross the network to Kafka unencrypted"),
        (
            kafka("k:1", "SASL_PLAINTEXT", "PLAIN"),
            "kafka.password, prompts and answers cross the network to Kafka unencrypted",
        ),
        (
            kafka("k:1", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
            "prompts and answers cross the network to Kafka unencrypted",
        ),
        (
            kafka("k:1", "SASL_PLAINTEXT", "SCRAM-SHA-512"),
            "prompts and answers cross the network to Kafka unencrypted",
        ),
        (
            QUIET | {"HEADRACE_REDIS__URL": "redis://:hush@cache/0"},
            "the password in redis.url crosses the network unencrypted",
        ),
        (
            QUIET | {"HEADRACE_REDIS__URL": "redis://:hu/sh@cache/0"},
            "the password in redis.url crosses the network unencrypted",
        ),
        (QUIET | {"HEADRACE_REDIS__URL": "redis://cache/0?password=hush"}, "the password in redis.url crosses the"),
        (
            QUIET | {"OPENAI_BASE_URL": "http://gateway:8080/v1"},
            "the OpenAI key, prompts and answers cross the network to",
        ),
        (
            QUIET | {"HEADRACE_TRACING__ENDPOINT": "http://otel:4318", "HEADRACE_TRACING__CONTENT": "yes"},
            "prompts and answers cross the network to otel unencrypted",
        ),
        (
            QUIET | {"HEADRACE_TRACING__ENDPOINT": "http://otel:4318", "HEADRACE_TRACING__HEADERS": "x-key=hush"},
            "tracing.headers cross the network to otel unencrypted",
        ),
        (
            QUIET | {"HEADRACE_MODELS__ALLOW": "m,*"},
            "models.allow is *, so each producer may ask for the most expensive model",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(list(value.values())[2:6]) or "models",
)
def test_each_thing_in_the_clear_is_one_sentence_with_its_place_and_what_to_do(
    environ: dict[str, str], beginning: str
) -> None:
    [sentence] = said(environ)
    assert sentence.startswith(beginning)
    assert "(from the environment variable " in sentence
    assert ": " in sentence
    assert "hush" not in sentence


@pytest.mark.parametrize(
    "environ",
    [
        kafka("localhost:9092,127.0.0.1:1,[::1]:2", "PLAINTEXT"),
        kafka("localhost:9092", "SASL_PLAINTEXT", "PLAIN"),
        kafka("k:9092", "SSL"),
        kafka("k:9092", "SASL_SSL", "PLAIN"),
        QUIET | {"HEADRACE_TRACING__ENDPOINT": "http://otel:4318"},
        QUIET | {"HEADRACE_TRACING__ENDPOINT": "http://localhost:4318", "HEADRACE_TRACING__CONTENT": "yes"},
        QUIET | {"HEADRACE_TRACING__ENDPOINT": "https://otel:4318", "HEADRACE_TRACING__HEADERS": "x-key=hush"},
        QUIET | {"HEADRACE_REDIS__URL": "redis://cache/0"},
        QUIET | {"HEADRACE_REDIS__URL": "redis://:hush@localhost/0"},
        QUIET | {"HEADRACE_REDIS__URL": "redis://:hush@/0"},
        QUIET | {"HEADRACE_REDIS__URL": "rediss://:hush@cache/0"},
        QUIET | {"HEADRACE_REDIS__URL": "unix://:hush@/run/redis.sock"},
        QUIET | {"OPENAI_BASE_URL": "http://127.0.0.1:8089/v1"},
        QUIET | {"OPENAI_BASE_URL": "https://gateway/v1"},
        QUIET | {"HEADRACE_DISPATCHER__HTTP_HOST": "0.0.0.0"},  # noqa: S104  # nothing is bound here
    ],
    ids=lambda environ: " ".join(list(environ.values())[2:6]),
)
def test_what_is_encrypted_or_stays_on_this_machine_deserves_no_word(environ: dict[str, str]) -> None:
    assert said(environ) == []


def test_without_a_key_no_key_crosses_the_network() -> None:
    environ = {"OPENAI_BASE_URL": "http://gateway/v1", "HEADRACE_MODELS__ALLOW": "m"}
    assert [sentence[:21] for sentence in said(environ)] == ["no OpenAI key is set:"]


def test_an_address_that_a_file_opens_is_said_of_each_process(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[dispatcher]\nhttp_host = ""\n[retrier]\nhttp_host = "10.0.0.7"\n')
    found = [one.sentence for one in cautions(load_with_origins(config, environ=QUIET))]
    assert [sentence.partition(" shows /status")[0] for sentence in found] == [
        "dispatcher.http_host ''",
        "retrier.http_host '10.0.0.7'",
    ]


def test_an_open_address_that_a_token_guards_deserves_no_caution(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[dispatcher]\nhttp_host = ""\nhttp_token = "0123456789abcdef"\n')
    assert list(cautions(load_with_origins(config, environ=QUIET))) == []


def test_the_defaults_deserve_two_words() -> None:
    assert [sentence.partition(" is ")[0] for sentence in said({})] == ["models.allow", "no OpenAI key"]


@pytest.mark.parametrize(("name", "words"), [("urgnet", 1), ("standart", 1), ("bulk-eu", 0), ("vip", 0)])
def test_a_new_lane_that_is_called_much_like_another_deserves_a_word(name: str, words: int) -> None:
    sentences = said({**QUIET, f"HEADRACE_LANES__{name}__ORDER": "4"})
    assert len(sentences) == words
    if name == "urgnet":
        assert sentences == [
            (
                "lanes.urgnet is a new lane (from the environment variable HEADRACE_LANES__urgnet__ORDER): write "
                "urgent if you mean that lane"
            )
        ]


@pytest.mark.parametrize(("enabled", "words"), [("false", 2), ("true", 0)])
def test_prices_that_no_cost_uses_deserve_a_word_each(enabled: str, words: int) -> None:
    given = {"HEADRACE_COSTS__PROVIDER": "azure", "HEADRACE_COSTS__PRICES_FILE": "prices.toml"}
    sentences = said({**QUIET, **given, "HEADRACE_COSTS__ENABLED": enabled})
    assert len(sentences) == words
    assert all("has no effect while costs.enabled is false" in sentence for sentence in sentences)
