"""Spans of the retrier: how long a request was parked, and its way back onto its lane.

The request's headers came with it, so its trace goes on: the span is a child of what its producer gave it, as that of
its first attempt is. Ids are derived from the failure's position, so that a record moved twice has one span.
"""

import contextlib

from headrace.broker.clock import WallClock
from headrace.broker.observability.spans import PROCESS, SEND, Attribute, messaging
from headrace.broker.ports import Fetched, Outgoing
from headrace.broker.span_ports import EndedSpan, Spans, Value
from headrace.broker.trace_context import context_in

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
        parent = context_in(outgoing.record.headers)
        if parent is None or fetched is None or not self._spans.sampled(parent, parent.trace_id, PROCESS, self._topic):
            return
        now_ns = self._clock.utc_ms() * _NS_PER_MS
        began_ns = min(now_ns, max(0, fetched.timestamp_ms) * _NS_PER_MS)
        context = parent.derived("process", self._topic, *place)
        attributes: dict[str, Value] = {
            **messaging(self._topic, PROCESS),
            Attribute.PARTITION: str(place[0]),
            Attribute.OFFSET: place[1],
            Attribute.REASON: kind,
        }
        self._spans.record(EndedSpan(PROCESS, self._topic, context, parent, began_ns, now_ns, attributes))
        topic, sent = outgoing.topic, context.derived("send")
        self._spans.record(EndedSpan(SEND, topic, sent, context, now_ns, now_ns, messaging(topic, SEND)))
