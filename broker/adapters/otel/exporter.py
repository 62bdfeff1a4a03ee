"""Exporter of the processes' spans on OpenTelemetry's SDK: batches, a bounded queue, a thread of its own.

The loop's thread only appends to the queue. Everything that a collector can do (refuse, be slow, be away, answer
without end) concerns the exporter's thread, and at worst costs spans, which are counted. Standard variables mean what
they mean elsewhere; a setting takes precedence over its variable.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
    set_tracer_provider,
)
from opentelemetry.trace.status import Status, StatusCode

from headrace.broker.adapters.otel.environment import SpanBatching
from headrace.broker.adapters.otel.session import bounded_session
from headrace.broker.observability.spans import SCHEMA_URL, SCOPE, Attribute, SpanRow
from headrace.broker.settings.tracing import TracingSettings
from headrace.broker.span_ports import EndedSpan, SpanCounts, Value
from headrace.broker.trace_context import TraceContext

LAST_SPANS_WITHIN_S: Final = 2.0
_TROUBLE_CHARS_MAX: Final = 200
_LOGIN: Final = re.compile(r"[^\s/'\"]+@")
"""A login in the collector's address, which may come from a variable: the library quotes what it cannot parse."""
_NS_MAX: Final = 2**63 - 1
_UNUSED_MS: Final = 30_000  # the SDK reads it and has no use for it; without it, it would parse the variable


class OtelSpans:
    """A `Spans` port on the SDK."""

    def __init__(self, provider: TracerProvider, sampler: Sampler, counted: "CountingExporter") -> None:
        """Made by `open_spans`; `provider` takes every span that it is given, since `sampler` was asked before."""
        self._provider = provider
        self._sampler = sampler
        self._counted = counted
        self._ids = provider.id_generator
        self._tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)

    def sampled(self, parent: TraceContext | None, trace_id: int, row: SpanRow, target: str) -> bool:
        """See `headrace.broker.span_ports.Spans.sampled`."""
        above = None if parent is None else _above(parent)
        result = self._sampler.should_sample(above, trace_id, row.name(target), SpanKind[row.kind.value])
        return result.decision is Decision.RECORD_AND_SAMPLE

    def record(self, span: EndedSpan) -> None:
        """See `headrace.broker.span_ports.Spans.record`."""
        if not span.context.sampled:
            return
        assert isinstance(self._ids, GivenIds)  # noqa: S101 — programmer error: `open_spans` makes the provider
        self._ids.trace_id, self._ids.span_id = span.context.trace_id, span.context.span_id
        attributes: Mapping[str, Value] = span.attributes  # the SDK copies them
        if span.error:
            attributes = {**attributes, Attribute.ERROR_TYPE: span.error}
        made = self._tracer.start_span(
            _encodable(span.row.name(span.target)),
            context=Context() if span.parent is None else _above(span.parent),
            kind=SpanKind[span.row.kind.value],
            attributes=attributes,
            links=[Link(_span_context(each)) for each in span.links],
            start_time=_time_ns(span.start_ns),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, _encodable(span.sentence) or None))
        self._counted.note_recorded()
        made.end(end_time=_time_ns(span.end_ns))

    def counts(self) -> SpanCounts:
        """See `headrace.broker.span_ports.Spans.counts`."""
        return self._counted.counts()

    async def close(self, within_s: float) -> None:
        """See `headrace.broker.span_ports.Spans.close`; the exporter's threads end with the process at the latest."""
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop did not wait for us
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await done.wait()


class GivenIds(IdGenerator):
    """Ids of the next span, as they were derived; used by the loop's thread alone."""

    trace_id = 1
    span_id = 1

    def generate_span_id(self) -> int:
        """Return the id of the next span."""
        return self.span_id

    def generate_trace_id(self) -> int:
        """Return the id of the trace that the next span begins."""
        return self.trace_id


