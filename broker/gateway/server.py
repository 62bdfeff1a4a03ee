"""Gateway process: its HTTP server, what it follows in Kafka, its probes, and its end.

It ends in steps: at SIGTERM it is not ready any more and closes connections as they become idle; after `drain_s` the
requests that still wait are answered `outcome_pending`, which an SDK repeats at another gateway, where it joins; then
the sockets close. A second signal skips the drain.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from headrace.broker.client_ports import GatewayDoors
from headrace.broker.clock import WallClock
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.calls import CallRules, Calls
from headrace.broker.gateway.chunk_feed import ChunkFeed
from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.call_handlers import CallHandlers
from headrace.broker.gateway.http.connections import ConnectionGuard
from headrace.broker.gateway.http.middlewares import Handler, Middlewares
from headrace.broker.gateway.http.models import KnownModels, Models
from headrace.broker.gateway.http.requests import AskLeader, Requests
from headrace.broker.gateway.http.responder import Responder
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.tasks import ended, set_within
from headrace.schemas.topics import chunks_topic

_PROBED_EVERY_S: Final = 2.0
_ANSWERED_WITHIN_S: Final = 2.0
_CLOSES_WITHIN_S: Final = 1.0
_BACKLOG: Final = 4_096
_log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class ServerRules:
    """Address and bounds of a gateway's HTTP server; see the settings' group `gateway`."""

    host: str
    port: int
    connections_max: int
    inflight_max: int
    header_timeout_s: float
    idle_timeout_s: float
    drain_s: float


class GatewayPart(Protocol):
    """A further part of a gateway with handlers of its own, such as batches."""

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""

    def shown(self) -> dict[str, Any]:
        """Return what `/status` shows of it."""

    async def __aenter__(self) -> Any:
        """Begin what it does beside requests."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End it."""


