"""No answer repeats the key that its call was made with."""

from collections.abc import Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.broker.adapters.openai.redacted_calls import HushedCalls
from headrace.broker.core.answers.verdict import Answer
from headrace.broker.ports import UpstreamReply
from headrace.broker.service.compose import dispatcher
from headrace.broker.settings.load import load_settings
from headrace.broker.testing.counter import RoughCounter
from headrace.schemas.delta import Delta, Head

KEY = "sk-Qx7Zt9-hush"


class Repeating:
    """A gateway that says what it was given."""

    def __init__(self, reply: UpstreamReply) -> None:
        self.reply = reply
        self.is_open = True

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        return self.reply

    async def models(self) -> UpstreamReply:
        return self.reply

    async def close(self) -> None:
        self.is_open = False


def answer(status: int | None, text: str | None) -> Answer:
    return Answer(status, {"retry-after": "1"}, text, text, text, text or "")


@pytest.mark.parametrize("status", [None, 200, 401, 500])
async def test_a_key_that_is_repeated_is_masked_in_each_text_of_an_answer(status: int | None) -> None:
    said = f"Invalid token 'Bearer {KEY}' ({KEY})"
    told = await HushedCalls(Repeating(UpstreamReply(answer(status, said), said)), KEY).call("responses", {}, "r")
    masked = "Invalid token 'Bearer ***' (***)"
    assert told == UpstreamReply(answer(status, masked), masked)
    assert await HushedCalls(Repeating(UpstreamReply(answer(status, said), said)), KEY).models() == told


@pytest.mark.parametrize("key", ["", "k", "sk-any"])
async def test_a_text_too_short_for_a_key_masks_nothing(key: str) -> None:
    reply = UpstreamReply(answer(200, "ask any"), '{"k": "sk-any"}')
    assert await HushedCalls(Repeating(reply), key).call("responses", {}, "r") == reply


async def test_what_holds_no_key_is_handed_on_as_it_came() -> None:
    reply = UpstreamReply(answer(503, None), None)
    assert await HushedCalls(Repeating(reply), KEY).call("responses", {}, "r") == reply


async def test_a_dispatcher_calls_a_gateway_that_repeats_keys_and_hears_none() -> None:
    async def refuse(request: web.Request) -> web.Response:
        told = {"error": {"message": f"Invalid key: {request.headers['Authorization']}", "code": "invalid_api_key"}}
        return web.json_response(told, status=401)

    app = web.Application()
    app.router.add_post("/v1/responses", refuse)
    async with TestServer(app) as gateway:
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": str(gateway.make_url("/v1"))}
        settings = load_settings(environ=environ)
        built = dispatcher(settings, "cluster", RoughCounter())
        upstream = built.doors.upstream
        told = await upstream.call("responses", {"model": "m", "input": "x"}, "r")
        await upstream.close()
    assert told.answer.message == "Invalid key: Bearer ***"


async def test_closing_closes_what_is_behind() -> None:
    behind = Repeating(UpstreamReply(answer(200, None), None))
    await HushedCalls(behind, KEY).close()
    assert not behind.is_open
