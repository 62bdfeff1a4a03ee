"""The process's small HTTP server: probes, metrics, status.

`/healthz` says that the loop turns, and nothing about the world: a pod must not be killed because Kafka is away.
`/readyz` says that this process does its part: it leads and works, or stands by and could take over.
"""

import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from broker.errors import SettingsError
from broker.service.health import Health

WORKING = frozenset({"leader", "standby"})


class Web:
    """The server; `async with` it."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        health: Health,
        metrics: Callable[[], tuple[bytes, str]],
        status: Callable[[], dict[str, Any]],
    ) -> None:
        """Port 0 takes a free one; `port` tells which."""
        self._host = host
        self.port = port
        self._health = health
        self._metrics = metrics
        self._status = status
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._get_metrics),
                web.get("/status", self._get_status),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(
                f"The HTTP port {self.port} on {self._host} cannot be opened ({error.strerror}): set "
                "dispatcher.http_port to a free one, or 0 for any."
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._health
        ready = health.kafka_ready and health.role in WORKING
        told = {"ready": ready, "role": health.role, "kafka": health.kafka_ready, "redis": health.redis_ready}
        if health.trouble:
            told["trouble"] = health.trouble
        return web.json_response(told, status=200 if ready else 503)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body, content_type = self._metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.json_response(self._status(), dumps=lambda told: json.dumps(told, ensure_ascii=False))
