"""`POST /v1/chat/completions`, `/v1/responses`, `/v1/embeddings`: a call goes onto a lane, its answer comes back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog
from aiohttp import web

from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.call_options import read_options
from headrace.broker.gateway.calls import CallContent, Calls, ClientCall
from headrace.broker.gateway.http.bodies import BodyLimits, read_object
from headrace.broker.gateway.http.request_keys import ENDPOINT, KEY, LANE
from headrace.broker.gateway.http.responder import Responder
from headrace.broker.gateway.http.sending import send_whole
from headrace.broker.gateway.http.traced import SERVING
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.refusals import api_error, is_operators
from headrace.broker.gateway.shapes.errors import unknown_model
from headrace.broker.gateway.shapes.requests import lane_body
from headrace.schemas.cloudevents import json_bytes

_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class CallHandlers:
    """Handlers of the three endpoints."""

    calls: Calls
    responder: Responder
    limits: BodyLimits
    clock: WallClock
    meter: GatewayMeter

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(f"/v1{facts.path}", self._handler(name)) for name, facts in ENDPOINT_TABLE.items()]

    def _handler(self, endpoint: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._served(request, endpoint)

        return handle

    # ------------------------------------------------------------------ one request

    async def _served(self, request: web.Request, endpoint: str) -> web.StreamResponse:
        key: ClientKey = request[KEY]
        request[ENDPOINT] = endpoint
        sent = await read_object(request, self.limits)
        asked = lane_body(endpoint, sent)
        if not key.may_use_model(asked.model):
            raise unknown_model(asked.model)
        options = read_options(request.headers, key, self.clock.utc_now())
        if (serving := request.get(SERVING)) is not None:
            options = replace(options, traceparent=serving.traceparent)
        request[LANE] = options.lane
        call: ClientCall | None = None
        try:
            call = await self.calls.begun(key, CallContent(endpoint, asked.body, sent, asked.stream), options)
            if call.joined:
                self.meter.joined()
            if options.is_async:
                return await self._accepted(request, call)
            shape = asked.shape(call.given_id) if asked.stream else None
            return await self.responder.respond(request, call, shape, cancels=options.cancels)
        except HeadraceError as reason:
            if is_operators(reason):
                _log.warning("call_not_served", reason=f"{type(reason).__name__}: {reason}")
            raise api_error(reason, None if call is None else call.given_id) from reason
        finally:
            if call is not None:
                self.calls.ended(call)

    async def _accepted(self, request: web.Request, call: ClientCall) -> web.StreamResponse:
        await self.calls.submitted(call)
        place = f"/v1/headrace/requests/{quote(call.given_id)}"
        told = {"id": call.given_id, "object": "headrace.request", "status": "accepted", "lane": call.prepared.lane}
        headers = {"Location": place, "Preference-Applied": "respond-async", "x-headrace-id": call.given_id}
        response = await send_whole(request, 202, headers, json_bytes(told), within_s=self.limits.within_s)
        self.responder.note_received(request, call)
        return response
