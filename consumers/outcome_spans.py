"""Spans of outcomes in the hands of a service that traces: they continue the trace of the request."""

from contextlib import AbstractContextManager

from headrace.broker.adapters.otel.joining import ProcessingSpan, handling, processing
from headrace.broker.observability.spans import Attribute
from headrace.consumers.deliveries import Delivery


class OutcomeSpans:
    """Spans of one reader. In an iteration the span of the last outcome ends when the next one is asked for."""

    def __init__(self, topic: str, group: str | None) -> None:
        self._topic = topic
        self._group = group
        self._present: ProcessingSpan | None = None

    def begin(self, delivery: Delivery) -> None:
        """Begin the span of an outcome that the iteration is about to return."""
        self._present = processing(self._topic, delivery.arrived[0].record.headers, self._attributes(delivery))

    def end(self) -> None:
        """End the span of the outcome before, if there is one."""
        present, self._present = self._present, None
        if present is not None:
            present.end()

    def spanned(self, delivery: Delivery, attempt: int) -> AbstractContextManager[None]:
        """Return the span of one attempt of a handler."""
        more = self._attributes(delivery) | ({Attribute.ATTEMPT: attempt} if attempt > 1 else {})
        return handling(self._topic, delivery.arrived[0].record.headers, more)

    def _attributes(self, delivery: Delivery) -> dict[Attribute, str | int]:
        outcome, arrived = delivery.outcome, delivery.arrived[0]
        given: dict[Attribute, str | int] = {
            Attribute.PARTITION: str(arrived.partition),
            Attribute.OFFSET: arrived.offset,
            Attribute.MESSAGE_ID: outcome.id,
            Attribute.DECISION: outcome.status,
        }
        return given | ({Attribute.GROUP: self._group} if self._group else {})
