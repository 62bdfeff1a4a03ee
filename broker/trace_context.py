"""W3C trace context of a request, and the ids of the spans that belong to it.

The ids of a dispatcher's spans are derived from the trace and from the record's position. A leader that is killed takes
its unfinished spans with it; its successor takes the same record and derives the same ids, so that what the first one
has exported still has its parent, and the span of the lost call can be written by the second one.

Headers are untrusted input: what is not a trace context by the recommendation counts as none, and nothing raises.
"""

import hashlib
import re
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final

from headrace.schemas.headers import TRACEPARENT, TRACESTATE
from headrace.schemas.record import Headers

STATE_CHARS_MAX: Final = 512
STATE_MEMBERS_MAX: Final = 32
"""W3C Trace Context asks that at least this be carried on; a longer list is dropped as a whole."""

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_MEMBER: Final = re.compile(
    r"[a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z][a-z0-9_\-*/]{0,13})?=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Position in a trace: what continues it makes children of `span_id`."""

    trace_id: int
    span_id: int
    sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """Text of the header `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"

    @property
    def trace_name(self) -> str:
        """Trace id as all tools write it: 32 hexadecimal digits."""
        return f"{self.trace_id:032x}"

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Headers of a record that carries it."""
        state = (("tracestate", self.state.encode()),) if self.state else ()
        return (("traceparent", self.traceparent.encode()), *state)

    def derived(self, *parts: object) -> "TraceContext":
        """Return the context of the span that these parts identify in this trace; the same for the same parts."""
        return replace(self, span_id=_hashed(8, self.trace_id, self.span_id, *parts))


calling: ContextVar[TraceContext | None] = ContextVar("calling", default=None)
"""Context of the call that the present task makes; None: it is not traced, and no header goes out."""


def read_context(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Return the context that two headers carry; None if there is none, or none that the recommendation allows."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    sampled = bool(int(found[4], 16) & _SAMPLED)
    return TraceContext(int(found[2], 16), int(found[3], 16), sampled, valid_state(tracestate))


def context_in(headers: Headers) -> TraceContext | None:
    """Return the context in a record's headers; of a repeated header the last one counts."""
    given = dict(headers)
    return read_context(_text(given.get(TRACEPARENT)), _text(given.get(TRACESTATE)))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def valid_state(tracestate: str | None) -> str:
    """Return a `tracestate` that may be carried on; empty if it is malformed, too long, or names a key twice."""
    if not tracestate or len(tracestate) > STATE_CHARS_MAX:
        return ""
    members = [member.strip(" \t") for member in tracestate.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > STATE_MEMBERS_MAX or len(keys) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)


def new_trace_id(*parts: object) -> int:
    """Return the id of the trace that begins with what these parts identify: a successor derives the same."""
    return _hashed(16, *parts)


def _hashed(size: int, *parts: object) -> int:
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(errors="replace"), digest_size=size).digest()
    return int.from_bytes(digest) or 1  # all zeros is no id
