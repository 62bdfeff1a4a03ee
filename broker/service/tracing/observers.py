"""The two observers of a core that is traced: the tracer first, so that the metrics find the trace it has noted."""

from headrace.broker.core import commands
from headrace.broker.core.events import Event
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.payloads import Payload
from headrace.broker.service.tracing.tracer import RequestTracer


class TracedObserver:
    """A `CoreObserver` that passes everything to a tracer and to the metrics."""

    def __init__(self, tracer: RequestTracer, telemetry: Telemetry) -> None:
        self._tracer = tracer
        self._telemetry = telemetry

    def observe_event(self, event: Event) -> None:
        """See `headrace.broker.service.driver.CoreObserver`."""
        self._tracer.observe_event(event)
        self._telemetry.observe_event(event)

    def observe_command(self, command: commands.Command, cargo: Payload | None) -> None:
        """See `headrace.broker.service.driver.CoreObserver`."""
        self._tracer.observe_command(command, cargo)
        self._telemetry.observe_command(command, cargo)

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """See `headrace.broker.service.driver.CoreObserver`."""
        self._telemetry.contained(step, error, **where)
