"""Spans kept in memory: what a dispatcher and a retrier would export."""

from headrace.broker.observability.spans import SpanRow
from headrace.broker.span_ports import EndedSpan, SpanCounts
from headrace.broker.trace_context import TraceContext


class MemorySpans:
    """A `Spans` port that exports nothing; a trace that no producer has decided on is sampled if `samples` is true."""

    def __init__(self, *, samples: bool = True) -> None:
        self.samples = samples
        self.ended: list[EndedSpan] = []

    def sampled(self, parent: TraceContext | None, trace_id: int, row: SpanRow, target: str) -> bool:
        """See `headrace.broker.span_ports.Spans.sampled`."""
        return self.samples if parent is None else parent.sampled

    def record(self, span: EndedSpan) -> None:
        """See `headrace.broker.span_ports.Spans.record`."""
        if span.context.sampled:
            self.ended.append(span)

    def counts(self) -> SpanCounts:
        """See `headrace.broker.span_ports.Spans.counts`."""
        return SpanCounts(len(self.ended), len(self.ended))

    async def close(self, within_s: float) -> None:
        """See `headrace.broker.span_ports.Spans.close`."""
