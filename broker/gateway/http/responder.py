"""Answers of calls: whole or as a stream, and what follows once a client has one, or has hung up."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web

from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.calls import Calls, ClientCall
from headrace.broker.gateway.chunk_feed import ChunkFeed, ChunkQueue
from headrace.broker.gateway.http.sending import HANGUP_STATUS, EventStream, has_received, send_whole
from headrace.broker.gateway.observing import GatewayMeter
from headrace.broker.gateway.refusals import api_error
from headrace.broker.gateway.shapes.answers import EVENTS_TYPE, answer, outcome_headers
from headrace.broker.gateway.shapes.errors import ApiError, outcome_pending
from headrace.broker.gateway.shapes.stream import StreamShape
from headrace.broker.tasks import ended
from headrace.schemas.outcome import Outcome

ALIVE_EVERY_S: Final = 15.0
"""Interval of comments in a stream in which nothing else is sent: proxies cut a silent connection after a minute."""
_ALIVE: Final = b": waiting\n\n"
_log = structlog.get_logger("gateway")


@dataclass(eq=False)
class Responder:
    """Answers of one gateway's calls; each write to a client has `within_s`.

    `cut` is set when clients that still wait are to be sent away.
    """

    calls: Calls
    chunks: ChunkFeed
    within_s: float
    meter: GatewayMeter
    cut: asyncio.Event
    alive_every_s: float = ALIVE_EVERY_S
    _waiting: int = field(default=0, init=False)
    _streaming: int = field(default=0, init=False)
    _background: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def close(self) -> None:
        """End what goes on behind answered requests."""
        if self._background:
            await asyncio.wait(self._background, timeout=1.0)
        await ended(*self._background)

    async def respond(
        self, request: web.Request, call: ClientCall, shape: StreamShape | None, *, cancels: bool
    ) -> web.StreamResponse:
        """Put a call on its lane, wait for its outcome, and write the answer.

        `shape` is that of a stream; `cancels` says whether the request is cancelled if its client hangs up.
        """
        began_s = time.monotonic()
        self._count(1, shape)
        try:
            if shape is None:
                return await self._whole(request, call)
            return await self._stream(request, call, shape)
        except (asyncio.CancelledError, ConnectionError, TimeoutError) as gone:
            self.meter.hung_up()
            _log.info("client_hung_up", request_id=call.id, after_s=round(time.monotonic() - began_s, 3))
            if cancels and not self.calls.is_awaited_by_others(call):
                self._behind(self._cancelled(call), "cancel after a hang-up")
            if isinstance(gone, asyncio.CancelledError):
                raise
            return web.Response(status=HANGUP_STATUS)  # nothing of it is sent: the connection is gone
        finally:
            self._count(-1, shape)

    def _count(self, change: int, shape: StreamShape | None) -> None:
        self._waiting += change
        self.meter.waiting(self._waiting)
        if shape is not None:
            self._streaming += change
            self.meter.streaming(self._streaming)

    # ------------------------------------------------------------------ answers

    async def _whole(self, request: web.Request, call: ClientCall) -> web.StreamResponse:
        waiting = asyncio.create_task(self.calls.outcome(call), name=f"wait for {call.id}")
        leaving = asyncio.create_task(self.cut.wait())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise outcome_pending(call.given_id)
            outcome = waiting.result()
        finally:
            await ended(waiting, leaving)
        status, headers, body = answer(outcome, call.given_id)
        response = await send_whole(request, status, headers, body, within_s=self.within_s)
        self.note_received(request, call)
        return response

    async def _stream(self, request: web.Request, call: ClientCall, shape: StreamShape) -> web.StreamResponse:
        headers = {"x-headrace-id": call.given_id, "x-headrace-lane": call.prepared.lane}
        stream = EventStream(request, headers, EVENTS_TYPE, within_s=self.within_s)
        async with self.chunks.of(call.prepared.expectation) as queue:
            waiting = asyncio.create_task(self.calls.outcome(call), name=f"wait for {call.id}")
            try:
                await self._until_outcome(waiting, queue, shape, stream, call)
                outcome = waiting.result()
            except (HeadraceError, ApiError) as reason:
                error = reason if isinstance(reason, ApiError) else api_error(reason, call.given_id)
                if not stream.response.prepared:
                    raise error from reason
                await stream.end(shape.fail(error))
                return stream.response  # not received: the same call again must find its answer
            else:
                if not stream.response.prepared:
                    early = await self._failed_early(request, call, outcome)
                    if early is not None:
                        return early
                    stream.response.headers.update(outcome_headers(outcome, call.given_id))
                last = shape.finish(outcome)
            finally:
                await ended(waiting)
        await stream.end(last)
        self.note_received(request, call)
        return stream.response

    async def _failed_early(
        self, request: web.Request, call: ClientCall, outcome: Outcome
    ) -> web.StreamResponse | None:
        """Send a failure as an HTTP status, since nothing of the stream is sent yet."""
        status, headers, body = answer(outcome, call.given_id)
        if status == 200:
            return None
        response = await send_whole(request, status, headers, body, within_s=self.within_s)
        self.note_received(request, call)
        return response

    async def _until_outcome(
        self,
        waiting: "asyncio.Task[Outcome]",
        queue: ChunkQueue,
        shape: StreamShape,
        stream: EventStream,
        call: ClientCall,
    ) -> None:
        """Send what chunks say until the outcome is there, or the stream has ended with an error."""
        leaving = asyncio.create_task(self.cut.wait())
        try:
            while not waiting.done() and not shape.has_ended:
                coming = asyncio.create_task(queue.wait())
                try:
                    await asyncio.wait(
                        {waiting, coming, leaving}, timeout=self.alive_every_s, return_when=asyncio.FIRST_COMPLETED
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

    def note_received(self, request: web.Request, call: ClientCall) -> None:
        """Note in the background that the client has what was written, if that is so."""
        if call.digest is not None:
            self._behind(self._received(request.transport, call), "call received")

    async def _received(self, transport: asyncio.Transport | None, call: ClientCall) -> None:
        if await has_received(transport):
            self.calls.received(call)

    async def _cancelled(self, call: ClientCall) -> None:
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
