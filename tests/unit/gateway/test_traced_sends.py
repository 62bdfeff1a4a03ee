"""Spans of records that a gateway sends: children of what the record names, and carried by the record."""

import pytest

from headrace.broker.client_ports import Appended, Pending, SubmitLog
from headrace.broker.errors import LogUnavailable
from headrace.broker.gateway.traced_sends import TracedSubmitLog
from headrace.broker.observability.spans import SEND, Attribute
from headrace.broker.testing.spans import MemorySpans
from headrace.broker.trace_context import context_in, read_context
from headrace.schemas.record import Record

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Sent(SubmitLog):
    """Keeps what it is given; fails if told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.records: list[Record] = []
        self.failure = failure

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        self.records.append(record)
        if self.failure is not None:
            raise self.failure
        return Appended(topic, 3, 41, 0)

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        return Waiting(self, topic, record)

    async def check(self, topic: str) -> None: ...

    async def close(self) -> None: ...


class Waiting(Pending):
    def __init__(self, log: Sent, topic: str, record: Record) -> None:
        self.given = log, topic, record

    async def wait(self, *, timeout_s: float) -> Appended:
        log, topic, record = self.given
        return await log.append(topic, record, timeout_s=timeout_s)


def record(traceparent: str | None = PARENT) -> Record:
    headers = () if traceparent is None else (("traceparent", traceparent.encode()),)
    return Record(key=b"acme/lead-1", value=b"{}", headers=(("other", b"kept"), *headers))


@pytest.mark.parametrize("way", ["append", "begin"])
async def test_a_record_carries_the_context_of_its_own_sending(way: str) -> None:
    inner, spans = Sent(), MemorySpans()
    log = TracedSubmitLog(inner, spans)
    if way == "append":
        await log.append("leads.requests.urgent", record(), timeout_s=1)
    else:
        await (await log.begin("leads.requests.urgent", record(), timeout_s=1)).wait(timeout_s=1)
    [span], [sent] = spans.ended, inner.records
    assert span.parent == read_context(PARENT)
    assert context_in(sent.headers) == span.context != span.parent
    assert (span.row, span.target, span.error) == (SEND, "leads.requests.urgent", "")
    assert span.attributes[Attribute.PARTITION] == "3"
    assert span.attributes[Attribute.MESSAGE_ID] == "acme/lead-1"
    assert dict(sent.headers)["other"] == b"kept"
    assert len(sent.headers) == 2, "one context, not two"


async def test_a_record_that_kafka_did_not_take_has_a_span_that_says_so() -> None:
    spans = MemorySpans()
    log = TracedSubmitLog(Sent(LogUnavailable("Kafka does not answer.")), spans)
    with pytest.raises(LogUnavailable):
        await log.append("leads.requests.urgent", record(), timeout_s=1)
    assert [span.error for span in spans.ended] == ["LogUnavailable"]


async def test_a_record_without_a_context_is_sent_as_it_is() -> None:
    """Records beside the lanes, such as those of joins, belong to no trace of their own."""
    inner, spans = Sent(), MemorySpans()
    await TracedSubmitLog(inner, spans).append("leads.calls", record(None), timeout_s=1)
    assert (inner.records, spans.ended) == ([record(None)], [])
