"""Dispatcher process: the driver, leadership and the web server side by side, and the shutdown ladder."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from headrace.broker.core.events import Draining
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import ChunkLog, LaneLog, Lease, UpstreamApi
from headrace.broker.service.driver import Driver
from headrace.broker.service.health import GAUGES_EVERY_S
from headrace.broker.service.leadership.leadership import Leadership
from headrace.broker.service.metrics.span_log import SPANS_WITHIN_S
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.page.broadcast import Broadcast
from headrace.broker.service.page.documents import Documents
from headrace.broker.service.page.finder import Finder
from headrace.broker.service.page.pages import Pages
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.shutdown import Ladder, ladder
from headrace.broker.service.signals import leaving
from headrace.broker.service.spending.follower import SpendingFollower
from headrace.broker.service.spending.totals_topic import TotalsTopic
from headrace.broker.service.status.address import url_of
from headrace.broker.service.status.guard import TokenGuard
from headrace.broker.service.status.lags import ASKED_EVERY_S, Lags
from headrace.broker.service.status.presentable import json_text
from headrace.broker.service.status.reading import read_report
from headrace.broker.service.status.request_status import RequestStatus
from headrace.broker.service.status.status import Status
from headrace.broker.service.status.web import Web
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans
from headrace.broker.status_ports import StatusBoard
from headrace.broker.tasks import ended, set_within

_log = structlog.get_logger("dispatcher")


@dataclass(frozen=True, slots=True)
class Doors:
    """Doors to be closed at the end."""

    upstream: UpstreamApi
    lease: Lease
    chunks: ChunkLog
    lanes: Sequence[LaneLog]
    board: StatusBoard | None = None
    spans: Spans | None = None


@dataclass(eq=False)
class Dispatcher:
    """Dispatcher process; `run` ends after SIGTERM or SIGINT, or with the error that a person must mend.

    Made by `headrace.broker.service.wiring`.

    Attributes:
        gauges_every_s: How often levels are measured, and the status is left in Redis.
        lags_every_s: How often Kafka is asked what it still holds of each lane.
    """

    settings: Settings
    driver: Driver
    leadership: Leadership
    doors: Doors
    telemetry: Telemetry
    replies: Replies
    totals_topic: TotalsTopic
    spending_follower: SpendingFollower | None
    lags: Lags
    status: Status
    whereabouts: RequestStatus
    gauges_every_s: float = field(default=GAUGES_EVERY_S, init=False)
    lags_every_s: float = field(default=ASKED_EVERY_S, init=False)
    _has_history: bool = field(default=False, init=False)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Serve until asked to leave."""
        dispatcher = self.settings.dispatcher
        web = Web(
            host=dispatcher.http_host,
            port=dispatcher.http_port,
            setting="dispatcher.http_port",
            health=self.leadership.health,
            scrape=self.telemetry.meter.scrape,
            status=lambda: self.status.snapshot(self.driver.clock.now_ms()),
            observed=self.telemetry.containment.observed,
            whereabouts=self._whereabouts,
            page=self.pages(),
            guard=TokenGuard.of(self.settings),
        )
        with leaving(self.leave):
            async with web:
                _log.info("listening", **web.listening(self.settings.kafka))
                kafka = self.settings.kafka.bootstrap_servers
                await self.serve(lambda: url_of(dispatcher.http_host, web.port, kafka))

    def _whereabouts(self, request_id: str, run: int | None) -> dict[str, Any]:
        return self.whereabouts.of(request_id, run, self.driver.clock.now_ms())

    def pages(self) -> Pages:
        """Return the live page of this process."""
        containment, health, board = self.telemetry.containment, self.leadership.health, self.doors.board
        documents = Documents(
            self.settings, health, lambda: self.status.recent(self.driver.clock.now_ms()), board, containment
        )
        finder = Finder(
            health, self._whereabouts, board, TokenGuard.of(self.settings), self.settings.kafka.topic_prefix
        )
        return Pages(documents, Broadcast(documents.document, containment), finder)

    async def serve(self, url: Callable[[], Awaitable[str]]) -> None:
        """Serve until `leave` was called, then close all doors; `url` finds the address of the status page."""
        rungs = ladder(self.settings.dispatcher.grace_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self.driver.run(), name="driver"),
                    tasks.create_task(self._gauges(url), name="gauges"),
                    tasks.create_task(self._watch_lags(), name="lags"),
                    tasks.create_task(self._watch_totals(), name="totals"),
                ]
                if self.spending_follower is not None:
                    helpers.append(tasks.create_task(self.spending_follower.run(), name="totals follower"))
                leading = tasks.create_task(self.leadership.run(), name="leadership")
                departure = tasks.create_task(self._leave(rungs, leading), name="leaving")
                await asyncio.wait({leading})
                await ended(departure, *helpers)
        finally:
            await self._close(rungs)

    async def _leave(self, rungs: Ladder, leading: asyncio.Task[None]) -> None:
        """Go down the ladder: drain, cancel, commit; closing and releasing is leadership's own end."""
        await self._leaving.wait()
        now_ms = self.driver.clock.now_ms()
        self.driver.post(Draining(now_ms + round(rungs.drain_s * 1_000)))
        _log.info("draining", seconds=rungs.drain_s, inflight=len(self.driver.core.flights))
        self.leadership.leave()
        await set_within(self._hurry, rungs.drain_s)
        self.driver.post(Draining(self.driver.clock.now_ms()))
        cancelled = self.driver.cancel_calls()
        _log.info("drained", cancelled=cancelled)
        await asyncio.sleep(rungs.cancel_s + rungs.commit_s)
        leading.cancel()  # the rest of the grace period is for closing the producer and releasing the lease

    async def _gauges(self, url: Callable[[], Awaitable[str]]) -> None:
        """Measure and publish levels every second; a failure is counted and logged, and the next measurement comes."""
        observing = self.telemetry.containment.observing
        with observing("status"):
            self.status.url = await url()
        while True:
            await asyncio.sleep(self.gauges_every_s)
            now_ms = self.driver.clock.now_ms()
            self.telemetry.chunks_dropped(self.doors.chunks.dropped)
            self.telemetry.gauges(self.driver.core, self.leadership.health, now_ms)
            if self.doors.spans is not None:
                self.telemetry.spans(self.doors.spans.counts())
            for lane in self.settings.lanes:
                self.telemetry.lag(lane, self.lags.of(lane, now_ms))
            with observing("status"):
                await self._leave_status(now_ms)
            with observing("replies"):
                if self.leadership.health.role == "leader":
                    await self.replies.check_all()

    async def _watch_lags(self) -> None:
        """Ask Kafka what it still holds, beside everything else: an answer may be slow, or never come."""
        while True:
            with self.telemetry.containment.observing("lags"):
                if self.leadership.health.role == "leader":
                    await self.lags.measure()
                else:
                    self.lags.forget()
            await asyncio.sleep(self.lags_every_s)

    async def _watch_totals(self) -> None:
        """Look at the totals topic, before the first outcome too: what cannot be written would stop outcomes."""
        while True:
            with self.telemetry.containment.observing("totals"):
                await self.totals_topic.check()
            await asyncio.sleep(self.gauges_every_s)

    async def _leave_status(self, now_ms: int) -> None:
        """Leave in Redis what `headrace status` reads there; nothing depends on it."""
        if not self.leadership.health.holds_the_lease:
            self._has_history = False
            return
        with contextlib.suppress(LeaseUnavailable):
            await self._inherit()
            await self.doors.lease.publish_status(json_text(self.status.reported(now_ms)))

    async def _inherit(self) -> None:
        """Go on from the fifteen minutes that the last leader has left, before they are overwritten."""
        if not self._has_history and self.doors.board is not None:
            left = await self.doors.board.dispatcher()
            said = read_report(left.status)
            if said is not None and said.get("owner") != self.status.owner:
                self.telemetry.lately.inherit(said.get("lately"))
        self._has_history = True

    async def _close(self, rungs: Ladder) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rungs.close_s):
                await self.doors.upstream.close()
                await self.doors.lease.close()
                await self.doors.chunks.close()
                await self.replies.close()
                if self.doors.board is not None:
                    await self.doors.board.close()
        await asyncio.gather(*(lane.close() for lane in self.doors.lanes))
        if self.doors.spans is not None:
            await self.doors.spans.close(SPANS_WITHIN_S)

    def leave(self) -> None:
        """Leave by the ladder; the second time, without the drain."""
        if self._leaving.is_set():
            self._hurry.set()
        self._leaving.set()
