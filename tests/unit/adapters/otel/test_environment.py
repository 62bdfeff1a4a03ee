"""Spans are exported where settings or OpenTelemetry's own variables ask for it, and never half."""

import pytest

from headrace.broker.adapters.otel.environment import TracingDecision, decide
from headrace.broker.errors import SettingsError
from headrace.broker.settings.tracing import TracingSettings

OFF, SET = TracingSettings(), TracingSettings(endpoint="http://collector:4318")
ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_nothing_is_exported_unless_something_asks_for_it() -> None:
    assert decide(OFF, {}, installed=True) == decide(OFF, {}, installed=False) == TracingDecision(on=False)


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_a_setting_or_a_variable_asks_for_it(name: str) -> None:
    assert decide(SET, {}, installed=True).on
    assert decide(OFF, {name: "http://collector:4318"}, installed=True).on
    assert not decide(OFF, {name: ""}, installed=True).on


@pytest.mark.parametrize("tracing", [OFF, SET])
def test_the_variable_that_disables_every_sdk_disables_ours(tracing: TracingSettings) -> None:
    assert not decide(tracing, ASKED | {"OTEL_SDK_DISABLED": "True"}, installed=True).on


def test_a_setting_without_the_extra_refuses_the_start_and_names_the_install_line() -> None:
    with pytest.raises(SettingsError, match=r"^tracing\.endpoint is set, .*: pip install 'headrace\[otel\]'\.$"):
        decide(SET, {}, installed=False)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER asks for 'zipkin'; Headrace has only otlp."),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTLP is asked for over 'grpc'; Headrace has only http/protobuf (port 4318).",
        ),
    ],
)
def test_a_variable_that_cannot_be_met_stops_no_start_and_is_named(more: dict[str, str], sentence: str) -> None:
    assert decide(OFF, ASKED | more, installed=True) == TracingDecision(on=False, why_not=sentence)
    assert decide(SET, more, installed=True).on


def test_a_variable_without_the_extra_stops_no_start_and_names_the_install_line() -> None:
    found = decide(OFF, ASKED, installed=False)
    assert not found.on
    assert found.why_not.endswith("pip install 'headrace[otel]'.")


def test_none_as_the_exporter_is_a_wish_that_is_met() -> None:
    none = ASKED | {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert decide(OFF, none, installed=False) == TracingDecision(on=False)


def test_the_protocol_of_traces_is_asked_for_before_that_of_all_signals() -> None:
    of_all, of_traces = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    assert decide(OFF, ASKED | {of_all: "grpc", of_traces: "http/protobuf"}, installed=True).on
    assert not decide(OFF, ASKED | {of_all: "http/protobuf", of_traces: "grpc"}, installed=True).on
