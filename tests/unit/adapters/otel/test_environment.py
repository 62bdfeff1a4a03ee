"""Spans are exported where settings or OpenTelemetry's own variables ask for it, and never half."""

import pytest

from headrace.broker.adapters.otel.environment import SpanBatching, TracingDecision, decide
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


@pytest.mark.parametrize(
    "name", ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_SPAN_LINK_COUNT_LIMIT"]
)
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    assert decide(OFF, ASKED | {name: ""}, installed=True) == TracingDecision(on=True)


@pytest.mark.parametrize("given", ["abc", "-1", "1.5"])
def test_a_limit_for_which_the_sdk_cannot_be_imported_is_named(given: str) -> None:
    odd = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": given}
    found = decide(OFF, ASKED | odd, installed=True)
    assert not found.on
    assert found.why_not.startswith("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is no whole number of 0 or more")
    with pytest.raises(SettingsError, match=r"^tracing\.endpoint is set, and OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is no"):
        decide(SET, odd, installed=True)
    assert decide(OFF, ASKED | odd | {"OTEL_TRACES_EXPORTER": "none"}, installed=True) == TracingDecision(on=False)


@pytest.mark.parametrize("odd", ["", "0", "-5", "abc", "1e3", "1_000", "\u0663", "9" * 30])
def test_a_bound_of_the_queue_that_is_no_number_above_0_counts_as_unset(odd: str) -> None:
    names = ("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY")
    assert SpanBatching.of(dict.fromkeys(names, odd)) == SpanBatching.of({}) == SpanBatching(4_096, 512, 1_000)


def test_no_batch_is_larger_than_the_queue() -> None:
    assert SpanBatching.of({"OTEL_BSP_MAX_QUEUE_SIZE": "10"}) == SpanBatching(10, 10, 1_000)
    given = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9999", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    assert SpanBatching.of(given) == SpanBatching(4_096, 4_096, 20)


def test_fewer_spans_wait_if_they_have_prompts_in_them() -> None:
    assert SpanBatching.of({}, content=True) == SpanBatching(512, 64, 1_000)
    assert SpanBatching.of({"OTEL_BSP_MAX_QUEUE_SIZE": "5000"}, content=True).queue_max == 5_000


def test_the_protocol_of_traces_is_asked_for_before_that_of_all_signals() -> None:
    of_all, of_traces = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    assert decide(OFF, ASKED | {of_all: "grpc", of_traces: "http/protobuf"}, installed=True).on
    assert not decide(OFF, ASKED | {of_all: "http/protobuf", of_traces: "grpc"}, installed=True).on