class CountingExporter(SpanExporter):
    """Exporter that counts what becomes of another one's spans."""

    def __init__(self, inner: SpanExporter, *, queue_max: int) -> None:
        """`queue_max` is the bound of the queue before it; spans beyond it were dropped there."""
        self._inner = inner
        self._queue_max = queue_max
        self._recorded = self._taken = self._exported = self._failed = self._dropped = 0
        self._trouble = ""

    def note_recorded(self) -> None:
        """Note that one more span goes to the queue."""
        self._recorded += 1
        waiting = self._recorded - self._taken - self._dropped
        if waiting > self._queue_max:
            self._dropped += waiting - self._queue_max
            self._trouble = self._trouble or "The queue of spans is full."

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch, in the exporter's thread."""
        self._taken += len(spans)
        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001 — a library's defect costs these spans
            self._trouble, result = type(error).__name__, SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._exported += len(spans)
            self._trouble = ""
        else:
            self._failed += len(spans)
        return result

    def note_trouble(self, sentence: str) -> None:
        """Note what the exporter says of a failure."""
        self._trouble = _LOGIN.sub("***@", sentence)[:_TROUBLE_CHARS_MAX]

    def counts(self) -> SpanCounts:
        """Return the numbers so far."""
        return SpanCounts(self._recorded, self._exported, self._failed + self._dropped, self._trouble)

    def shutdown(self) -> None:
        """See `SpanExporter.shutdown`."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanExporter.force_flush`."""
        return self._inner.force_flush(timeout_millis)


class _Hushed(logging.Handler):
    """Handler that takes the library's lines: one for each failed export, where ours is one a minute."""

    def __init__(self, told: CountingExporter) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the last line as the reason of a loss."""
        self._told.note_trouble(record.getMessage())


def open_spans(
    tracing: TracingSettings, process: str, version: str, environ: Mapping[str, str] = os.environ
) -> OtelSpans:
    """Return an exporter of spans, connected at its first export; `process` names it where nothing else does."""
    batches, counted = _batches(tracing, environ)
    return opened(tracing, process, version, batches, counted, environ)


@contextlib.contextmanager
def tracing_this_process(
    tracing: TracingSettings, process: str, version: str, environ: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Trace what this process does as a client, as a service's own tracing would; for a verb that sends and ends."""
    resource = Resource.create(_named(process, version, environ))
    provider = TracerProvider(sampler=sampler_of(tracing), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(_batches(tracing, environ)[0])
    set_tracer_provider(provider)
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(LAST_SPANS_WITHIN_S)


def _batches(tracing: TracingSettings, environ: Mapping[str, str]) -> tuple[BatchSpanProcessor, CountingExporter]:
    """Return the queue before the collector, and the counter behind it; the library's own log lines are kept there."""
    logging.getLogger("opentelemetry.util.re").addFilter(_masked)
    exporter = OTLPSpanExporter(endpoint=tracing.url, headers=tracing.given_headers or None, session=bounded_session())
    batching = SpanBatching.of(environ, content=tracing.content)
    counted = CountingExporter(exporter, queue_max=batching.queue_max)
    batches = BatchSpanProcessor(
        counted,
        max_queue_size=batching.queue_max,
        schedule_delay_millis=batching.every_ms,
        max_export_batch_size=batching.batch_max,
        export_timeout_millis=_UNUSED_MS,
    )
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers[:] = [_Hushed(counted)]
    logging.getLogger("opentelemetry.sdk").setLevel(logging.ERROR)  # a line for each span that the queue drops
    return batches, counted


def _masked(record: logging.LogRecord) -> bool:
    """Keep the headers' text out of the library's line on malformed ones: it holds the collector's password."""
    record.args = tuple("***" for _ in record.args or ())
    return True


def opened(  # noqa: PLR0913, PLR0917 — the parts that a test replaces
    tracing: TracingSettings,
    process: str,
    version: str,
    processor: SpanProcessor,
    counted: CountingExporter,
    environ: Mapping[str, str] = os.environ,
) -> OtelSpans:
    """Return an exporter on a processor of its own."""
    resource = Resource.create(_named(process, version, environ))
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=GivenIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return OtelSpans(provider, sampler_of(tracing), counted)


def _named(process: str, version: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return how this process names itself, apart from what OpenTelemetry's own variables say of it."""
    told = {"service.version": version, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    if not environ.get("OTEL_SERVICE_NAME"):
        told["service.name"] = process
    given = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {name: value for name, value in told.items() if f"{name}=" not in given}


def sampler_of(tracing: TracingSettings) -> Sampler:
    """Return the sampler of `tracing.sample`, else that of `OTEL_TRACES_SAMPLER`, else one that takes every trace."""
    if tracing.sample is not None:
        return ParentBased(TraceIdRatioBased(tracing.sample))
    return TracerProvider(shutdown_on_exit=False).sampler


def _encodable(text: str) -> str:
    """Return a text without halves of surrogate pairs, for which the encoder gives up a whole batch."""
    return text.encode(errors="replace").decode()


def _time_ns(instant_ns: int) -> int:
    return min(max(0, instant_ns), _NS_MAX)


def _above(parent: TraceContext) -> Context:
    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _span_context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([context.state]) if context.state else TraceState()
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags, trace_state=state)
