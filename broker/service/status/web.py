"""HTTP server of a process: probes, metrics, status, and a page for a browser.

`/healthz` says that the event loop runs, and nothing about the world: a pod must not be killed because Kafka is away.
`/readyz` says that this process does its part: it leads and works, or stands by and could take over, or, a gateway, it
accepts calls. `/status` is the whole state; `/status?id=ID` is about one request, and `&run=N` about one run of it. `/`
is the first page of a browser (`headrace.broker.service.page`). A token, if one is set, guards all but probes and
metrics.

An exception while a request is served becomes an answer of status 500, counted and logged, and ends nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol, Self

from aiohttp import web

from headrace.broker.errors import SettingsError
from headrace.broker.service.metrics.escapes import safe_json
from headrace.broker.service.status.guard import CHALLENGE, OPEN, TokenGuard
from headrace.broker.service.status.presentable import json_text
from headrace.broker.service.status.question import question_of
from headrace.broker.settings.connections import KafkaSettings

_OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that no token guards: whatever asks for these has none."""
_CLOSES_WITHIN_S = 1.0


class FirstPage(Protocol):
    """What the server has for a browser, at `/`."""

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""

    async def close(self) -> None:
        """End what is open, so that the server can end."""


class Readiness(Protocol):
    """State of a process, as `/readyz` asks for it."""

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the process does its part, and the members of the answer."""


@dataclass(kw_only=True, eq=False)
class Web:
    """HTTP server; used with `async with`.

    Port 0 takes a free one; `port` then holds it. `whereabouts` returns one request's status, if ids are known.

    `setting` names what an operator changes when the port is taken: `dispatcher.http_port`, say.

    `observed` reports an exception (`Containment.observed`). `scrape` renders the metrics in the form that
    the header `Accept` asks for. `page` is the first page, `guard` the token that all but probes and metrics ask for.
    """

    host: str
    port: int
    setting: str
    health: Readiness
    scrape: Callable[[str], tuple[bytes, str]]
    status: Callable[[], dict[str, Any]]
    observed: Callable[[str, BaseException], None]
    whereabouts: Callable[[str, int | None], dict[str, Any]] | None = None
    page: FirstPage | None = None
    guard: TokenGuard = OPEN
    _runner: web.AppRunner | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application(middlewares=[self._contained, self._guarded])
        app.on_response_prepare.append(_unsniffed)
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._get_metrics),
                web.get("/status", self._get_status),
            ]
        )
        if self.page is not None:
            app.add_routes(self.page.routes())
            app.on_shutdown.append(self._close_page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSES_WITHIN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(
                f"The HTTP port {self.port} on {self.host} cannot be opened ({error.strerror}): set "
                f"{self.setting} to a free one, or 0 for any."
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    def listening(self, kafka: KafkaSettings) -> dict[str, str | int]:
        """Return the fields of a process's first log line."""
        return {
            "host": self.host,
            "port": self.port,
            "version": version("headrace"),
            "kafka": kafka.bootstrap_servers,
            "topic_prefix": kafka.topic_prefix,
        }

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _contained(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 — a look ends nothing, whatever is wrong with what is shown
            self.observed("web", error)
            return _json({"error": "This could not be shown; the log says why (observation_failed)."}, 500)

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path in _OPEN or self.guard.admits(request.headers.get("Authorization")):
            return await handler(request)
        told = {"error": "This needs dispatcher.http_token: as the password of any user, or as a Bearer token."}
        refused = _json(told, 401)
        refused.headers["WWW-Authenticate"] = CHALLENGE
        return refused

    async def _close_page(self, _: web.Application) -> None:
        if self.page is not None:
            await self.page.close()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, told = self.health.readiness()
        return web.json_response(told, status=200 if ready else 503)

    async def _get_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_status(self, request: web.Request) -> web.Response:
        try:
            asked = question_of(list(request.query.items()))
        except ValueError as mistake:
            return _json({"error": str(mistake)}, 400)
        if asked is None:
            return _json(self.status())
        if self.whereabouts is None:
            return _json({"error": "This process knows no request by its id: ask a dispatcher, at its own port."}, 400)
        return _json(self.whereabouts(*asked))


def _json(told: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(told, status=status, dumps=lambda each: safe_json(json_text(each)))


async def _unsniffed(_: web.Request, response: web.StreamResponse) -> None:
    """Keep browsers from taking an answer for a page, whatever a name in it looks like."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
    response.headers["Cache-Control"] = "no-store"
