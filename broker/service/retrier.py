"""Retrier process: its election, the work while elected, and the small web server, side by side.

The CLI passes the work in: this package knows nothing of `consumers`.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import Lease, RetryDoors
from headrace.broker.service.containment import Containment
from headrace.broker.service.health import GAUGES_EVERY_S, Health
from headrace.broker.service.leadership.lease_only import Elected
from headrace.broker.service.metrics.span_log import SPANS_WITHIN_S, SpanLog
from headrace.broker.service.page.retrier_page import RetrierPage
from headrace.broker.service.signals import leaving
from headrace.broker.service.status.guard import TokenGuard
from headrace.broker.service.status.presentable import json_text
from headrace.broker.service.status.web import Web
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans
from headrace.broker.tasks import ended
from headrace.broker.tenure import Tenure
from headrace.schemas.instants import to_wire

LEAVE_WITHIN_S = 20.0
"""Longest time to leave: a transaction under way ends within ten seconds, its producer closes within three."""

_log = structlog.get_logger("retrier")


class RetryWork(Protocol):
    """Work of an elected retrier: it puts back what is due."""

    @property
    def waiting(self) -> Mapping[str, int]:
        """Number of waiting requests, by reason."""

    @property
    def held_back(self) -> Mapping[str, int]:
        """Number of due requests, by lane, that wait for their lane's retry budget."""

    async def serve(self, tenure: Tenure) -> None:
        """See `headrace.broker.service.leadership.lease_only.Work.serve`."""

    def snapshot(self) -> dict[str, Any]:
        """Return what waits, for `/status`."""


@dataclass(eq=False)
class RetrierProcess:
    """Retrier process; `run` ends after SIGTERM or SIGINT, or with the error that a person must mend.

    Made by `headrace.broker.service.compose`. `leases`: the retriers', and the dispatchers', which is only read.
    """

    settings: Settings
    elected: Elected
    leases: tuple[Lease, Lease]
    doors: RetryDoors
    meter: Meter
    clock: WallClock
    owner: str
    spans: Spans | None = None
    gauges_every_s: float = field(default=GAUGES_EVERY_S, init=False)
    _seen_kinds: set[str] = field(default_factory=set, init=False)
    containment: Containment = field(init=False)
    _span_log: SpanLog = field(init=False)

    def __post_init__(self) -> None:
        self._span_log = SpanLog(self.meter, self.clock)
        self.containment = Containment(self.meter, self.clock)

    @property
    def health(self) -> Health:
        """Health as the probes show it."""
        return self.elected.health

    async def run(self, work: RetryWork) -> None:
        """Serve until asked to leave."""
        web = Web(
            host=self.settings.retrier.http_host,
            port=self.settings.retrier.http_port,
            setting="retrier.http_port",
            health=self.health,
            scrape=self.meter.scrape,
            status=lambda: self.snapshot(work),
            observed=self.containment.observed,
            page=RetrierPage(lambda: self.snapshot(work), self.leases[1].read_status),
            guard=TokenGuard.of(self.settings),
        )
        with leaving(self.leave):
            async with web:
                _log.info("listening", **web.listening(self.settings.kafka))
                await self.serve(work)

    def leave(self) -> None:
        """End the transaction under way, release the lease, return."""
        _log.info("leaving")
        self.elected.leave()

    def snapshot(self, work: RetryWork) -> dict[str, Any]:
        """Return the state at this instant; numbers are requests and seconds."""
        health = self.health
        return {
            "process": "retrier",
            "topic_prefix": self.settings.kafka.topic_prefix,
            "owner": self.owner,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "role": health.role,
            "leader": health.holder,
            "term": health.term,
            "leading_since": to_wire(health.leading_since) if health.leading_since else None,
            "ready": {"kafka": health.kafka_ready, "redis": health.redis_ready},
            "trouble": health.trouble,
            **work.snapshot(),
        }

    async def serve(self, work: RetryWork) -> None:
        """Serve until `leave` was called, then close all doors."""
        try:
            async with asyncio.TaskGroup() as tasks:
                gauges = tasks.create_task(self._gauges(work), name="gauges")
                await self.elected.run(work)
                await ended(gauges)
        finally:
            await self._close()

    async def _gauges(self, work: RetryWork) -> None:
        """Measure and publish levels every second; a failure is counted and logged, and the next measurement comes."""
        while True:
            await asyncio.sleep(self.gauges_every_s)
            with self.containment.observing("metrics"):
                self._measure(work)
            with self.containment.observing("status"), contextlib.suppress(LeaseUnavailable):
                if self.health.holds_the_lease:
                    await self.leases[0].publish_status(json_text(self.snapshot(work)))

    def _measure(self, work: RetryWork) -> None:
        health, meter = self.health, self.meter
        meter.leader(health.role == "leader")
        meter.term(health.term)
        meter.ready(kafka=health.kafka_ready, redis=health.redis_ready)
        waiting = work.waiting
        for kind in self._seen_kinds | waiting.keys():
            meter.retries_waiting(kind, waiting.get(kind, 0))
        self._seen_kinds = {*waiting}
        if self.spans is not None:
            self._span_log.observe(self.spans.counts())
        for lane in self.settings.lanes:
            meter.retries_held_back(lane, work.held_back.get(lane, 0))

    async def _close(self) -> None:
        logs = (self.doors.failures, self.doors.again, *self.doors.lanes.values())
        await asyncio.gather(*(log.close() for log in logs), *(lease.close() for lease in self.leases))
        if self.spans is not None:
            await self.spans.close(SPANS_WITHIN_S)