@dataclass(eq=False)
class Gateway:
    """HTTP server of a gateway; `serve` ends after `leave`.

    `leader` asks the leader about a request, `models` about its models. `tracing` is the outermost middleware, if there
    is one. `port` holds the port once it listens.
    """

    doors: GatewayDoors
    calls_rules: CallRules
    rules: ServerRules
    body_limits: BodyLimits
    ring: KeyRing
    caps: Caps
    meter: GatewayMeter
    leader: AskLeader
    models: KnownModels
    clock: WallClock
    parts: Callable[[], list[GatewayPart]] = list
    tracing: Middleware | None = None
    port: int = field(default=0, init=False)
    trouble: str = field(default="It has just started.", init=False)
    _parts: list[GatewayPart] = field(default_factory=list, init=False)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _hurried: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _cut: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _middlewares: Middlewares | None = field(default=None, init=False)

    @property
    def inflight(self) -> int:
        """Number of calls and uploads that are being served."""
        return 0 if self._middlewares is None else self._middlewares.inflight

    @property
    def is_ready(self) -> bool:
        """Whether requests can be accepted."""
        return not self.trouble and not self._leaving.is_set()

    def leave(self) -> None:
        """Begin the end; a second time: do not wait for requests that wait."""
        if self._leaving.is_set():
            self._hurried.set()
        self._leaving.set()

    async def serve(self) -> None:
        """Serve until `leave` is called.

        Raises:
            SettingsError: The port cannot be opened.
        """
        async with AsyncExitStack() as stack:
            calls = await stack.enter_async_context(Calls(self.doors, self.calls_rules, self.clock))
            chunks = ChunkFeed(self.doors.keyed(chunks_topic(self.calls_rules.topic_prefix)))
            stack.push_async_callback(chunks.close)
            responder = Responder(calls, chunks, self.body_limits.within_s, self.meter, self._cut)
            stack.push_async_callback(responder.close)
            call_handlers = CallHandlers(calls, responder, self.body_limits, self.clock, self.meter)
            self._parts = parts = self.parts()
            for part in parts:
                await stack.enter_async_context(part)
            handlers = [
                call_handlers,
                Requests(calls, self.leader, self.body_limits),
                Models(self.models, self.body_limits),
            ]
            await self._listen_until_left([*handlers, *parts], calls)

    async def _listen_until_left(self, handlers: list[Any], calls: Calls) -> None:
        guard = ConnectionGuard(
            self.rules.header_timeout_s, self.rules.idle_timeout_s, self.rules.connections_max, self.meter
        )
        runner = await self._listening(self._app(handlers, guard))
        tasks = [
            asyncio.create_task(
                guard.run(lambda: runner.server.connections if runner.server else ()), name="connections"
            ),
            asyncio.create_task(self._probe(calls), name="probe"),
            asyncio.create_task(self.ring.follow(), name="keys"),
        ]
        try:
            _log.info("listening", host=self.rules.host, port=self.port, topic_prefix=self.calls_rules.topic_prefix)
            await self._leaving.wait()
            _log.info("leaving", waiting=self.inflight)
            await self._drain(runner)
        finally:
            await ended(*tasks)
            await runner.cleanup()

    async def _drain(self, runner: web.AppRunner) -> None:
        for site in list(runner.sites):
            await site.stop()
        until_s = asyncio.get_running_loop().time() + self.rules.drain_s
        while self.inflight and asyncio.get_running_loop().time() < until_s:
            if await set_within(self._hurried, 0.1):
                break
        self._cut.set()
        until_s = asyncio.get_running_loop().time() + _ANSWERED_WITHIN_S
        while self.inflight and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110 — a count
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------------ HTTP

    def _app(self, handlers: list[Any], guard: ConnectionGuard) -> web.Application:
        limits = self.body_limits
        self._middlewares = every = Middlewares(self.ring, self.caps, limits, self.meter, self.rules.inflight_max)
        traced = [] if self.tracing is None else [self.tracing]

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            transport = request.transport
            guard.began(transport)
            try:
                return await handler(request)
            finally:
                guard.ended(transport)

        app = web.Application(middlewares=[guarded, *traced, *every.all()], client_max_size=limits.bytes_max)
        app.on_response_prepare.append(self._prepared)
        for each in handlers:
            app.add_routes(each.routes())
        return app

    async def _prepared(self, _: web.Request, response: web.StreamResponse) -> None:
        """Say what serves, and nothing of versions; let no client send its next request to a gateway that leaves."""
        response.headers["Server"] = "headrace"
        if self._leaving.is_set():
            response.force_close()
            response.headers["Connection"] = "close"

    async def _listening(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_malformed_http(),
            handler_cancellation=True,
            keepalive_timeout=self.rules.idle_timeout_s,
            shutdown_timeout=_CLOSES_WITHIN_S,
        )
        await runner.setup()
        site = web.TCPSite(runner, self.rules.host, self.rules.port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise SettingsError(
                f"The HTTP port {self.rules.port} on {self.rules.host} cannot be opened ({error.strerror}): set "
                "gateway.http_port to a free one, or 0 for any."
            ) from error
        self.port = runner.addresses[0][1]
        return runner

    # ------------------------------------------------------------------ probes

    async def _probe(self, calls: Calls) -> None:
        while True:
            self.trouble, before = await calls.trouble(), self.trouble
            if self.trouble and self.trouble != before:
                _log.warning("gateway_not_ready", reason=self.trouble)
            elif before and not self.trouble:
                _log.info("gateway_ready")
            await asyncio.sleep(_PROBED_EVERY_S)

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether calls are accepted, and what `/readyz` says of it."""
        why = "It is leaving." if self._leaving.is_set() else self.trouble
        return not why, {"ready": not why, **({"trouble": why} if why else {})}

    def snapshot(self) -> dict[str, Any]:
        """Return the state at this instant, for `/status`."""
        return {
            "process": "gateway",
            "ready": self.is_ready,
            "leaving": self._leaving.is_set(),
            "trouble": self.trouble or self.ring.trouble or None,
            "waiting": self.inflight,
            "inflight_max": self.rules.inflight_max,
            **{name: value for part in self._parts for name, value in part.shown().items()},
            "keys": {"in_force": len(self.ring.keys), "trouble": self.ring.trouble},
        }


def _malformed_http() -> logging.Logger:
    """Return a logger that drops what aiohttp writes of malformed HTTP: it would quote a request, and so a key."""
    silent = logging.getLogger("headrace.gateway.http")
    silent.propagate = False
    silent.setLevel(logging.CRITICAL + 1)
    return silent
