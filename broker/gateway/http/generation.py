"""`POST /v1/chat/completions`, `/v1/responses`, `/v1/embeddings`: a call goes onto a lane, its answer comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
from aiohttp import web

from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.asked import Asked, asked_in
from headrace.broker.gateway.calls import Call, Calls, Wanted
from headrace.broker.gateway.deltas import ChunkQueue, Deltas
from headrace.broker.gateway.http.bodies import BodyLimits, read_object
from headrace.broker.gateway.http.request_keys import ENDPOINT, KEY, LANE
from headrace.broker.gateway.http.sending import EventStream, has_received, send_whole
from headrace.broker.gateway.http.traced import SERVING
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.refusals import api_error, is_operators
from headrace.broker.gateway.shapes.answers import EVENTS_TYPE, answer, outcome_headers
from headrace.broker.gateway.shapes.errors import ApiError, outcome_pending, unknown_model
from headrace.broker.gateway.shapes.requests import lane_body
from headrace.broker.gateway.shapes.stream import StreamShape
from headrace.broker.tasks import ended
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.outcome import Outcome

ALIVE_EVERY_S: Final = 15.0
"""Interval of comments in a stream in which nothing else is sent: proxies cut a silent connection after a minute."""
_ALIVE: Final = b": waiting\n\n"
_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class Generation:
    """Handlers of the three endpoints."""

    calls: Calls
    deltas: Deltas
    limits: BodyLimits
    clock: WallClock
    meter: GatewayMeter
    leaving: asyncio.Event
    _waiting: int = field(default=0, init=False)
    _streaming: int = field(default=0, init=False)
    _background: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(f"/v1{facts.path}", self._handler(name)) for name, facts in ENDPOINT_TABLE.items()]

    async def close(self) -> None:
        """End what goes on behind answered requests."""
        if self._background:
            await asyncio.wait(self._background, timeout=1.0)
        await ended(*self._background)

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
        asked = asked_in(request.headers, key, self.clock.utc_now())
        if (serving := request.get(SERVING)) is not None:
            asked = replace(asked, traceparent=serving.traceparent)
        request[LANE] = asked.lane
        call: Call | None = None
        try:
            call = await self.calls.begun(key, Wanted(endpoint, wanted.body, sent, wanted.stream), asked)
            if call.joined:
                self.meter.joined()
            if asked.is_async:
                return await self._accepted(request, call)
            shape = wanted.shape(call.given_id) if wanted.stream else None
            return await self._waited(request, call, asked, shape)
        except HeadraceError as reason:
            if is_operators(reason):
                _log.warning("call_not_served", reason=f"{type(reason).__name__}: {reason}")
            raise api_error(reason, None if call is None else call.given_id) from reason

    async def _accepted(self, request: web.Request, call: Call) -> web.StreamResponse:
        await self.calls.submitted(call)
        place = f"/v1/headrace/requests/{call.given_id}"
        told = {"id": call.given_id, "object": "headrace.request", "status": "accepted", "lane": call.prepared.lane}
        headers = {"Location": place, "Preference-Applied": "respond-async", "x-headrace-id": call.given_id}
        return await send_whole(request, 202, headers, json_bytes(told), within_s=self.limits.within_s)

    async def _waited(
        self, request: web.Request, call: Call, asked: Asked, shape: StreamShape | None
    ) -> web.StreamResponse:
        began_s = time.monotonic()
        self._count(1, shape)
        try:
            if shape is None:
                return await self._whole(request, call)
            return await self._stream(request, call, shape)
        except (asyncio.CancelledError, ConnectionError, TimeoutError) as gone:
            self.meter.hung_up()
            _log.info("client_hung_up", request_id=call.id, after_s=round(time.monotonic() - began_s, 3))
            if asked.cancels and not self.calls.is_awaited(call):
                self._behind(self._cancelled(call), "cancel after a hang-up")
            if isinstance(gone, asyncio.CancelledError):
                raise
            return web.Response()  # nothing of it is sent: the connection is gone
        finally:
            self._count(-1, shape)

    def _count(self, change: int, shape: StreamShape | None) -> None:
        self._waiting += change
        self.meter.waiting(self._waiting)
        if shape is not None:
            self._streaming += change
            self.meter.streaming(self._streaming)

    # ------------------------------------------------------------------ answers

    async def _whole(self, request: web.Request, call: Call) -> web.StreamResponse:
        waiting = asyncio.create_task(self.calls.outcome(call), name=f"wait for {call.id}")
        leaving = asyncio.create_task(self.leaving.wait())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise outcome_pending(call.given_id)
            outcome = waiting.result()
        finally:
            await ended(waiting, leaving)
        status, headers, body = answer(outcome, call.given_id)
        response = await send_whole(request, status, headers, body, within_s=self.limits.within_s)
        self._note_received(request, call)
        return response

    async def _stream(self, request: web.Request, call: Call, shape: StreamShape) -> web.StreamResponse:
        headers = {"x-headrace-id": call.given_id, "x-headrace-lane": call.prepared.lane}
        stream = EventStream(request, headers, EVENTS_TYPE, within_s=self.limits.within_s)
        async with self.deltas.of(call.prepared.expectation) as queue:
            waiting = asyncio.create_task(self.calls.outcome(call), name=f"wait for {call.id}")
            try:
                await self._until_outcome(waiting, queue, shape, stream, call)
                outcome = waiting.result()
            except (HeadraceError, ApiError) as reason:
                error = reason if isinstance(reason, ApiError) else api_error(reason, call.given_id)
                if not stream.response.prepared:
                    raise error from reason
                await stream.send(shape.fail(error))
            else:
                if not stream.response.prepared:
                    early = await self._failed_early(request, call, outcome)
                    if early is not None:
                        return early
                    stream.response.headers.update(outcome_headers(outcome, call.given_id))
                await stream.send(shape.finish(outcome))
            finally:
                await ended(waiting)
        await stream.end()
        self._note_received(request, call)
        return stream.response

    async def _failed_early(self, request: web.Request, call: Call, outcome: Outcome) -> web.StreamResponse | None:
        """Send a failure as an HTTP status, since nothing of the stream is sent yet."""
        status, headers, body = answer(outcome, call.given_id)
        if status == 200:
            return None
        response = await send_whole(request, status, headers, body, within_s=self.limits.within_s)
        self._note_received(request, call)
        return response

    async def _until_outcome(
        self, waiting: "asyncio.Task[Outcome]", queue: ChunkQueue, shape: StreamShape, stream: EventStream, call: Call
    ) -> None:
        """Send what chunks say until the outcome is there, or the stream has ended with an error."""
        leaving = asyncio.create_task(self.leaving.wait())
        try:
            while not waiting.done() and not shape.has_ended:
                coming = asyncio.create_task(queue.wait())
                try:
                    await asyncio.wait(
                        {waiting, coming, leaving}, timeout=ALIVE_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not (waiting.done() or coming.done() or leaving.done()):
                        await stream.send([_ALIVE])
                finally:
                    await ended(coming)
                if leaving.done() and not waiting.done():
                    raise outcome_pending(call.given_id)
                for chunk in queue.taken():
                    await stream.send(shape.add(chunk))
            if shape.has_ended:
                await asyncio.wait({waiting})
        finally:
            await ended(leaving)

    # ------------------------------------------------------------------ behind the answer

    def _note_received(self, request: web.Request, call: Call) -> None:
        if call.digest is not None:
            self._behind(self._received(request.transport, call), "call received")

    async def _received(self, transport: asyncio.Transport | None, call: Call) -> None:
        if await has_received(transport):
            self.calls.received(call)

    async def _cancelled(self, call: Call) -> None:
        try:
            await self.calls.cancel(call.key, call.id)
        except HeadraceError as reason:
            _log.warning("cancel_not_sent", request_id=call.id, reason=str(reason))

    def _behind(self, work: Awaitable[None], name: str) -> None:
        async def done() -> None:
            await work

        task = asyncio.create_task(done(), name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
