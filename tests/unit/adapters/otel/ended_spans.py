"""Spans as a dispatcher ends them, and an exporter that keeps them, for the tests of the exporter."""

from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace.broker.adapters.otel.exporter import CountingExporter, OtelSpans, opened
from headrace.broker.observability.spans import PROCESS
from headrace.broker.settings.tracing import TracingSettings
from headrace.broker.span_ports import EndedSpan
from headrace.broker.trace_context import TraceContext

CONTEXT = TraceContext(int("a" * 32, 16), int("b" * 16, 16), sampled=True, state="vendor=x")
PARENT = TraceContext(CONTEXT.trace_id, int("c" * 16, 16), sampled=True, state="vendor=x")
STANDARD = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")


def in_memory(tracing: TracingSettings | None = None) -> tuple[OtelSpans, InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    counted = CountingExporter(kept, queue_max=10)
    made = opened(tracing or TracingSettings(), "headrace-dispatcher", "1.2.3", SimpleSpanProcessor(counted), counted)
    return made, kept


def span(**more: Any) -> EndedSpan:
    given: dict[str, Any] = {"parent": PARENT, "start_ns": 1_000, "end_ns": 2_000, **more}
    return EndedSpan(PROCESS, "generation.requests.urgent", CONTEXT, **given)
