"""A server between the dispatcher and the simulated OpenAI that counts paid calls by a marker in their prompts.

The dispatcher's ids say nothing of which client's call was paid twice; the marker, which each client's call has of its
own, does.
"""

import re
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

_MARKER = re.compile(rb"\[call (\w+)\]")
_KEPT = frozenset({"authorization", "content-type", "x-client-request-id", "accept", "traceparent"})
_DROPPED = frozenset({"transfer-encoding", "content-length", "content-encoding", "connection"})


class MarkerBooks:
    """Passes calls on to `base_url`. `paid` counts answers of status 200 by marker, `begun` all calls."""

    def __init__(self, base_url: str) -> None:
        self.paid: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.port = 0
        self._base_url = base_url
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/v1/{path:.*}", self._passed)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _passed(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        found = _MARKER.search(body)
        marker = found[1].decode() if found else ""
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT}
        if marker:
            self.begun[marker] += 1
        url = f"{self._base_url}/{request.match_info['path']}"
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            if marker and answer.status == 200:
                self.paid[marker] += 1
            told = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            response = web.StreamResponse(status=answer.status, headers=told)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response
