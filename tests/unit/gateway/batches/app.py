"""What the real server does around the handlers of batches, as little of it as they need."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from headrace.broker.gateway.batches.service import Batches
from headrace.broker.gateway.http.request_keys import KEY
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import ApiError

KEYS = {
    name: ClientKey(name=name, tenant=tenant, lane="standard", lanes=("bulk",), models=("gpt-*", "text-*"))
    for name, tenant in (("ada", "acme"), ("bob", "acme"), ("eve", "other"))
}
"""By the text that a client sends as its API key."""


@web.middleware
async def keyed(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Do what the gateway's middlewares do: find the key, and turn errors into answers."""
    request[KEY] = KEYS[request.headers["Authorization"].removeprefix("Bearer ")]
    try:
        response: web.StreamResponse = await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status, headers=error.headers)
    return response


def app_of(batches: Batches) -> web.Application:
    app = web.Application(middlewares=[keyed])
    app.add_routes(batches.routes())
    return app
