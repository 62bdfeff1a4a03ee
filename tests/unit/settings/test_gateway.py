"""Settings of the gateway: what they bound, and which values do not go together."""

from pathlib import Path

import pytest

from headrace.broker.errors import SettingsError
from headrace.broker.settings.cautions import cautions
from headrace.broker.settings.effective import rows
from headrace.broker.settings.gateway import ENVELOPE_BYTES
from headrace.broker.settings.load import load_settings, load_with_origins


def given(**keys: str) -> dict[str, str]:
    return {f"HEADRACE_{key.upper()}": value for key, value in keys.items()}


def test_without_a_gateway_none_of_its_values_stops_a_start() -> None:
    settings = load_settings(environ=given(gateway__inflight_max="9000", dedupe__window_s="60"))
    assert not settings.gateway.enabled
    with pytest.raises(SettingsError, match=r"^gateway\.inflight_max 9000 is above gateway\.connections_max 6000"):
        load_settings(environ=given(gateway__enabled="true", gateway__inflight_max="9000"))


def test_a_body_leaves_room_for_what_is_put_around_it() -> None:
    environ = given(gateway__enabled="true", input__request_bytes_max="100000")
    assert load_settings(environ=environ).gateway_body_bytes_max == 100_000 - ENVELOPE_BYTES
    assert load_settings(environ=environ | given(gateway__body_bytes_max="91808")).gateway_body_bytes_max == 91_808
    with pytest.raises(
        SettingsError, match=r"^gateway\.body_bytes_max 91809 leaves no room in input\.request_bytes_max"
    ):
        load_settings(environ=environ | given(gateway__body_bytes_max="91809"))


def test_requests_too_small_for_any_body_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^gateway\.body_bytes_max leaves no room in input\.request_bytes_max 8192"
    ):
        load_settings(environ=given(gateway__enabled="true", input__request_bytes_max="8192"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dedupe__window_s", "300", "gateway.join_window_s 600 is above dedupe.window_s 300: "),
        ("topics__calls__retention_s", "300", "gateway.join_window_s 600 is above topics.calls.retention_s 300: "),
    ],
)
def test_a_call_is_joined_only_as_long_as_it_is_known(key: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ=given(gateway__enabled="true") | given(**{key: value}))
    assert str(refused.value).startswith(said)
    load_settings(environ=given(gateway__enabled="true", gateway__join_window_s="300") | given(**{key: value}))


def test_the_longest_body_in_force_is_shown_with_its_reason() -> None:
    row = next(one for one in rows(load_with_origins(environ={})) if one.path == ("gateway", "body_bytes_max"))
    assert (row.value, row.is_size) == (900_000 - ENVELOPE_BYTES, True)
    assert row.because == "8 KiB less than input.request_bytes_max"


@pytest.mark.parametrize("topic", ["generation.calls", "generation.batches"])
def test_no_copy_of_an_outcome_may_go_to_a_topic_of_gateways(topic: str) -> None:
    with pytest.raises(SettingsError, match="a topic of Headrace or Kafka"):
        load_settings(environ=given(replies__allow=topic))


def cautioned(environ: dict[str, str], config: Path | None = None) -> list[str]:
    return [caution.sentence for caution in cautions(load_with_origins(config, environ=environ))]


def test_a_gateway_that_a_file_opens_to_other_hosts_is_a_caution(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[gateway]\nenabled = true\nhttp_host = "0.0.0.0"\n')
    told = [one for one in cautioned({}, config) if one.startswith("gateway.")]
    origin, mend = f"(from {config}:3)", "end TLS in front of it, or keep 127.0.0.1"
    assert told == [f"gateway.http_host '0.0.0.0' takes keys and prompts from other hosts unencrypted {origin}: {mend}"]
    config.write_text('[gateway]\nhttp_host = "0.0.0.0"\n')
    assert not [one for one in cautioned({}, config) if one.startswith("gateway.")]
    opened = given(gateway__enabled="true", gateway__http_host="0.0.0.0")  # noqa: S104  # nothing is bound here
    assert not [one for one in cautioned(opened) if one.startswith("gateway.")]


def test_clients_and_operators_never_share_a_port() -> None:
    with pytest.raises(SettingsError, match=r"^gateway\.metrics_port is gateway\.http_port, 9000: name another port"):
        load_settings(environ=given(gateway__enabled="true", gateway__http_port="9000", gateway__metrics_port="9000"))
    both_free = given(gateway__enabled="true", gateway__http_port="0", gateway__metrics_port="0")
    assert load_settings(environ=both_free).gateway.metrics_port == 0
