"""Spans of a parked request on its way back: in the trace of its headers, and with ids of its failure's position."""

from datetime import UTC, datetime

from headrace.broker.clock import WallClock
from headrace.broker.observability.spans import PROCESS, SEND, Attribute
from headrace.broker.ports import Fetched, Outgoing
from headrace.broker.testing.spans import MemorySpans
from headrace.consumers.retries.retry_spans import RetrySpans
from headrace.schemas.record import Record

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1_000)


def moved(*places: tuple[int, int], flags: str = "01", parked_at_ms: int = AT_MS - 5_000) -> MemorySpans:
    spans = MemorySpans()
    record = Record(None, b"{}", (("traceparent", f"00-{'a' * 32}-{'b' * 16}-{flags}".encode()),))
    maker = RetrySpans(spans, "g.failures", WallClock(lambda: 0.0, lambda: AT))
    for place in places:
        fetched = Fetched(place[1], parked_at_ms, Record(None, b"{}"))
        maker.moved(place, fetched, Outgoing("g.requests.bulk", record), "rate_limited")
    return spans


def test_the_time_in_the_failures_topic_is_a_span_with_its_reason_and_its_place() -> None:
    process, send = moved((2, 7)).ended
    assert (process.row, process.target, send.row, send.target) == (PROCESS, "g.failures", SEND, "g.requests.bulk")
    assert process.parent is not None
    assert (process.parent.span_id, send.parent) == (int("b" * 16, 16), process.context)
    assert (process.end_ns - process.start_ns, send.end_ns - send.start_ns) == (5_000_000_000, 0)
    assert process.attributes == {
        Attribute.SYSTEM: "kafka",
        Attribute.DESTINATION: "g.failures",
        Attribute.OPERATION: "process",
        Attribute.OPERATION_TYPE: "process",
        Attribute.PARTITION: "2",
        Attribute.OFFSET: 7,
        Attribute.REASON: "rate_limited",
    }


def test_each_return_has_ids_of_its_own_and_a_record_that_is_moved_twice_the_same() -> None:
    ids = [each.context.span_id for each in moved((2, 7), (2, 8), (3, 7), (2, 7)).ended if each.row is PROCESS]
    assert (len(set(ids)), ids[0]) == (3, ids[3])


def test_a_record_of_a_clock_ahead_gives_no_span_that_ends_before_it_began() -> None:
    process, _ = moved((0, 0), parked_at_ms=AT_MS + 60_000).ended
    assert process.start_ns == process.end_ns


def test_a_trace_that_its_producer_does_not_export_has_no_spans() -> None:
    assert not moved((0, 0), flags="00").ended
