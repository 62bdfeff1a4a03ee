"""HTTP side of the live page: the page itself, its events, and the search for one request."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from headrace.broker.errors import Unreachable
from headrace.broker.service.metrics.escapes import safe_json
from headrace.broker.service.page.assets import asset
from headrace.broker.service.page.broadcast import PAGES_MAX, WRITE_WITHIN_S, Broadcast, encoded
from headrace.broker.service.page.documents import Documents
from headrace.broker.service.page.finder import Finder
from headrace.broker.service.status.presentable import json_text
from headrace.broker.service.status.question import question_of

_RETRY_MS: Final = 1_000
_FULL: Final = (
    f"This process has {PAGES_MAX} open pages, as many as it allows: close one, or open another dispatcher's."
)


@dataclass(frozen=True, slots=True)
class Pages:
    """Live page of one dispatcher."""

    documents: Documents
    broadcast: Broadcast
    finder: Finder

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page."""
        events = web.get("/events", self._events, allow_head=False)  # an answer to HEAD would be a stream without end
        return [web.get("/", self._page), events, web.get("/find", self._find)]

    async def close(self) -> None:
        """End all streams, so that the server can end."""
        await self.broadcast.close()

    async def _page(self, _: web.Request) -> web.Response:
        page = asset("page.html")
        headers = {"Content-Security-Policy": page.policy, "Referrer-Policy": "no-referrer"}
        return web.Response(text=page.html, content_type="text/html", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.broadcast.is_full:
            return web.Response(text=_FULL, status=503, headers={"Retry-After": "5"})
        with self.broadcast.page() as events:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
            try:
                await response.prepare(request)
            except ConnectionError:  # the page is gone already, which is no defect
                return response
            begin = f"retry: {_RETRY_MS}\n\n".encode() + encoded("introduction", self.documents.introduction())
            if await _write(request, response, begin):
                async for event in events:
                    if not await _write(request, response, event):
                        break
            return response

    async def _find(self, request: web.Request) -> web.Response:
        try:
            asked = question_of(list(request.query.items()), "/find")
            if asked is None:
                return _json({"error": "Ask for one request: /find?id=ID."}, 400)
            return _json(await self.finder.find(*asked))
        except ValueError as mistake:
            return _json({"error": str(mistake)}, 400)
        except Unreachable as reason:
            return _json({"error": str(reason)}, 503)


async def _write(request: web.Request, response: web.StreamResponse, event: bytes) -> bool:
    """Write an event; return False if the page is gone, or too slow to be waited for."""
    try:
        async with asyncio.timeout(WRITE_WITHIN_S):
            await response.write(event)
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
        return False
    return True


def _json(told: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(told, status=status, dumps=lambda each: safe_json(json_text(each)))
