"""`POST /v1/chat/completions`, `/v1/responses`, `/v1/embeddings`: a call goes onto a lane, its answer comes back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog
from aiohttp import web

from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.calls import Calls, ClientCall, Wanted
from headrace.broker.gateway.http.answering import Answering
from headrace.broker.gateway.http.bodies import BodyLimits, read_object
from headrace.broker.gateway.http.request_keys import ENDPOINT, KEY, LANE
from headrace.broker.gateway.http.sending import send_whole
from headrace.broker.gateway.http.traced import SERVING
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.refusals import api_error, is_operators
from headrace.broker.gateway.shapes.errors import unknown_model
from headrace.broker.gateway.shapes.requests import lane_body
from headrace.broker.gateway.wishes import wishes_in
from headrace.schemas.cloudevents import json_bytes

_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class Generation:
    """Handlers of the three endpoints."""

    calls: Calls
    answering: Answering
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
        wanted = lane_body(endpoint, sent)
        if not key.may_use_model(wanted.model):
            raise unknown_model(wanted.model)
        wishes = wishes_in(request.headers, key, self.clock.utc_now())
        if (serving := request.get(SERVING)) is not None:
            wishes = replace(wishes, traceparent=serving.traceparent)
        request[LANE] = wishes.lane
        call: ClientCall | None = None
        try:
            call = await self.calls.begun(key, Wanted(endpoint, wanted.body, sent, wanted.stream), wishes)
            if call.joined:
                self.meter.joined()
            if wishes.is_async:
                return await self._accepted(request, call)
            shape = wanted.shape(call.given_id) if wanted.stream else None
            return await self.answering.answered(request, call, shape, cancels=wishes.cancels)
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
        self.answering.note_received(request, call)
        return response
