"""Spans leave as OpenTelemetry has them, with the ids that were derived."""

import asyncio
import logging
import os
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace.broker.adapters.otel.environment import EXPORT_EVERY_MS
from headrace.broker.adapters.otel.exporter import CountingExporter, _batches, open_spans, opened
from headrace.broker.observability.spans import CALL, PROCESS, SCHEMA_URL, SPANS, Attribute
from headrace.broker.settings.tracing import TracingSettings
from headrace.broker.span_ports import EndedSpan, SpanCounts
from headrace.broker.trace_context import TraceContext, new_trace_id
from tests.unit.adapters.otel.ended_spans import CONTEXT, PARENT, STANDARD, in_memory, span


def test_a_span_leaves_with_its_own_ids_times_and_parent() -> None:
    spans, kept = in_memory()
    spans.record(span(attributes={Attribute.LANE: "urgent", Attribute.FINISH_REASONS: ("stop",)}, links=(PARENT,)))
    [left] = kept.get_finished_spans()
    assert (left.name, left.kind) == ("process generation.requests.urgent", SpanKind.CONSUMER)
    assert (left.context.trace_id, left.context.span_id) == (CONTEXT.trace_id, CONTEXT.span_id)
    assert left.parent is not None
    assert (left.parent.trace_id, left.parent.span_id) == (PARENT.trace_id, PARENT.span_id)
    assert (left.start_time, left.end_time) == (1_000, 2_000)
    assert dict(left.attributes or {}) == {"headrace.lane": "urgent", "gen_ai.response.finish_reasons": ("stop",)}
    assert left.context.trace_state.to_header() == "vendor=x"
    assert left.status.status_code is StatusCode.UNSET
    assert [each.context.span_id for each in left.links] == [PARENT.span_id]
    assert left.instrumentation_scope is not None
    assert left.instrumentation_scope.schema_url == SCHEMA_URL


@pytest.mark.parametrize("row", SPANS)
def test_each_row_of_the_table_becomes_a_span_of_its_name_and_kind(row: Any) -> None:
    spans, kept = in_memory()
    spans.record(EndedSpan(row, "target", CONTEXT, None, 1, 2))
    [left] = kept.get_finished_spans()
    assert (left.name, left.kind.name) == (f"{row.operation} target", row.kind.value)
    assert left.parent is None


def test_a_failed_span_says_why() -> None:
    spans, kept = in_memory()
    spans.record(span(error="rate_limited", sentence="Wait."))
    [left] = kept.get_finished_spans()
    assert (left.status.status_code, left.status.description) == (StatusCode.ERROR, "Wait.")
    assert (left.attributes or {})["error.type"] == "rate_limited"


def test_a_span_of_a_trace_that_is_not_sampled_leaves_nothing() -> None:
    spans, kept = in_memory()
    spans.record(EndedSpan(CALL, "m", TraceContext(1, 2, sampled=False), None, 1, 2))
    assert not kept.get_finished_spans()
    assert spans.counts() == SpanCounts()


def test_a_parent_decides_and_the_share_is_of_traces_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STANDARD:
        monkeypatch.delenv(name, raising=False)
    asked = [new_trace_id(number) for number in range(2_000)]
    for share in (0.0, 0.25, 1.0):
        spans, _ = in_memory(TracingSettings(sample=share))
        taken = [each for each in asked if spans.sampled(None, each, PROCESS, "t")]
        assert len(taken) / len(asked) == pytest.approx(share, abs=0.04)
        assert spans.sampled(PARENT, PARENT.trace_id, PROCESS, "t")
        assert not spans.sampled(TraceContext(1, 2, sampled=False), 1, PROCESS, "t")
        assert taken == [each for each in asked if spans.sampled(None, each, PROCESS, "t")]


