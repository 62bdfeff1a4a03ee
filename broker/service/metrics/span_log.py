"""Spans of traces as a metric, and in the log where they are lost: a collector that is away ends nothing else."""

from typing import Final

import structlog

from headrace.broker.adapters.prometheus.process_meter import ProcessMeter
from headrace.broker.clock import WallClock
from headrace.broker.span_ports import SpanCounts

SPANS_WITHIN_S: Final = 0.5
"""Longest wait for the collector as a process ends; the shutdown ladder leaves two seconds of the grace period."""
SAID_AGAIN_EVERY_MS: Final = 60_000

_log = structlog.get_logger("tracing")


class SpanLog:
    """Counter of exported and lost spans; a loss is logged once a minute at most."""

    def __init__(self, meter: ProcessMeter, clock: WallClock) -> None:
        self._meter = meter
        self._clock = clock
        self._counted = SpanCounts()
        self._lost_said = 0
        self._say_at_ms = 0

    def observe(self, counts: SpanCounts) -> None:
        """Count what has become of spans since the last time."""
        self._meter.spans("exported", counts.exported - self._counted.exported)
        self._meter.spans("lost", counts.lost - self._counted.lost)
        self._counted = counts
        now_ms = self._clock.now_ms()
        if counts.lost > self._lost_said and now_ms >= self._say_at_ms:
            _log.warning("spans_lost", spans=counts.lost - self._lost_said, reason=counts.trouble)
            self._lost_said, self._say_at_ms = counts.lost, now_ms + SAID_AGAIN_EVERY_MS
