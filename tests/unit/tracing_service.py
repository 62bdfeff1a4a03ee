"""The tracing of a service that uses the client: one global provider, which a test switches on for its own time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler


class _Switch(trace.TracerProvider):
    """OpenTelemetry lets a process set its provider once; this one passes on to whatever a test has now."""

    def __init__(self) -> None:
        self.present: trace.TracerProvider = trace.NoOpTracerProvider()

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self.present.get_tracer(*args, **kwargs)


_SWITCH = _Switch()


@contextmanager
def tracing_service(sampler: Sampler = ALWAYS_ON, *more: SpanProcessor) -> Iterator[InMemorySpanExporter]:
    """Trace as a service does; yields what it has exported."""
    if trace.get_tracer_provider() is not _SWITCH:
        trace.set_tracer_provider(_SWITCH)
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for processor in more:
        provider.add_span_processor(processor)
    _SWITCH.present = provider
    try:
        yield exporter
    finally:
        _SWITCH.present = trace.NoOpTracerProvider()
