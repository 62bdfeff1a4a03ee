"""Gateway process: its server, and probes, metrics and status on a port that no client reaches, side by side."""

import asyncio
import os
import socket
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import structlog

from headrace.broker.adapters.prometheus.gateway_meter import GatewayMetrics
from headrace.broker.clock import WallClock
from headrace.broker.gateway.server import Gateway
from headrace.broker.service.containment import Containment
from headrace.broker.service.health import GAUGES_EVERY_S
from headrace.broker.service.metrics.span_log import SPANS_WITHIN_S, SpanLog
from headrace.broker.service.signals import leaving
from headrace.broker.service.status.guard import TokenGuard
from headrace.broker.service.status.web import Web
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans
from headrace.broker.tasks import ended

_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class GatewayProcess:
    """Gateway process; `run` ends after SIGTERM or SIGINT. Made by `headrace.broker.gateway.compose`.

    The probes outlive the server: while it drains, `/readyz` says that it leaves, and `/healthz` that it lives.
    """

    settings: Settings
    gateway: Gateway
    meter: GatewayMetrics
    clock: WallClock
    spans: Spans | None = None
    gauges_every_s: float = field(default=GAUGES_EVERY_S, init=False)
    containment: Containment = field(init=False)
    web: Web = field(init=False)
    _span_log: SpanLog = field(init=False)

    def __post_init__(self) -> None:
        self.containment = Containment(self.meter, self.clock)
        self._span_log = SpanLog(self.meter, self.clock)
        self.web = Web(
            host=self.settings.gateway.metrics_host,
            port=self.settings.gateway.metrics_port,
            setting="gateway.metrics_port",
            health=self.gateway,
            scrape=self._scrape,
            status=self.snapshot,
            observed=self.containment.observed,
            guard=TokenGuard.of(self.settings),
        )

    async def run(self) -> None:
        """Serve until asked to leave.

        Raises:
            SettingsError: A port cannot be opened.
        """
        with leaving(self.gateway.leave):
            await self.serve()

    async def serve(self) -> None:
        """Serve until the gateway was told to leave."""
        async with self.web:
            _log.info("probes_listening", host=self.web.host, port=self.web.port, version=version("headrace"))
            gauges = asyncio.create_task(self._gauges(), name="gauges")
            try:
                await self.gateway.serve()
            finally:
                await ended(gauges)
                if self.spans is not None:
                    await self.spans.close(SPANS_WITHIN_S)

    def snapshot(self) -> dict[str, Any]:
        """Return the state at this instant, for `/status`."""
        return {
            **self.gateway.snapshot(),
            "topic_prefix": self.settings.kafka.topic_prefix,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "port": self.gateway.port,
            "version": version("headrace"),
        }

    async def _gauges(self) -> None:
        """Measure levels every second, also those that nothing else changes; a failure is counted and logged."""
        while True:
            with self.containment.observing("metrics"):
                self._measure()
            await asyncio.sleep(self.gauges_every_s)

    def _measure(self) -> None:
        gateway, meter = self.gateway, self.meter
        meter.ready(is_ready=gateway.is_ready)
        meter.inflight(gateway.inflight)
        meter.keys(len(gateway.ring.keys), is_file_ready=gateway.ring.trouble is None)
        if self.spans is not None:
            self._span_log.observe(self.spans.counts())

    def _scrape(self, accept: str) -> tuple[bytes, str]:
        with self.containment.observing("metrics"):
            self._measure()
        return self.meter.scrape(accept)
