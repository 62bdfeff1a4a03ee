"""Middlewares of the gateway: errors in OpenAI's form, the key of each request, its caps, and what is counted."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from headrace.broker.gateway.http.bodies import FALSE_ENCODING, BodyLimits, false_encoding
from headrace.broker.gateway.http.request_keys import ENDPOINT, KEY, LANE
from headrace.broker.gateway.http.sending import HANGUP_STATUS, send_whole
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.refusals import CapReachedError, KeyFault, KeyRefusedError
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.shapes.errors import (
    ApiError,
    crashed,
    no_key,
    over_cap,
    unavailable,
    unknown_key,
    unknown_path,
    wrong_method,
)
from headrace.broker.traces import traced
from headrace.schemas.cloudevents import json_bytes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OF_PATH: Final = {"/v1/models": "models", "/v1/headrace": "requests", "/v1/files": "files", "/v1/batches": "batches"}
"""Names of what has no endpoint of OpenAI's table; a call's handler names its own."""
_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class Middlewares:
    """What every request passes, outermost first: counting, errors, the key, its caps."""

    ring: KeyRing
    caps: Caps
    limits: BodyLimits
    meter: GatewayMeter
    inflight_max: int
    inflight: int = 0

    def all(self) -> list[Middleware]:
        """Return them in the order in which a request passes them."""
        return [self.counted, self.errors, self.keyed, self.capped]

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the answer, whatever it is."""
        began_s, status = time.monotonic(), HANGUP_STATUS
        request[ENDPOINT] = _OF_PATH.get("/".join(request.path.split("/", 3)[:3]), "other")
        try:
            response = await handler(request)
            status = response.status
        finally:
            self.meter.answered(request[ENDPOINT], request.get(LANE, ""), status, time.monotonic() - began_s)
        return response

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn errors into answers."""
        try:
            return await handler(request)
        except ApiError as reason:
            error = reason
        except FALSE_ENCODING:  # of an upload, or of another body that is read elsewhere
            error = false_encoding()
        except web.HTTPNotFound:
            error = unknown_path(request.method, request.path)
        except web.HTTPMethodNotAllowed:
            error = wrong_method(request.method, request.path)
        except web.HTTPException as reason:
            error = ApiError(reason.status, reason.reason, type="invalid_request_error")
        except (ConnectionError, TimeoutError):  # the client is gone, or takes nothing
            return web.Response(status=HANGUP_STATUS)
        except Exception as reason:  # noqa: BLE001 — a defect ends one request; its message may quote a prompt or a key
            _log.error("gateway_crashed", endpoint=request[ENDPOINT], **traced(reason))
            error = crashed()
        if request.transport is None or request.transport.is_closing():
            return web.Response(status=error.status)
        try:
            return await send_whole(
                request, error.status, error.headers, json_bytes(error.body()), within_s=self.limits.within_s
            )
        except (ConnectionError, TimeoutError):
            return web.Response(status=HANGUP_STATUS)

    @web.middleware
    async def keyed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Find the key; `request[KEY]` then has its rights."""
        try:
            request[KEY] = self.ring.find(request.headers.get("Authorization"), request.headers.get("api-key"))
        except KeyRefusedError as refused:
            raise (no_key() if refused.fault is KeyFault.MISSING else unknown_key(str(refused))) from None
        return await handler(request)

    @web.middleware
    async def capped(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Hold a call to its key's caps, and to what this process can hold."""
        if request.method != "POST":
            return await handler(request)
        if self.inflight >= self.inflight_max:
            raise unavailable("This gateway has as many requests as it can hold. Try again.", retry_after_s=1.0)
        key = request[KEY]
        try:
            self.caps.enter(key, time.monotonic())
        except CapReachedError as refused:
            raise over_cap(str(refused), retry_after_s=refused.retry_after_s) from None
        self.inflight += 1
        try:
            return await handler(request)
        finally:
            self.inflight -= 1
            self.caps.leave(key)
