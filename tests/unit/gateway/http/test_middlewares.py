"""What every request passes: its count, its errors, its key, its caps."""

import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.middlewares import Middlewares
from headrace.broker.gateway.http.request_keys import ENDPOINT, KEY
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.observing import NoMeter
from headrace.broker.gateway.shapes.errors import ApiError


class Counting(NoMeter):
    def __init__(self) -> None:
        self.answers: list[tuple[str, str, int]] = []

    def answered(self, endpoint: str, lane: str, status: int, seconds: float) -> None:
        self.answers.append((endpoint, lane, status))


def middlewares(meter: NoMeter, *, inflight_max: int = 50) -> Middlewares:
    ring = cast("KeyRing", None)  # no test here shows a key
    return Middlewares(ring, Caps(), BodyLimits(1_000, 1.0), meter, inflight_max)


async def done(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def test_a_gateway_takes_as_many_requests_as_it_can_hold() -> None:
    held, go_on = middlewares(NoMeter(), inflight_max=2), asyncio.Event()

    def request(method: str = "POST") -> web.Request:
        made = make_mocked_request(method, "/v1/files")
        made[KEY] = ClientKey(name="ingest", tenant="acme")
        return made

    async def waiting(_: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response()

    first = [asyncio.create_task(held.capped(request(), waiting)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await held.capped(request(), done)
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
    assert (await held.capped(request("GET"), done)).status == 204, "what only looks holds nothing"
    go_on.set()
    await asyncio.gather(*first)
    assert held.inflight == 0
    assert (await held.capped(request(), done)).status == 204


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/models/gpt-4o", "models"),
        ("/v1/headrace/requests/a/b", "requests"),
        ("/v1/files", "files"),
        ("/v1/batches/batch_1/cancel", "batches"),
        ("/v1/modelsx", "other"),
        ("/", "other"),
    ],
)
async def test_an_answer_is_counted_by_what_was_asked_for(path: str, endpoint: str) -> None:
    meter = Counting()
    await middlewares(meter).counted(make_mocked_request("GET", path), done)
    assert meter.answers == [(endpoint, "", 204)]


async def test_a_handler_may_name_its_endpoint_and_a_hang_up_is_499() -> None:
    meter = Counting()

    async def left(request: web.Request) -> web.StreamResponse:
        request[ENDPOINT] = "embeddings"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await middlewares(meter).counted(make_mocked_request("POST", "/v1/embeddings"), left)
    assert meter.answers == [("embeddings", "", 499)]


async def test_the_middlewares_stand_in_the_order_of_their_docstring() -> None:
    made = middlewares(NoMeter())
    assert made.all() == [made.counted, made.errors, made.keyed, made.capped]
