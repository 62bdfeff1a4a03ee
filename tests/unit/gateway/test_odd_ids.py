import asyncio
import json

import pytest

from headrace.broker.testing.upstream import Asked
from tests.gateway.rig import client_key
from tests.unit.gateway.served import BODY, Served, served


def hello(_: Asked) -> str:
    return "Hello."


async def _told(world: Served, head: bytes, body: bytes = b"") -> bytes:
    """Send bytes that no client library would send, and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    lines = (head, b"Host: x", f"Authorization: Bearer {client_key('ingest')}".encode(), b"Connection: close")
    writer.write(b"\r\n".join((*lines, f"Content-Length: {len(body)}".encode(), b"", b"")) + body)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("more", [b"", b"\r\nPrefer: respond-async"])
async def test_an_id_that_is_no_utf8_is_refused_before_anything_is_paid(more: bytes) -> None:
    async with served(hello) as world:
        post = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json"
        answer = await _told(world, post + b"\r\nx-headrace-id: caf\xe9" + more, json.dumps(BODY).encode())
        assert not world.broker.calls
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-headrace-id" in answer


@pytest.mark.parametrize("path", [b"a%00", b"%7f", b"a%01b", b"x" * 600])
@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
async def test_a_path_with_an_id_that_no_header_can_carry_is_unknown(method: bytes, path: bytes) -> None:
    async with served(hello) as world:
        answer = await _told(world, method + b" /v1/headrace/requests/" + path + b" HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 404")


async def test_an_id_of_any_script_comes_back_as_it_was_chosen() -> None:
    async with served(hello) as world:
        for given in ("Grüße 世界", "~abc", "a%2Fb%00", "a/b/../c", "a\tb"):
            reply = await world.ask(BODY, x_headrace_id=given)
            assert (reply.status, reply.headers["x-headrace-id"]) == (200, given)
        assert len({outcome.id for outcome in world.broker.outcomes}) == 5
