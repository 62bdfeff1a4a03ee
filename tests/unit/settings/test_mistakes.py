"""Planted mistakes: each is answered by one sentence that names the key, the place, and what is expected."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from headrace.broker.errors import SettingsError
from headrace.broker.settings.load import examine, load_settings

IN_THE_FILE = {
    '[kafka]\nbootstrap_serverz = "a:1"': "kafka.bootstrap_serverz (from FILE:2) is not a setting: the nearest is "
    "kafka.bootstrap_servers",
    "[kafak]\nx = 1": "kafak (from FILE:2) is not a setting: the nearest is kafka",
    'bootstrap_servers = "a:1"': "bootstrap_servers (from FILE:1) is not a setting: the nearest is "
    "kafka.bootstrap_servers",
    '[kafka]\nurl = "redis://h"': "kafka.url (from FILE:2) is not a setting: the nearest is redis.url",
    '[openai]\napi_key_fil = "k"': "openai.api_key_fil (from FILE:2) is not a setting: the nearest is "
    "openai.api_key_file",
    '[limits."gpt-4.1"]\ntokens_per_minut = 1': 'limits."gpt-4.1".tokens_per_minut (from FILE:2) is not a setting: '
    'the nearest is limits."gpt-4.1".tokens_per_minute',
    "[topics.request]\npartitions = 1": "topics.request (from FILE:2) is not a setting: the nearest is topics.requests",
    "[lanes.bulk]\nfloors = 0.1": "lanes.bulk.floors (from FILE:2) is not a setting: the nearest is lanes.bulk.floor",
    '[dispatcher]\ninflight_max = "many"': "dispatcher.inflight_max = 'many' (from FILE:2) must be a whole number",
    "[dispatcher]\ninflight_max = 1.5": "dispatcher.inflight_max = 1.5 (from FILE:2) must be a whole number",
    "[dispatcher]\ninflight_max = true": "dispatcher.inflight_max (from FILE:2) must be a value, not true or false",
    "[dispatcher]\ninflight_max = 0": "dispatcher.inflight_max = 0 (from FILE:2) must be at least 1",
    "[dispatcher]\nhttp_port = 70000": "dispatcher.http_port = 70000 (from FILE:2) must be at most 65535",
    '[dispatcher]\nhttp_token = "too-short"': "dispatcher.http_token (from FILE:2) is shorter than 16 characters: "
    "`openssl rand -hex 24` makes one",
    "[dispatcher]\ngrace_s = 9": "dispatcher.grace_s = 9 (from FILE:2) must be at least 10",
    "[retrier]\nfloor_per_s = 0": "retrier.floor_per_s = 0 (from FILE:2) must be at least 0.2",
    "[retrier]\nfresh_share = 20": "retrier.fresh_share = 20 (from FILE:2) must be at most 1",
    '[dispatcher]\nheld_bytes_max = "lots"': "dispatcher.held_bytes_max = 'lots' (from FILE:2) must be a size "
    'such as "64MiB", or bytes',
    '[dispatcher]\nheld_bytes_max = "64kiB"': "dispatcher.held_bytes_max 65536 is smaller than one answer of "
    "1048576 (from FILE:2)",
    "[openai]\ntimeout_s = nan": "openai.timeout_s = nan (from FILE:2) must be a finite number",
    "[openai]\ntimeout_s = 0": "openai.timeout_s = 0 (from FILE:2) must be more than 0",
    "[openai]\napi_key = 5": "openai.api_key (from FILE:2) must be text",
    '[openai]\nbase_url = "api.openai.com"': "openai.base_url (from FILE:2) must begin with http:// or https://",
    '[redis]\nurl = "http://h"': "redis.url (from FILE:2) must begin with redis://, rediss:// or unix://",
    '[kafka]\nbootstrap_servers = "a:1,b"': "kafka.bootstrap_servers (from FILE:2) has 'b' instead of host:port",
    '[kafka]\ntopic_prefix = "a b"': "kafka.topic_prefix = 'a b' (from FILE:2) must be letters, digits, dots, - "
    "and _ only",
    '[kafka]\nsecurity_protocol = "TLS"': "kafka.security_protocol = 'TLS' (from FILE:2) must be one of "
    "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'",
    '[kafka]\nsecurity_protocol = "SASL_SSL"': "kafka: security_protocol SASL_SSL needs sasl_mechanism, username "
    "and password (from FILE:2)",
    '[kafka]\nusername = "u"': "kafka: username has no effect while security_protocol is PLAINTEXT: set that to "
    "SASL_SSL (from FILE:2)",
    '[kafka]\nca_file = "ca.pem"': "kafka: ca_file has no effect while security_protocol is PLAINTEXT: set that to SSL "
    "(from FILE:2)",
    '[redis]\nurl = "redis://h?ssl_ca_certs=ca.pem"': "redis.url (from FILE:2) has ssl_ options behind the ?, "
    "which have no effect without TLS: begin it with rediss://",
    "kafka = 5": "kafka (from FILE:1) must be a table of settings",
    "lanes = 5": "lanes (from FILE:1) must be a table of settings",
    '[models]\nallow = "gpt-4o"': 'models.allow = \'gpt-4o\' (from FILE:2) must be a list such as ["a", "b"]',
    "[models]\nallow = []": "models.allow (from FILE:2) must be a list of at least 1",
    "[lanes.fast]\nfloor = 0.1": "lanes.fast (from FILE:2) is a new lane without an order: give it one, or correct its "
    "name (there are urgent, standard and bulk)",
    "[lanes.urgnet]\nfloor = 0.1": "lanes.urgnet (from FILE:2) is a new lane without an order: give it one, or correct "
    "its name (did you mean urgent?)",
    "[lanes.fast]\norder = 1": "the lanes fast and urgent both have order 1: give every lane its own (from FILE:2)",
    "[lanes.control]\norder = 9": "a lane cannot be called 'control': that is the control topic (from FILE:2)",
    '[lanes."Fast Lane"]\norder = 9': "a lane cannot be called 'Fast Lane': use 1 to 32 lower-case letters, "
    "digits, - and _ (from FILE:2)",
    "[lanes]\nurgent = false\nstandard = false\nbulk = false": "no lane is left: keep at least one under [lanes] "
    "(from FILE:4)",
    "[lanes.urgent]\nfloor = 0.9": "the floors of all lanes add up to 1.05: keep their sum below 1 (from FILE:2)",
    "[lanes.urgent]\nreserve = 1.0": "the reserves of all lanes add up to 1: keep their sum below 1 (from FILE:2)",
    "[lanes.urgent]\nceiling = 0.0": "lanes.urgent: ceiling must be above 0, or the lane never moves (from FILE:2)",
    "[lanes.bulk]\nceiling = 0.01": "lanes.bulk: floor 0.05 is above its ceiling 0.01 (from FILE:2)",
    "[lanes.bulk]\ndeadline_s = 600_000": "lane bulk allows deadlines of 600000 s, but topics.requests.retention_s "
    "is 604800: requests could expire unanswered, so retain at least a day "
    "longer (686400) (from FILE:2)",
    "[lanes.bulk]\ndeadline_max_s = 1_000": "lanes.bulk.deadline_s 432000 is above its deadline_max_s 1000 (from "
    "FILE:2)",
    '[lanes.bulk]\nbuffer_bytes_max = "1kiB"': "lanes.bulk.buffer_bytes_max 1024 is smaller than one request of "
    "input.request_bytes_max 900000 (from FILE:2)",
    '[input]\nrequest_bytes_max = "1MiB"': "input.request_bytes_max 1048576 leaves no room for headers in "
    "topics.requests.max_message_bytes 1048576: keep 32768 bytes between them (from FILE:2)",
    "[topics.results]\nreplication = 1\nmin_insync = 2": "topics.results: min_insync 2 is above replication 1 "
    "(from FILE:3 and FILE:2)",
    "[topics.ledger]\npartitions = 2": "topics.ledger.partitions = 2 (from FILE:2) must be at most 1",
    "[topics.failures]\nretention_s = 518_400": "lane urgent allows deadlines of 518400 s, but "
    "topics.failures.retention_s is 518400: parked requests could "
    "expire unanswered, so retain at least a day longer (604800) (from "
    "FILE:2)",
    "[topics.requests]\nretention_s = 1_209_600": "lane urgent allows deadlines of 1123200 s, but "
    "topics.failures.retention_s is 604800: parked requests could "
    "expire unanswered, so retain at least a day longer (1209600) "
    "(from FILE:2)",
    "[topics.results]\nretention_s = 3_599": "topics.results.retention_s 3599 is below dedupe.window_s 3600: a "
    "duplicate would be recognised after the outcome that answers it has "
    "expired, so retain at least that long (from FILE:2)",
    "[topics.ledger]\nretention_s = 3_600": "topics.ledger.retention_s 3600 is below 86400: the ledger must keep "
    "twice dedupe.window_s and at least a day (from FILE:2)",
    '[limits.a]\nmodels = ["x*"]\n[limits.b]\nmodels = ["x*"]': "the limits a and b both name the models 'x*': a model "
    "draws from one limit, so keep it in one (from FILE:2 "
    "and FILE:4)",
    '[replies]\nallow = ["acme.answers", "generation.results"]': "replies.allow names generation.results, a topic of "
    "Headrace or Kafka: copies there would do harm, so "
    "name a topic of a producer (from FILE:2)",
    '[replies]\nallow = ["acme answers"]': "replies.allow names 'acme answers', which is not a valid topic name "
    "(from FILE:2)",
    '[replies]\nallow = ["generation.requests.gone"]': "replies.allow names generation.requests.gone, a topic of "
    "Headrace or Kafka: copies there would do harm, so name a "
    "topic of a producer (from FILE:2)",
    '[replies]\nallow = ["__consumer_offsets"]': "replies.allow names __consumer_offsets, a topic of Headrace or "
    "Kafka: copies there would do harm, so name a topic of a producer "
    "(from FILE:2)",
    '[limits.a]\ncharge_law = "guess"': "limits.a.charge_law = 'guess' (from FILE:2) must be one of 'auto', "
    "'documented', 'chat-2025', 'chat-legacy', 'responses', 'embeddings' or 'usage'",
    '[openai]\napi_key = "a"\napi_key_file = "b"': "openai.api_key is given twice: from FILE:2 and from FILE:3",
    "[openai]\napi_key_file = 5": "openai.api_key_file (from FILE:2) must be the path of a file",
    '[openai]\napi_key_file = "DIR/gone"': "openai.api_key_file (from FILE:2): DIR/gone cannot be read: No such file "
    "or directory",
    '[openai]\napi_key_file = "sk-hush"': "openai.api_key_file (from FILE:2) does not name a readable file (No "
    "such file or directory); to give the secret itself, use the key without "
    "_file",
    '[openai]\napi_key_file = "empty"': "openai.api_key_file (from FILE:2): DIR/empty is empty",
    "[kafka": "the settings file FILE is not TOML: Expected ']' at the end of a table declaration (at end of document)",
}

IN_THE_ENVIRONMENT = {
    ("HEADRACE_DISPATCHER__INFLIGHT_MAX", "x"): "dispatcher.inflight_max = 'x' (from the environment variable "
    "HEADRACE_DISPATCHER__INFLIGHT_MAX) must be a whole number",
    ("HEADRACE_KAFKA_USERNAME", "u"): "the environment variable HEADRACE_KAFKA_USERNAME is not a setting: the "
    "nearest is HEADRACE_KAFKA__USERNAME",
    (
        "HEADRACE_DISPATCHER_HTTP_PORT",
        "8082",
    ): "the environment variable HEADRACE_DISPATCHER_HTTP_PORT is not a setting: the nearest is "
    "HEADRACE_DISPATCHER__HTTP_PORT",
    ("HEADRACE_RETRIER_HTTP_PORT", "8083"): "the environment variable HEADRACE_RETRIER_HTTP_PORT is not a setting: "
    "the nearest is HEADRACE_RETRIER__HTTP_PORT",
    (
        "HEADRACE_KAFAK__USERNAME",
        "u",
    ): "the environment variable HEADRACE_KAFAK__USERNAME is not a setting: the nearest is HEADRACE_KAFKA__USERNAME",
    ("HEADRACE_LIMIT", "{}"): "the environment variable HEADRACE_LIMIT is not a setting: the nearest is "
    "HEADRACE_LIMITS",
    ("HEADRACE_KAFKA__USERNAM", "u"): "kafka.usernam (from the environment variable HEADRACE_KAFKA__USERNAM) is "
    "not a setting: the nearest is kafka.username",
    ("HEADRACE_KAFKA", "{"): "the environment variable HEADRACE_KAFKA must hold the group kafka as JSON, and does not: "
    "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ("HEADRACE_KAFKA", "[]"): "the environment variable HEADRACE_KAFKA must hold the group kafka as a JSON object",
    ("HEADRACE_MODELS__ALLOW", "[1"): "models.allow = '[1' (from the environment variable HEADRACE_MODELS__ALLOW) must "
    'be a list such as ["a", "b"]',
    ("HEADRACE_LIMITS", '{"gpt-4o": {"tokens_per_minute": "x"}}'): "limits.gpt-4o.tokens_per_minute = 'x' (from the "
    "environment variable HEADRACE_LIMITS) must be a whole number",
    (
        "OPENAI_API_KEY_FILE",
        "/gone",
    ): "openai.api_key_file (from the environment variable OPENAI_API_KEY_FILE) does not name a readable file (No "
    "such file or directory); to give the secret itself, use the key without _file",
    ("HEADRACE_CONFIG", "/gone.toml"): "the settings file /gone.toml cannot be read: No such file or directory",
}


@pytest.mark.slow
@pytest.mark.parametrize(("toml", "sentence"), IN_THE_FILE.items())
def test_a_mistake_in_the_file_is_answered_by_its_sentence(toml: str, sentence: str, tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text(toml.replace("DIR", str(tmp_path)))
    (tmp_path / "empty").write_text("\n")
    assert _complaint(config, {}) == sentence.replace("FILE", str(config)).replace("DIR", str(tmp_path))


@pytest.mark.parametrize(("variable", "sentence"), IN_THE_ENVIRONMENT.items())
def test_a_mistake_in_the_environment_is_answered_by_its_sentence(variable: tuple[str, str], sentence: str) -> None:
    assert _complaint(None, dict([variable])) == sentence


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides={"dispatcher.http_port": 70_000}, environ={})
    assert str(caught.value) == "dispatcher.http_port = 70000 (from the flag --http-port) must be at most 65535"


def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_bytes(b"\xff\xfe")
    assert _complaint(config, {}) == f"the settings file {config} is not UTF-8 text"


def _complaint(config: Path | None, environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, environ=environ)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


ALL_AT_ONCE = """
[kafka]
security_protocol = "SASL_SSL"
sasl_mechanism = "PLAIN"
password_file = "gone"
[redis]
urll = "redis://h"
[dispatcher]
inflight_max = "many"
http_port = 70_000
grace_s = true
[lanes.urgent]
floor = 0.9
[lanes.fast]
order = 1
[lanes.bulk]
deadline_s = 600_000
ceiling = 2
[limits.a]
models = ["x*"]
[limits.b]
models = ["x*"]
[topics.results]
replication = 1
min_insync = 2
[quotas]
x = 1
"""


def test_every_mistake_is_found_at_once_and_none_that_only_follows_from_another(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text(ALL_AT_ONCE)
    environ = {"HEADRACE_RETRY": "{", "HEADRACE_LIMIT": "{}", "HEADRACE_OPENAI__TIMEOUT_S": "0"}
    found = examine(config, {"input.nesting_max": 1}, environ)
    assert found.loaded is None
    sentences = [mistake.sentence.replace(str(config), "FILE") for mistake in found.mistakes]
    assert sentences == [  # a file from its top to its end, then variables, then flags
        (
            "kafka.password_file (from FILE:5) does not name a readable file (No such file or directory); to give "
            "the secret itself, use the key without _file"
        ),
        "redis.urll (from FILE:7) is not a setting: the nearest is redis.url",
        "dispatcher.inflight_max = 'many' (from FILE:9) must be a whole number",
        "dispatcher.http_port = 70000 (from FILE:10) must be at most 65535",
        "dispatcher.grace_s (from FILE:11) must be a value, not true or false",
        "the floors of all lanes add up to 1.05: keep their sum below 1 (from FILE:13)",
        "the lanes fast and urgent both have order 1: give every lane its own (from FILE:15)",
        (
            "lane bulk allows deadlines of 600000 s, but topics.requests.retention_s is 604800: requests could "
            "expire unanswered, so retain at least a day longer (686400) (from FILE:17)"
        ),
        "lanes.bulk.ceiling = 2 (from FILE:18) must be at most 1",
        (
            "the limits a and b both name the models 'x*': a model draws from one limit, so keep it in one (from "
            "FILE:20 and FILE:22)"
        ),
        "topics.results: min_insync 2 is above replication 1 (from FILE:25 and FILE:24)",
        "quotas (from FILE:27) is not a setting: the nearest is topics.totals",
        "the environment variable HEADRACE_LIMIT is not a setting: the nearest is HEADRACE_LIMITS",
        "openai.timeout_s = '0' (from the environment variable HEADRACE_OPENAI__TIMEOUT_S) must be more than 0",
        (
            "the environment variable HEADRACE_RETRY must hold the group retry as JSON, and does not: Expecting "
            "property name enclosed in double quotes: line 1 column 2 (char 1)"
        ),
        "input.nesting_max = 1 (from the flag --nesting-max) must be at least 4",
    ]


SERIAL = "[lanes.urgent]\nserial = true\n[lanes.standard]\nserial = true\n[lanes.bulk]\n"


def test_what_a_serial_lane_allows_does_not_count_for_the_failures_since_it_parks_nothing(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text(SERIAL + "serial = true\n[topics.failures]\nretention_s = 86_400\n")
    assert examine(config, environ={}).mistakes == ()
    config.write_text(SERIAL + "[topics.failures]\nretention_s = 86_400\n")
    [mistake] = examine(config, environ={}).mistakes
    assert mistake.sentence.startswith("lane bulk allows deadlines of 518400 s, but topics.failures.retention_s is")


def test_a_secret_that_cannot_be_read_is_no_reason_to_say_that_it_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\npassword_file = "gone"\n')
    [unread] = examine(config, environ={"HEADRACE_KAFKA__USERNAME": "u"}).mistakes
    assert unread.keys == (("kafka", "password"), ("kafka", "password_file"))


def test_a_lane_whose_order_is_wrong_is_not_said_to_share_it(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[lanes.urgent]\norder = "first"\n[lanes.fast]\norder = 1\n')
    [wrong] = examine(config, environ={}).mistakes
    assert wrong.sentence.endswith("must be a whole number")


def test_a_lane_with_a_wrong_order_still_counts_with_its_share(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[lanes.urgent]\norder = "first"\nfloor = 0.9\n')
    first, second = examine(config, environ={}).mistakes
    assert first.sentence.endswith("must be a whole number")
    assert second.sentence.startswith("the floors of all lanes add up to 1.05")


def test_a_start_names_the_first_mistake_and_says_how_many_there_are(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text("[dispatcher]\ninflight_max = 0\nhttp_port = 70_000\ngrace_s = 1\n")
    said = _complaint(config, {})
    assert said.startswith("dispatcher.inflight_max = 0")
    assert said.endswith("(and 2 more mistakes: `headrace config check` lists them)")


def test_settings_without_a_mistake_are_settings() -> None:
    found = examine(None, environ={})
    assert found.mistakes == ()
    assert found.loaded is not None
    assert found.loaded.settings == load_settings(environ={})