@pytest.mark.parametrize(
    ("sampler", "argument", "without", "refused"),
    [
        ("always_on", "", True, True),
        ("always_off", "", False, False),
        ("parentbased_always_off", "", False, False),
        ("parentbased_traceidratio", "1", True, False),
        ("", "", True, False),
    ],
)
def test_the_standard_variables_choose_the_sampler_where_no_setting_does(
    sampler: str,
    argument: str,
    without: bool,  # noqa: FBT001 — a case
    refused: bool,  # noqa: FBT001 — a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    spans, _ = in_memory()
    assert spans.sampled(None, 7, PROCESS, "t") is without
    assert spans.sampled(TraceContext(1, 2, sampled=False), 1, PROCESS, "t") is refused
    assert in_memory(TracingSettings(sample=1.0))[0].sampled(None, 7, PROCESS, "t")


def test_the_process_names_itself_unless_the_standard_variable_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STANDARD:
        monkeypatch.delenv(name, raising=False)
    for given, expected in (("", "headrace-dispatcher"), ("calls", "calls")):
        monkeypatch.setenv("OTEL_SERVICE_NAME", given)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
        kept = InMemorySpanExporter()
        counted = CountingExporter(kept, queue_max=10)
        made = opened(TracingSettings(), "headrace-dispatcher", "1.2.3", SimpleSpanProcessor(counted), counted)
        made.record(span())
        told = kept.get_finished_spans()[0].resource.attributes
        assert told["service.name"] == expected
        assert told["service.version"] == "1.2.3"
        assert str(told["service.instance.id"]).endswith(f":{os.getpid()}")
        assert told["deployment.environment.name"] == "prod"


def test_an_attribute_of_the_standard_variable_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,service.instance.id=pod-1")
    kept = InMemorySpanExporter()
    counted = CountingExporter(kept, queue_max=10)
    opened(TracingSettings(), "headrace-retrier", "1.2.3", SimpleSpanProcessor(counted), counted).record(span())
    told = kept.get_finished_spans()[0].resource.attributes
    assert (told["service.version"], told["service.instance.id"]) == ("9", "pod-1")


class Broken(InMemorySpanExporter):
    """An exporter with a defect."""

    def export(self, spans: Any) -> SpanExportResult:
        raise ZeroDivisionError


def test_a_defect_of_the_exporter_costs_its_spans_and_is_named() -> None:
    counted = CountingExporter(Broken(), queue_max=10)
    counted.note_recorded()
    assert counted.export([Any]) is SpanExportResult.FAILURE  # type: ignore[list-item]  # one span, of any kind
    assert counted.counts() == SpanCounts(1, 0, 1, "ZeroDivisionError")
    counted.note_trouble("x" * 10_000)
    assert len(counted.counts().trouble) == 200


def test_a_span_leaves_within_two_seconds_and_a_failed_export_is_logged_by_us_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spans = open_spans(TracingSettings(endpoint="http://127.0.0.1:1"), "headrace-dispatcher", "1", {})
    logging.getLogger("opentelemetry.exporter.otlp").warning("Failed to export.")
    assert not caplog.records
    assert spans.counts().trouble == "Failed to export."
    for environ, delay_ms in (({}, EXPORT_EVERY_MS), ({"OTEL_BSP_SCHEDULE_DELAY": "7000"}, 7_000)):
        batches, _ = _batches(TracingSettings(endpoint="http://127.0.0.1:1"), environ)
        assert batches._batch_processor._schedule_delay_millis == delay_ms
        batches.shutdown()  # type: ignore[no-untyped-call]  # the library leaves it untyped
    asyncio.run(spans.close(5))


def test_spans_beyond_the_queue_are_counted_as_lost() -> None:
    counted = CountingExporter(InMemorySpanExporter(), queue_max=10)
    for _ in range(25):
        counted.note_recorded()
    assert (counted.counts().recorded, counted.counts().lost) == (25, 15)
    assert counted.counts().trouble == "The queue of spans is full."
    assert counted.export([]) is SpanExportResult.SUCCESS
    assert (counted.counts().lost, counted.counts().trouble) == (15, ""), "the collector takes spans again"


def test_one_span_that_cannot_be_encoded_costs_the_others_of_its_batch_nothing() -> None:
    spans, kept = in_memory()
    spans.record(span(start_ns=-1, end_ns=2**70))
    spans.record(EndedSpan(CALL, "\ud800", CONTEXT, None, 1, 2, error="x", sentence="half \udfff"))
    found = kept.get_finished_spans()
    assert encode_spans(found).SerializeToString()
    assert (found[0].start_time, found[0].end_time) == (0, 2**63 - 1)
    assert (found[1].name, found[1].status.description) == ("chat ?", "half ?")


def test_the_line_on_malformed_headers_does_not_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    kept = logging.Handler()
    kept.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # a handler of the test
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Bearer s3cret")
    logger = logging.getLogger("opentelemetry.util.re")
    logger.addHandler(kept)
    try:
        spans = open_spans(TracingSettings(endpoint="http://127.0.0.1:9"), "headrace-dispatcher", "1", {})
        asyncio.run(spans.close(5))
    finally:
        logger.removeHandler(kept)
    assert len(lines) == 1
    assert "s3cret" not in lines[0]


@pytest.mark.parametrize("address", ["http://me:hush@collector:99999", "me:hush@collector:4317"])
async def test_the_reason_of_a_loss_does_not_repeat_a_login(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    spans = open_spans(TracingSettings(), "headrace-dispatcher", "1", {})
    spans.record(span())
    await spans.close(5)
    assert spans.counts().lost == 1
    assert "collector" in spans.counts().trouble
    assert "hush" not in spans.counts().trouble
