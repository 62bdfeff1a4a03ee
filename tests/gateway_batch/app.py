"""A gateway of batches alone: what the real server does around their handlers, as little of it as they need.

    python -m tests.gateway_batch.app BOOTSTRAP PREFIX

It says in one line of JSON where it listens, and serves until it is killed. `/running` lists the batches that it runs.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from headrace.broker.adapters.kafka.batch_doors import KafkaBatchDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.clock import run
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

    async def running(_: web.Request) -> web.Response:
        return web.json_response(sorted(batches.runner.running))

    app.add_routes([*batches.routes(), web.get("/running", running)])
    return app


async def serve(bootstrap: str, prefix: str) -> None:
    async with Batches(KafkaBatchDoors(KafkaConnection(bootstrap)), prefix) as batches:
        runner = web.AppRunner(app_of(batches))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        sys.stdout.write(json.dumps({"event": "listening", "port": port}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(serve(*sys.argv[1:]))
