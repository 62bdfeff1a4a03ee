"""Protocol between the processes and a tracing library, and the shape of the spans that pass through it.

A span is handed over once it has ended, with its ids and both of its times: nothing is kept in the library meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace.broker.observability.spans import SpanRow
from headrace.broker.trace_context import TraceContext

Value = str | bool | int | float | Sequence[str]
"""Value of an attribute."""


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """One span, ended; times are nanoseconds since 1970.

    Attributes:
        context: Its own trace and span id.
        parent: Context of its parent; None: it is the first of its trace.
        target: What its name says it works on.
        error: Why it failed, as `error.type`; empty: it did not.
        sentence: A description of that failure, in our own words.
        links: Contexts of other spans that it belongs to.
    """

    row: SpanRow
    target: str
    context: TraceContext
    parent: TraceContext | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""
    sentence: str = ""
    links: Sequence[TraceContext] = ()


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """Numbers of spans since the start: handed over, taken by the collector, and lost."""

    recorded: int = 0
    exported: int = 0
    lost: int = 0
    trouble: str = ""


class Spans(Protocol):
    """Exporter of spans; only spans of sampled traces are handed to it. No method waits, and none raises."""

    def sampled(self, parent: TraceContext | None, trace_id: int, row: SpanRow, target: str) -> bool:
        """Whether a trace is exported, as the sampler decides; the same for the same trace and parent."""

    def record(self, span: EndedSpan) -> None:
        """Hand an ended span over."""

    def counts(self) -> SpanCounts:
        """Return what has become of the spans so far."""

    async def close(self, within_s: float) -> None:
        """Export what is left if the collector takes it in that time; the rest is lost."""
