"""What is noted of one traced request while it is held: its place in the trace, and the facts of its present call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.trace_context import TraceContext, context_in, new_trace_id, read_context
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable

_NAME_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class ResponseFacts:
    """Facts of one answer; `body` is kept only where its content is exported."""

    model: str = ""
    id: str = ""
    body: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any], *, content: bool) -> "ResponseFacts":
        """Read an answer; any server may have written it."""
        return cls(shown_name(answer.get("model")), shown_name(answer.get("id")), answer if content else None)


NO_RESPONSE: Final = ResponseFacts()


@dataclass(slots=True)
class RequestTrace:
    """The trace of one record, from its taking until it is settled.

    Attributes:
        parent: Context that its producer gave it; None: the trace begins here.
        process: Context of the span of the whole record, to which all others here belong.
        wait_from_ns: Since when it waits for its next call.
        waits_for: Why it was not answered yet: the verdict of the call before; empty before the first.
        call: Context of its present or last call.
        response: Facts of that call's answer.
    """

    parent: TraceContext | None
    process: TraceContext
    appended_ns: int
    taken_ns: int
    wait_from_ns: int
    waits_for: str = ""
    call: TraceContext | None = None
    call_began_ns: int = 0
    response: ResponseFacts = NO_RESPONSE

    @property
    def sampled(self) -> bool:
        """Whether its spans are exported."""
        return self.process.sampled

    @property
    def send(self) -> TraceContext:
        """Context of the record that settles it: a reader of that record continues there."""
        return self.process.derived("send")

    @property
    def exemplar(self) -> str | None:
        """Trace id for an exemplar; None for a trace that is not exported, which would lead nowhere."""
        return self.process.trace_name if self.process.sampled else None


def context_of(record: Record, content: object, seed: tuple[object, ...]) -> tuple[TraceContext | None, int]:
    """Return the context that a record's producer gave it, and its trace id, which is derived where there is none.

    A record that could not be decoded is asked for its headers alone.
    """
    if isinstance(content, DecodedRequest):
        parent = read_context(content.traceparent, content.tracestate)
    else:
        parent = context_in(record.headers) if isinstance(content, Undecodable) else None
    return parent, new_trace_id(*seed) if parent is None else parent.trace_id


def shown_name(value: object) -> str:
    """Return a name of a producer's or a server's as a span may have it: short, and encodable."""
    return value[:_NAME_CHARS_MAX].encode(errors="replace").decode() if isinstance(value, str) else ""
