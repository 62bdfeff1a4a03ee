"""The simulated OpenAI over HTTP: the upstream of tests, the demo and `headrace upstream` instead of api.openai.com.

Only the server lives here; `exchange` decides every reply, `writing` puts it on the wire and `accounting` counts. A
call is in flight from its arrival until its reply is written out or its client is gone. Time is the event loop's, so a
test may run it in virtual time.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from headrace.broker.extras import require

try:
    from aiohttp import web
except ModuleNotFoundError:
    require("testing", "Simulated servers over HTTP")
    raise

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import Books, Stats
from headrace.broker.simulator.bills import Bills
from headrace.broker.simulator.exchange import Exchange, IncomingCall
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.script import Script, Scripted
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.writing import written

__all__ = ["Scripted", "Stats", "Upstream", "UpstreamSettings"]

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
BACKLOG: Final = 2_048  # connections the kernel holds for us while a thousand clients arrive at once
STOP_S: Final = 0.1  # calls in flight at the end are cut after this

Watcher = Callable[[IncomingCall, Reply, int], None]
"""Gets each call, its decided reply, and the instant in microseconds since the start or the last reset."""


class Upstream:
    """A server for the time of an `async with`.

    Example:
        ```python
        async with Upstream(UpstreamSettings(tokens_per_minute=60_000, latency_s=(0.1, 0.2))) as upstream:
            client = AsyncOpenAI(base_url=upstream.base_url, api_key="anything")
        ```

    Raises:
        OSError: on entering, when the port is taken or the host is not this machine's.
    """

    def __init__(self, settings: UpstreamSettings | None = None) -> None:
        self._settings = settings or UpstreamSettings()
        self._limiter = Limiter(self._settings.limits(), self._settings.scene())
        self._exchange = Exchange(self._settings, self._limiter)
        self._books = Books(self._settings.limits(), 0)
        self._runner: web.AppRunner | None = None
        self._watcher: Watcher | None = None
        self.root_url = ""

    @property
    def base_url(self) -> str:
        """Value for OPENAI_BASE_URL; it ends in /v1."""
        return f"{self.root_url}/v1"

    def books(self, *, ids: bool = False) -> Stats:
        """Return the counts since the start or the last reset, with `ids` for each request id as well."""
        behaving = bool(self._settings.behaviours)
        return self._books.snapshot(with_ids=ids, accounts=self._limiter.tallies(), behaving=behaving)

    @property
    def bills(self) -> Bills:
        """The bills of the answers sent since the start or the last reset."""
        return self._books.bills

    def script(self, script: Script | None) -> None:
        """Call `script(request_number, body)` for every call from now on; None from it means: as usual."""
        self._exchange.script = script

    def watch(self, watcher: Watcher | None) -> None:
        """Tell `watcher` of every call from now on, as soon as it is admitted or refused."""
        self._watcher = watcher

    def reset(self) -> None:
        """Open new books, fill every bucket, and forget responses and conversations.

        Calls in flight stay in flight and count in the old books.
        """
        now_us = self._now_us()
        self._limiter.reset(now_us)
        self._exchange.reset()
        self._books = Books(self._settings.limits(), now_us)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        for endpoint in Endpoint:
            app.router.add_post(f"/v1/{endpoint}", self._handler(endpoint))
        app.router.add_get("/v1/models", self._serve_models)
        app.router.add_get("/stats", self._serve_stats)
        app.router.add_post("/reset", self._serve_reset)
        app.router.add_route("*", "/{path:.*}", self._serve_unknown)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port, backlog=BACKLOG).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        self.root_url = f"http://{host}:{runner.addresses[0][1]}"
        self.reset()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _now_us(self) -> int:
        return int(asyncio.get_running_loop().time() * 1_000_000)

    def _handler(self, endpoint: Endpoint) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            books = self._books
            number = books.arrive()
            arrived_s = asyncio.get_running_loop().time()
            try:
                payload = await request.read()
                call = IncomingCall(
                    number, endpoint, {name.lower(): value for name, value in request.headers.items()}, payload
                )
                now_us = self._now_us()
                reply = self._exchange.decide(call, books, now_us)
                if self._watcher is not None:
                    self._watcher(call, reply, now_us - books.opened_us)
                return await written(request, reply, books, arrived_s)
            except (asyncio.CancelledError, ConnectionResetError):
                books.disconnected += 1
                raise
            finally:
                books.inflight -= 1

        return serve

    async def _serve_stats(self, request: web.Request) -> web.Response:
        told = self.books(ids=_is_wanted(request, "ids")).as_json()
        if _is_wanted(request, "bills"):
            told |= {"bills": [bill.as_json() for bill in self.bills], "bills_forgotten": self.bills.forgotten}
        return web.json_response(told)

    async def _serve_reset(self, request: web.Request) -> web.Response:
        self.reset()
        return web.json_response({"reset": True})

    async def _serve_models(self, _: web.Request) -> web.Response:
        """List the models that are served by name; none where every one is."""
        listed = [{"id": name, "object": "model", "owned_by": "headrace"} for name in self._settings.models]
        return web.json_response({"object": "list", "data": listed})

    async def _serve_unknown(self, request: web.Request) -> web.StreamResponse:
        books = self._books
        books.arrive()
        try:
            message = f"Invalid URL ({request.method} {request.path})"
            reply = Reply(404, wording.error_body(message, "invalid_request_error"))
            return await written(request, reply, books, asyncio.get_running_loop().time())
        finally:
            books.inflight -= 1


def _is_wanted(request: web.Request, name: str) -> bool:
    return request.query.get(name, "0") not in {"", "0", "false"}
