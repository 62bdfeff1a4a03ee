"""Spans of the retrier: how long a request was parked, and its way back onto its lane.

The request's headers came with it, so its trace goes on: the span is a child of what its producer gave it, as that of
its first attempt is. Ids are derived from the failure's position, so that a record moved twice has one span.
"""

import contextlib

from headrace.broker.clock import WallClock
from headrace.broker.observability.spans import PROCESS, SEND, Attribute
from headrace.broker.ports import Fetched, Outgoing
from headrace.broker.span_ports import EndedSpan, Spans, Value
from headrace.broker.trace_context import read_context
from headrace.schemas import headers as names

_NS_PER_MS = 1_000_000


class RetrySpans:
    """Maker of a retrier's spans; no method raises."""

    def __init__(self, spans: Spans, topic: str, clock: WallClock) -> None:
        """`topic` is the failures topic."""
        self._spans = spans
        self._topic = topic
        self._clock = clock

    def moved(self, place: tuple[int, int], fetched: Fetched | None, outgoing: Outgoing, kind: str) -> None:
        """Hand over the spans of a record that was just put back, or became a dead letter."""
        with contextlib.suppress(Exception):  # a span is worth no retry
            self._moved(place, fetched, outgoing, kind)

    def _moved(self, place: tuple[int, int], fetched: Fetched | None, outgoing: Outgoing, kind: str) -> None:
        given = {name: value.decode("latin-1") for name, value in outgoing.record.headers}
        parent = read_context(given.get(names.TRACEPARENT), given.get(names.TRACESTATE))
        if parent is None or fetched is None or not self._spans.sampled(parent, parent.trace_id, PROCESS, self._topic):
            return
        now_ns = self._clock.utc_ms() * _NS_PER_MS
        began_ns = min(now_ns, max(0, fetched.timestamp_ms) * _NS_PER_MS)
        context = parent.derived("process", self._topic, *place)
        attributes: dict[str, Value] = {
            Attribute.SYSTEM: "kafka",
            Attribute.DESTINATION: self._topic,
            Attribute.PARTITION: str(place[0]),
            Attribute.OFFSET: place[1],
            Attribute.OPERATION: "process",
            Attribute.OPERATION_TYPE: "process",
            Attribute.REASON: kind,
        }
        self._spans.record(EndedSpan(PROCESS, self._topic, context, parent, began_ns, now_ns, attributes))
        sent: dict[str, Value] = {
            Attribute.SYSTEM: "kafka",
            Attribute.DESTINATION: outgoing.topic,
            Attribute.OPERATION: "send",
            Attribute.OPERATION_TYPE: "send",
        }
        topic = outgoing.topic
        self._spans.record(EndedSpan(SEND, topic, context.derived("send"), context, now_ns, now_ns, sent))
