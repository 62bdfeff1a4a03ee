"""What the environment of the SDK says counts as the settings read it: an empty variable is none."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch, said: str) -> AsyncIterator[OpenAICalls]:
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, said)
    door = OpenAICalls(OpenAIAccess("sk-any", None, None, None, timeout_s=1, connections_max=1))
    yield door
    await door.close()


@pytest.mark.parametrize("said", ["", "http://elsewhere.invalid/v1"])
async def test_what_the_settings_leave_open_is_openais_own_and_no_empty_header(door: OpenAICalls) -> None:
    assert str(door._client.base_url) == f"{OPENAI_URL}/"
    sent = {name.lower() for name, value in door._client.default_headers.items() if isinstance(value, str)}
    assert not sent & {"openai-organization", "openai-project"}


async def test_what_they_name_is_sent() -> None:
    door = OpenAICalls(OpenAIAccess("sk-any", "http://gate.invalid/v1", "org-1", "proj-1", 1, 1))
    assert str(door._client.base_url) == "http://gate.invalid/v1/"
    assert (door._client.organization, door._client.project) == ("org-1", "proj-1")
    await door.close()


@pytest.mark.parametrize(
    ("login", "tail", "sent"),
    [
        ("", "/v1", ("/v1/chat/completions", "Bearer sk-any")),
        ("me:p%40ss@", "/v1/", ("/v1/chat/completions", "Basic bWU6cEBzcw==")),
        ("", "/v1?api-version=1&key=a%2Fb", ("/v1/chat/completions?api-version=1&key=a/b", "Bearer sk-any")),
    ],
)
async def test_a_login_and_a_query_of_the_address_are_sent_to_the_gateway(
    login: str, tail: str, sent: tuple[str, str]
) -> None:
    heard: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((request.path_qs, request.headers.get("Authorization")))
        return web.json_response({"choices": []})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        url = f"http://{login}127.0.0.1:{server.port}{tail}"
        door = OpenAICalls(OpenAIAccess("sk-any", url, None, None, timeout_s=5, connections_max=1))
        reply = await door.call("chat.completions", {"model": "m"}, "r1")
        await door.close()
    assert (reply.answer.status, heard) == (200, [sent])
