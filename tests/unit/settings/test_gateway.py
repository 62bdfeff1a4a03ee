"""Settings of the gateway: what they bound, and which values do not go together."""

import pytest

from headrace.broker.errors import SettingsError
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
