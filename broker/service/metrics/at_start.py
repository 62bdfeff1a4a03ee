"""Figures that a process shows from its start: its name, the objectives of its lanes, and counters at 0.

Prometheus computes an increase from the first sample on. A counter that is born with its first event therefore hides
that event, and an alert on the first failure would wait for the second. So every counter whose labels are known
beforehand begins at 0.
"""

from importlib.metadata import version
from typing import Final

from headrace.broker.adapters.prometheus.gateway_meter import GatewayMetrics
from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.adapters.prometheus.process_meter import ProcessMeter
from headrace.broker.settings.whole import Settings
from headrace.schemas.outcome import FailureReason

DEAD_LETTER_REASONS: Final = (
    *(reason.value for reason in FailureReason if reason is not FailureReason.CANCELLED),
    "undecodable",
    "lost_by_retention",
)
STEPS_OF_REQUESTS: Final = ("read", "take", "call", "answer", "stream", "encode", "retry")
STEPS_OF_OBSERVATIONS: Final = (
    "metrics",
    "status",
    "page",
    "web",
    "replies",
    "totals",
    "lags",
    "greeting",
    "clock",
    "kafka_probe",
    "tracing",
    "cost",
)
STEPS_OF_GATEWAYS: Final = ("metrics", "web", "tracing")
TRANSACTION_RESULTS: Final = ("committed", "unknown")


def show_dispatcher(meter: Meter, settings: Settings) -> None:
    """Show what is known of a dispatcher before it has done anything."""
    _show(meter, settings, "dispatcher")
    for name, lane in settings.lanes.items():
        meter.begin_lane(name, lane.objective_s)
    meter.dedupe_window_set(settings.dedupe.window_s)
    for reason in DEAD_LETTER_REASONS:
        meter.begin_dead_letters(reason)
    for step in (*STEPS_OF_REQUESTS, *STEPS_OF_OBSERVATIONS):
        meter.begin_contained(step)
    for result in TRANSACTION_RESULTS:
        meter.begin_transactions(result)


def show_retrier(meter: Meter, settings: Settings) -> None:
    """Show what is known of a retrier before it has done anything."""
    _show(meter, settings, "retrier")
    for step in STEPS_OF_OBSERVATIONS:
        meter.begin_contained(step)


def show_gateway(meter: GatewayMetrics, settings: Settings) -> None:
    """Show what is known of a gateway before it has done anything."""
    _show(meter, settings, "gateway")
    meter.begin_answers()
    meter.inflight_max(settings.gateway.inflight_max)
    for step in STEPS_OF_GATEWAYS:
        meter.begin_contained(step)


def _show(meter: ProcessMeter, settings: Settings, process: str) -> None:
    meter.info(settings.kafka.topic_prefix, version("headrace"), process)
