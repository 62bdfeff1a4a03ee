"""Tracer of a dispatcher's requests: it observes every command and event, and hands over the spans that have ended.

A span of a record is made when its settlement is committed, with the times noted before: nothing half made is held for
a request that waits for hours, and a leader that never commits writes none. Each id is derived, so that the headers of
an outcome and of a call can name spans that are yet to come.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.events import Committed, Event, LedgerRead, Promoted, Taken
from headrace.broker.core.ticket import CONTROL, TicketNumber
from headrace.broker.observability.spans import PROCESS, SEND, WAIT, Attribute, SpanRow, messaging
from headrace.broker.service.containment import Containment, surviving
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.tracing import attributes
from headrace.broker.service.tracing.content import input_messages, output_messages
from headrace.broker.service.tracing.lost_calls import LostCalls
from headrace.broker.service.tracing.request_trace import NO_RESPONSE, RequestTrace, context_of, shown_name
from headrace.broker.span_ports import EndedSpan, Spans, Value
from headrace.broker.trace_context import TraceContext, calling
from headrace.schemas import topics
from headrace.schemas.ids import id_hash
from headrace.schemas.request_codec import DecodedRequest

_NS_PER_MS = 1_000_000
_LOST = "leader_lost"
_LOST_SENTENCE = "The leader died during this call; its successor wrote this span, with the times of the ledger."


@dataclass(frozen=True, slots=True)
class TracerRules:
    """What the tracer must know of the process: its topics, its token, the server that it calls, and its privacy."""

    topic_prefix: str
    owner: str
    server_address: str
    server_port: int
    content: bool = False


class RequestTracer:
    """Observer of the core that notes a trace for each record, and makes its spans; no method raises."""

    def __init__(
        self, spans: Spans, hold: PayloadStore, clock: WallClock, *, rules: TracerRules, containment: Containment
    ) -> None:
        """`containment` counts exceptions in here, which end nothing but a span."""
        self.containment = containment
        self.spans = spans
        self.rules = rules
        self._hold = hold
        self._clock = clock
        self._lost = LostCalls()
        self._led_since_ns = 0
        self._pending: dict[int, tuple[commands.Batch, int]] = {}

    # ------------------------------------------------------------------ what the core is told and says

    def observe_event(self, event: Event) -> None:
        """Observe an event just before the core does."""
        if type(event) is Taken:
            self._taken(event)
        elif type(event) is Committed:
            self._committed(event)
        elif type(event) is LedgerRead:
            self._lost.observe(event)
        elif type(event) is Promoted:
            self._led_since_ns = self._now_ns()

    def observe_command(self, command: commands.Command, cargo: Payload | None) -> None:
        """Observe a command just before it is carried out."""
        if type(command) is commands.Publish:
            self._pending = {command.batch.serial: (command.batch, self._now_ns())}
        elif type(command) is commands.Call and cargo is not None:
            self._waited(command, cargo)

    @surviving("tracing")
    def _taken(self, event: Taken) -> None:
        cargo = self._hold[event.number]
        if event.source.partition.lane == CONTROL:
            return
        place = (cargo.topic, event.source.partition.number, event.source.offset)
        parent, trace_id = context_of(cargo.record, cargo.content, (*place, event.timestamp_ms))
        sampled = self.spans.sampled(parent, trace_id, PROCESS, cargo.topic)
        state = "" if parent is None else parent.state
        process = TraceContext(trace_id, 0, sampled, state).derived("process", *place)
        taken_ns = _ns(cargo.taken_at)
        # a record of the retrier has the timestamp of its first submission, and the parked time a span of its own
        returned = isinstance(cargo.content, DecodedRequest) and cargo.content.attempt > 0
        appended_ns = taken_ns if returned else min(taken_ns, _ns(cargo.submitted_at))
        cargo.trace = RequestTrace(parent, process, appended_ns, taken_ns, appended_ns)

    @surviving("tracing")
    def _waited(self, command: commands.Call, cargo: Payload) -> None:
        trace, now_ns = cargo.trace, self._now_ns()
        if trace is None or not trace.sampled:
            return
        lane = cargo.source.partition.lane
        given: dict[str, Value] = {
            Attribute.LANE: lane,
            Attribute.LIMIT: shown_name(cargo.limit),
            Attribute.IN_KAFKA_MS: max(0, trace.taken_ns - trace.wait_from_ns) // _NS_PER_MS,
            Attribute.IN_QUEUE_MS: max(0, now_ns - max(trace.taken_ns, trace.wait_from_ns)) // _NS_PER_MS,
        }
        if trace.waits_for:
            given[Attribute.REASON] = trace.waits_for
        if command.repeated:
            given[Attribute.REPEATED] = True
            self._write_lost_call(cargo, trace)
        context = trace.process.derived("wait", self.rules.owner, command.calls)
        self._record(WAIT, lane, context, trace.process, (trace.wait_from_ns, now_ns), given)

    def _write_lost_call(self, cargo: Payload, trace: RequestTrace) -> None:
        """Write the span of the call that died with its leader, as far as the ledger knows it."""
        content = cargo.content
        if not isinstance(content, DecodedRequest):
            return
        lost = self._lost.take((id_hash(content.request.id), content.run))
        if lost is None:
            return
        given = attributes.of_call(content.request, cargo, lost.attempt) | self._server() | {Attribute.LOST: True}
        began_ns = lost.at_ms * _NS_PER_MS
        ended_ns = max(began_ns, self._led_since_ns)
        self._record(
            attributes.call_row(content.request),
            shown_name(content.request.model),
            _call_context(trace, lost.owner, lost.attempt),
            trace.process,
            (began_ns, ended_ns),
            given,
            error=(_LOST, _LOST_SENTENCE),
        )

    # ------------------------------------------------------------------ calls

    @contextlib.contextmanager
    def calling(self, command: commands.Call, cargo: Payload) -> Iterator["CallSpan"]:
        """Make one call of a request: its context goes out with it, and its span is handed over when it has ended."""
        span, token = CallSpan(self, command, cargo, self._now_ns()), None
        if cargo.trace is not None and isinstance(cargo.content, DecodedRequest):
            number = cargo.content.calls_before + command.calls
            cargo.trace.call = _call_context(cargo.trace, self.rules.owner, number)
            token = calling.set(cargo.trace.call)
        try:
            yield span
        except Exception:
            span.error = "crashed", "A defect in the dispatcher ended this call."
            raise
        finally:
            if token is not None:
                calling.reset(token)
            self._called(span)

    @surviving("tracing")
    def _called(self, span: "CallSpan") -> None:
        cargo, verdict, now_ns = span.cargo, span.verdict, self._now_ns()
        trace, content = cargo.trace, cargo.content
        if trace is None or trace.call is None or not isinstance(content, DecodedRequest):
            return
        trace.wait_from_ns = now_ns
        trace.waits_for = span.error[0] if verdict is None else verdict.meaning.value
        response, trace.response = trace.response, NO_RESPONSE
        if not trace.sampled:
            return
        request, number = content.request, content.calls_before + span.command.calls
        given = attributes.of_call(request, cargo, number) | self._server() | {Attribute.CHARGE: cargo.charge}
        error = span.error
        if verdict is not None:
            given |= attributes.of_answer(cargo, verdict, response)
            error = ("", "") if verdict.meaning is Meaning.OK else (verdict.meaning.value, verdict.sentence)
        if span.command.repeated:
            given[Attribute.REPEATED] = True
        if self.rules.content:
            given[Attribute.INPUT_MESSAGES] = input_messages(request.body)
            if response.body is not None:
                given[Attribute.OUTPUT_MESSAGES] = output_messages(response.body)
        row, model = attributes.call_row(request), shown_name(request.model)
        self._record(row, model, trace.call, trace.process, (span.began_ns, now_ns), given, error=error)

    # ------------------------------------------------------------------ settlements

    @surviving("tracing")
    def _committed(self, event: Committed) -> None:
        batch, begun_ns = self._pending.pop(event.serial, (None, 0))
        for settlement in batch.settlements if batch else ():
            crashed = settlement.number in event.crashed
            decision = commands.Fail("crashed", "") if crashed else settlement.decision
            self._settled(settlement.number, decision, begun_ns)

    @surviving("tracing")
    def _settled(self, number: TicketNumber, decision: commands.Decision, begun_ns: int) -> None:
        cargo = self._hold.get(number)
        trace = None if cargo is None else cargo.trace
        if cargo is None or trace is None or not trace.sampled:
            return
        now_ns, topic = self._now_ns(), self._topic_of(decision)
        if topic is not None:
            given: dict[str, Value] = {**messaging(topic, SEND)}
            if isinstance(cargo.content, DecodedRequest):
                given[Attribute.MESSAGE_ID] = cargo.content.request.id
            self._record(SEND, topic, trace.send, trace.process, (begun_ns, now_ns), given)
        given = attributes.of_record(cargo) | attributes.of_decision(decision)
        error = ("", "")
        if isinstance(decision, commands.Fail | commands.DeadLetterOnly) and decision.reason != "cancelled":
            error = decision.reason, decision.sentence
        self._record(PROCESS, cargo.topic, trace.process, trace.parent, (trace.appended_ns, now_ns), given, error=error)

    def _topic_of(self, decision: commands.Decision) -> str | None:
        prefix = self.rules.topic_prefix
        match decision:
            case commands.Complete() | commands.Fail():
                return topics.results_topic(prefix)
            case commands.Park():
                return topics.failures_topic(prefix)
            case commands.DeadLetterOnly():
                return topics.dead_letters_topic(prefix)
            case _:
                return None

    # ------------------------------------------------------------------ internals

    def _server(self) -> dict[str, Value]:
        return {Attribute.SERVER_ADDRESS: self.rules.server_address, Attribute.SERVER_PORT: self.rules.server_port}

    def _record(  # noqa: PLR0913, PLR0917 — one span's fields
        self,
        row: SpanRow,
        target: str,
        context: TraceContext,
        parent: TraceContext | None,
        times_ns: tuple[int, int],
        given: dict[str, Value],
        error: tuple[str, str] = ("", ""),
    ) -> None:
        began_ns, ended_ns = times_ns
        self.spans.record(
            EndedSpan(row, target, context, parent, began_ns, max(began_ns, ended_ns), given, error[0], error[1])
        )

    def _now_ns(self) -> int:
        return _ns(self._clock.utc_now())


@dataclass(slots=True)
class CallSpan:
    """One call under way; `verdict` stays None if it is cancelled or ends by an exception, as `error` says."""

    tracer: RequestTracer
    command: commands.Call
    cargo: Payload
    began_ns: int
    verdict: Verdict | None = None
    error: tuple[str, str] = ("cancelled", "The call was ended on our side.")


def _call_context(trace: RequestTrace, owner: str, number: int) -> TraceContext:
    """Return the context of a call: leader and number identify it, and the ledger tells both to a successor."""
    return trace.process.derived("call", owner, number)


def _ns(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000) * 1_000
