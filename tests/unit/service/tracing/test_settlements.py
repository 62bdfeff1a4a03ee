"""Spans and attributes of records by how they were settled, and of calls by what was asked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.commands import Batch, Publish, Settlement
from headrace.broker.core.events import Committed, Taken
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.observability.spans import PROCESS, SEND, Attribute
from headrace.broker.service.containment import Containment
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.publishing.records import _traced_headers
from headrace.broker.service.tracing.attributes import of_call
from headrace.broker.service.tracing.tracer import RequestTracer, TracerRules
from headrace.broker.span_ports import EndedSpan
from headrace.broker.testing.spans import MemorySpans
from headrace.broker.trace_context import context_in
from headrace.schemas.record import Record
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest, Undecodable, decode_request

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
UNREAD: Any = None
"""Content of the event, which the tracer does not read."""
TRACED = (("traceparent", PARENT.encode()),)


class Traced:
    """A tracer and one record that it has taken."""

    def __init__(self, record: Record, content: Any = None, run: int = 0) -> None:
        self.now_s = 0.0
        self.spans, self.hold = MemorySpans(), PayloadStore()
        clock = WallClock(lambda: self.now_s, lambda: AT)
        rules = TracerRules("g", "leader-1", "api.openai.com", 443)
        self.tracer = RequestTracer(self.spans, self.hold, clock, rules=rules, containment=Containment(Meter(), clock))
        source = Source(LanePartition("bulk", 2), 17)
        content = decode_request(record.value, record.headers) if content is None else content
        self.cargo = Payload(source, "g.requests.bulk", record, content, AT, AT, 0)
        self.number = self.hold.put(self.cargo)
        self.tracer._taken(Taken(self.number, source, 0, 7, UNREAD))

    def settle(self, decision: commands.Decision, *, crashed: bool = False) -> dict[str, EndedSpan]:
        """Settle it in a transaction of two seconds; return its spans by name."""
        batch = Batch(1, (Settlement(self.number, decision),), {}, (), (), ())
        self.tracer.observe_command(Publish(batch), None)
        self.now_s = 2.0
        self.tracer.observe_event(Committed(1, 0, frozenset({self.number} if crashed else ())))
        return {each.row.name(each.target): each for each in self.spans.ended}


def request(**fields: Any) -> Record:
    made = GenerationRequest(id="lead-1", body={"model": "m", "messages": []}, **fields)
    return Record(None, made.model_dump_json(exclude_unset=True).encode(), TRACED)


@pytest.mark.parametrize(
    ("decision", "topic", "decided", "reason", "error"),
    [
        (commands.Complete(), "g.results", "completed", None, ""),
        (commands.Fail("rejected", "No."), "g.results", "failed", "rejected", "rejected"),
        (commands.Fail("cancelled", "No."), "g.results", "failed", "cancelled", ""),
        (commands.Park("rate_limited", "", 0, 1, 1), "g.failures", "parked", "rate_limited", ""),
        (commands.DeadLetterOnly("undecodable", ""), "g.dead-letters", "dead_lettered", "undecodable", "undecodable"),
        (commands.Discard(), None, "duplicate", None, ""),
        (commands.Discard(returned=True), None, "returned", None, ""),
    ],
)
def test_a_record_says_what_was_decided_and_where_its_own_record_went(
    decision: commands.Decision, topic: str | None, decided: str, reason: str | None, error: str
) -> None:
    made = Traced(request()).settle(decision)
    record = made.pop("process g.requests.bulk")
    assert (record.attributes[Attribute.DECISION], record.attributes.get(Attribute.REASON)) == (decided, reason)
    assert (record.error, record.row) == (error, PROCESS)
    assert list(made) == ([] if topic is None else [f"send {topic}"])
    for sent in made.values():
        assert (sent.row, sent.parent) == (SEND, record.context)
        assert sent.end_ns - sent.start_ns == 2_000_000_000, "as long as the transaction"
        assert record.end_ns == sent.end_ns


def test_a_settlement_that_could_not_be_encoded_is_a_failure() -> None:
    record = Traced(request()).settle(commands.Complete(), crashed=True)["process g.requests.bulk"]
    assert (record.error, record.attributes[Attribute.DECISION]) == ("crashed", "failed")


def test_a_record_that_cannot_be_decoded_joins_the_trace_in_its_headers() -> None:
    traced = Traced(Record(None, b"?", TRACED))
    assert isinstance(traced.cargo.content, Undecodable)
    record = traced.settle(commands.DeadLetterOnly("undecodable", ""))["process g.requests.bulk"]
    assert record.parent is not None
    assert record.parent.traceparent == PARENT


def test_a_replay_has_its_number() -> None:
    content = DecodedRequest(GenerationRequest(id="lead-1", body={"model": "m"}), run=3)
    made = Traced(Record(None, b"", TRACED), content).settle(commands.Complete())
    assert made["process g.requests.bulk"].attributes[Attribute.RUN] == 3


def test_a_clock_that_is_set_back_gives_no_span_that_ends_before_it_began() -> None:
    traced = Traced(request())
    assert traced.cargo.trace is not None
    traced.cargo.trace.appended_ns += 10**12
    record = traced.settle(commands.Complete())["process g.requests.bulk"]
    assert record.end_ns == record.start_ns


@pytest.mark.parametrize(
    ("body", "number", "given"),
    [
        ({"max_tokens": 50, "service_tier": "flex"}, 3, {"max": 50, "tier": "flex", "resent": 2}),
        ({"max_tokens": -1}, 1, {"max": None, "tier": None, "resent": None}),
        ({"max_tokens": 10**16}, 1, {"max": None, "tier": None, "resent": None}),
        ({"max_tokens": True}, 1, {"max": None, "tier": None, "resent": None}),
    ],
)
def test_a_call_has_the_bound_the_tier_and_the_number_that_were_asked_for(
    body: dict[str, Any], number: int, given: dict[str, Any]
) -> None:
    asked = GenerationRequest(id="lead-1", body={"model": "m", **body})
    cargo = Traced(request()).cargo
    found = of_call(asked, cargo, number)
    assert {
        "max": found.get(Attribute.REQUEST_MAX_TOKENS),
        "tier": found.get(Attribute.REQUEST_TIER),
        "resent": found.get(Attribute.RESEND_COUNT),
    } == given


def test_a_trace_that_began_here_replaces_a_header_that_was_none() -> None:
    traced = Traced(Record(None, request().value, (("traceparent", b"nonsense"), ("tracestate", b"x=1"), ("a", b"b"))))
    assert traced.cargo.trace is not None
    headers = _traced_headers(traced.cargo, tuple(traced.cargo.record.headers))
    assert [name for name, _ in headers] == ["a", "traceparent"]
    assert context_in(headers) == traced.cargo.trace.process


def test_a_trace_that_its_producer_began_keeps_its_header() -> None:
    traced = Traced(Record(None, request().value, TRACED))
    assert traced.cargo.trace is not None
    assert traced.cargo.trace.parent is not None
    headers = tuple(traced.cargo.record.headers)
    assert _traced_headers(traced.cargo, headers) == headers == tuple(TRACED)


def test_the_wait_begins_as_the_record_was_appended() -> None:
    traced = Traced(request())
    traced.cargo.submitted_at = AT - timedelta(seconds=5)
    traced.tracer._taken(Taken(traced.number, traced.cargo.source, 0, 7, UNREAD))
    assert traced.cargo.trace is not None
    assert traced.cargo.trace.taken_ns - traced.cargo.trace.wait_from_ns == 5_000_000_000
