"""Doors of a gateway that traces: each record on its way to Kafka has a span, the child of what its record names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import randbits

from headrace.broker.client_ports import (
    AnswerLog,
    Appended,
    GatewayDoors,
    HomeAnswers,
    KeyedLog,
    OutcomeLog,
    Pending,
    ScanLog,
    Start,
    SubmitLog,
)
from headrace.broker.observability.spans import SEND, Attribute, messaging
from headrace.broker.span_ports import EndedSpan, Spans, Value
from headrace.broker.trace_context import TraceContext, context_in
from headrace.schemas.headers import TRACEPARENT, TRACESTATE
from headrace.schemas.record import Record


@dataclass(eq=False)
class _Sending:
    """Span of one record until Kafka has it."""

    spans: Spans
    topic: str
    key: str
    parent: TraceContext
    context: TraceContext
    start_ns: int = field(default_factory=time.time_ns)

    def end(self, appended: Appended | None, error: str = "") -> None:
        given: dict[str, Value] = {**messaging(self.topic, SEND), Attribute.MESSAGE_ID: self.key}
        if appended is not None:
            given |= {Attribute.PARTITION: str(appended.partition), Attribute.OFFSET: appended.offset}
        self.spans.record(
            EndedSpan(SEND, self.topic, self.context, self.parent, self.start_ns, time.time_ns(), given, error=error)
        )

    @contextmanager
    def until_known(self) -> Iterator[list[Appended]]:
        """End the span as the block ends: well if the block has noted the record's position."""
        noted: list[Appended] = []
        try:
            yield noted
        except BaseException as error:
            self.end(None, type(error).__name__)
            raise
        self.end(noted[0])


@dataclass(eq=False)
class _TracedPending:
    """A `Pending` record with its span."""

    pending: Pending
    sending: _Sending

    async def wait(self, *, timeout_s: float) -> Appended:
        """See `Pending.wait`."""
        with self.sending.until_known() as noted:
            noted.append(await self.pending.wait(timeout_s=timeout_s))
        return noted[0]


@dataclass(eq=False)
class TracedSubmitLog:
    """A `SubmitLog` that makes a span of each record with a trace context."""

    log: SubmitLog
    spans: Spans

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        """See `SubmitLog.append`."""
        sending, carried = self._begun(topic, record)
        if sending is None:
            return await self.log.append(topic, record, timeout_s=timeout_s)
        with sending.until_known() as noted:
            noted.append(await self.log.append(topic, carried, timeout_s=timeout_s))
        return noted[0]

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        """See `SubmitLog.begin`."""
        sending, carried = self._begun(topic, record)
        if sending is None:
            return await self.log.begin(topic, record, timeout_s=timeout_s)
        try:
            pending = await self.log.begin(topic, carried, timeout_s=timeout_s)
        except BaseException as error:
            sending.end(None, type(error).__name__)
            raise
        return _TracedPending(pending, sending)

    async def check(self, topic: str) -> None:
        """See `SubmitLog.check`."""
        await self.log.check(topic)

    async def close(self) -> None:
        """See `SubmitLog.close`."""
        await self.log.close()

    def _begun(self, topic: str, record: Record) -> tuple[_Sending | None, Record]:
        """Begin a span; return it and the record, whose context is then the span's."""
        parent = context_in(record.headers)
        if parent is None:
            return None, record
        context = replace(parent, span_id=randbits(64) or 1)
        kept = [(name, value) for name, value in record.headers if name not in {TRACEPARENT, TRACESTATE}]
        carried = replace(record, headers=(*kept, *context.headers))
        key = (record.key or b"").decode(errors="replace")
        return _Sending(self.spans, topic, key, parent, context), carried


@dataclass(frozen=True, slots=True)
class TracedDoors:
    """A `GatewayDoors` whose producers are traced."""

    doors: GatewayDoors
    spans: Spans

    def submissions(self) -> SubmitLog:
        """See `ClientDoors.submissions`."""
        return TracedSubmitLog(self.doors.submissions(), self.spans)

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        """See `ClientDoors.answers`."""
        return self.doors.answers(topic, read_back_s=read_back_s)

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> OutcomeLog:
        """See `ClientDoors.outcomes`."""
        return self.doors.outcomes(topic, group=group, start=start)

    def scan(self, topic: str, *, since: datetime | None) -> ScanLog:
        """See `ClientDoors.scan`."""
        return self.doors.scan(topic, since=since)

    def home_answers(self, topic: str, *, read_back_s: float) -> HomeAnswers:
        """See `GatewayDoors.home_answers`."""
        return self.doors.home_answers(topic, read_back_s=read_back_s)

    def keyed(self, topic: str) -> KeyedLog:
        """See `GatewayDoors.keyed`."""
        return self.doors.keyed(topic)
