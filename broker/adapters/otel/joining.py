"""Spans of producers and readers: they join the tracing of the service that imports them, through the API alone.

A service that traces has loaded OpenTelemetry; in one that has not there is nothing to join, and nothing is loaded. The
exporter, its sampler and its settings are the service's own.

The context is written and read as W3C headers whatever propagator the service uses: that is what Headrace reads. A
trace context that the service put into a record itself is left as it is, and no span is made of its sending.

Nothing raises: an exception of the service's tracing, such as of a span processor of its own, costs a span. It must not
make a request look unsent that Kafka has, nor an outcome unhandled.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from headrace.broker.observability.spans import PROCESS, SCHEMA_URL, SCOPE, SEND, Attribute, SpanRow, messaging
from headrace.broker.trace_context import TraceContext, context_in, valid_state
from headrace.schemas.headers import TRACEPARENT
from headrace.schemas.record import Headers

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_API = "opentelemetry.trace"


class SendingSpan:
    """Span of one record on its way to Kafka; `headers` carry its context."""

    __slots__ = ("_span", "headers")

    def __init__(self, span: "Span | None", headers: Headers = ()) -> None:
        self._span = span
        self.headers = tuple(headers)

    def sent(self, partition: int, offset: int) -> None:
        """End it: Kafka has the record."""
        span, self._span = self._span, None
        if span is not None:
            with _costs_a_span():
                span.set_attribute(Attribute.PARTITION.value, str(partition))
                span.set_attribute(Attribute.OFFSET.value, offset)
                span.end()

    def failed(self, error: BaseException) -> None:
        """End it: the record may not be there. The error's text stays out: it may quote a setting."""
        span, self._span = self._span, None
        if span is not None:
            with _costs_a_span():
                _fail(span, error)
                span.end()


UNTRACED = SendingSpan(None)


def sending(topic: str, request_id: str, headers: Headers) -> SendingSpan:
    """Begin the span of a record that is about to be sent; `UNTRACED` where the service does not trace."""
    if _API not in sys.modules or any(name == TRACEPARENT for name, _ in headers):
        return UNTRACED
    with _costs_a_span():
        return _sending(topic, request_id)
    return UNTRACED


def _sending(topic: str, request_id: str) -> SendingSpan:
    span = _tracer().start_span(
        SEND.name(topic),
        kind=_kind(SEND),
        attributes={**messaging(topic, SEND), Attribute.MESSAGE_ID: request_id},
    )
    context = span.get_span_context()
    if not context.is_valid:
        return UNTRACED
    state = valid_state(context.trace_state.to_header())
    given = TraceContext(context.trace_id, context.span_id, bool(context.trace_flags.sampled), state)
    return SendingSpan(span, given.headers)


class ProcessingSpan:
    """Span of one outcome in the hands of the service; the service's own spans become its children."""

    __slots__ = ("_before", "_context", "_span")

    def __init__(self, span: "Span", before: "Context", context: "Context") -> None:
        self._span = span
        self._before = before
        self._context = context

    def end(self, error: BaseException | None = None) -> None:
        """End it, and give the service back the context that it had before, unless it has set another one since."""
        from opentelemetry import context as contexts  # noqa: PLC0415 — loaded already, or there is no span

        with _costs_a_span():
            if error is not None:
                _fail(self._span, error)
            self._span.end()
        if contexts.get_current() is self._context:
            contexts.attach(self._before)


def processing(
    topic: str, headers: Headers, more: Mapping[Attribute, str | int] | None = None
) -> ProcessingSpan | None:
    """Begin the span of an outcome that the service gets now, and make it current; None where there is no trace.

    The sender's span is its parent; what the service was doing meanwhile is linked.
    """
    if _API not in sys.modules:
        return None
    with _costs_a_span():
        return _processing(topic, headers, more or {})
    return None


def _processing(topic: str, headers: Headers, more: Mapping[Attribute, str | int]) -> ProcessingSpan | None:
    from opentelemetry import context as contexts  # noqa: PLC0415 — loaded already
    from opentelemetry import trace  # noqa: PLC0415 — same

    sender = context_in(headers)
    if sender is None:
        return None
    before, around = contexts.get_current(), trace.get_current_span().get_span_context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sender.sampled else trace.TraceFlags.DEFAULT)
    state = trace.TraceState.from_header([sender.state]) if sender.state else trace.TraceState()
    remote = trace.SpanContext(sender.trace_id, sender.span_id, is_remote=True, trace_flags=flags, trace_state=state)
    span = _tracer().start_span(
        PROCESS.name(topic),
        context=trace.set_span_in_context(trace.NonRecordingSpan(remote), before),
        kind=_kind(PROCESS),
        attributes={**messaging(topic, PROCESS), **{name.value: value for name, value in more.items()}},
        links=[trace.Link(around)] if around.is_valid else [],
    )
    current = trace.set_span_in_context(span, before)
    contexts.attach(current)
    return ProcessingSpan(span, before, current)


@contextlib.contextmanager
def handling(topic: str, headers: Headers, more: Mapping[Attribute, str | int] | None = None) -> Iterator[None]:
    """Handle an outcome within its span."""
    span = processing(topic, headers, more)
    if span is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        span.end(error)
        raise
    else:
        span.end()


def _costs_a_span() -> contextlib.suppress:
    return contextlib.suppress(Exception)


def _tracer() -> "Tracer":
    from opentelemetry import trace  # noqa: PLC0415 — loaded already

    return trace.get_tracer(SCOPE, schema_url=SCHEMA_URL)


def _kind(row: SpanRow) -> Any:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 — loaded already

    return SpanKind[row.kind.value]


def _fail(span: "Span", error: BaseException) -> None:
    from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415 — loaded already

    span.set_attribute(Attribute.ERROR_TYPE.value, type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
