"""A body reaches OpenAI as its producer wrote it: from a record's bytes to those of the call, over real sockets.

Whatever JSON it is, with names that are OpenAI's today, tomorrow's or nobody's: nothing is added but what streaming
needs, nothing is lost, and no number or text becomes another one.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.schemas.request import FORBIDDEN_BODY_KEYS
from headrace.schemas.request_codec import DecodedRequest, decode_request

BODIES = 250
NAMES = st.sampled_from(
    [
        "messages", "input", "instructions", "tools", "tool_choice", "response_format", "text", "stream_options", "n",
        "max_tokens", "temperature", "seed", "user", "metadata", "store", "reasoning", "dimensions", "image_url",
        "headers", "query", "body", "options", "model_extra", "cast_to", "idempotency_key", "max_retries", "", "ü",
    ]
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**20, 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=20,
)
RULED = frozenset({*FORBIDDEN_BODY_KEYS, "model", "stream"})
"""Names of a body that Headrace has rules for; Hypothesis finds them in the source, depending on what is loaded."""
OBJECTS = st.dictionaries((NAMES | TEXTS).filter(lambda name: name not in RULED), VALUES, max_size=8)


@cache
def some_bodies() -> list[dict[str, Any]]:
    """The same ones in each run, and so made once for all tests: Hypothesis takes seconds for them."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=BODIES, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(OBJECTS)
    def gather(body: dict[str, Any]) -> None:
        found.append({"model": "gpt-4o-mini"} | body)

    gather()
    return found


@dataclass
class Told:
    """What a server was sent, byte for byte."""

    door: OpenAICalls
    raw: list[bytes] = field(default_factory=list)


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    async def serve(request: web.Request) -> web.Response:
        server.raw.append(await request.read())
        return web.json_response({"choices": []})

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/{path:.*}", serve)
    listening = TestServer(app)
    await listening.start_server()
    door = OpenAICalls(OpenAIAccess("sk-any", str(listening.make_url("/v1")), None, None, 10.0, 4))
    server = Told(door)
    yield server
    await door.close()
    await listening.close()


def spelled(value: object) -> str:
    """One spelling for one meaning; 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True)


async def sent(told: Told, endpoint: str, body: dict[str, Any], *, stream: bool) -> Any:
    """What arrives of a request with this body, taken from a record."""
    record = json.dumps({"id": "lead-1", "endpoint": endpoint, "body": body, "stream": stream}).encode()
    read = decode_request(record, ())
    assert isinstance(read, DecodedRequest), body
    await told.door.call(endpoint, read.request.body, "lead-1", (lambda _: None) if stream else None)
    return json.loads(told.raw[-1])


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "embeddings"])
async def test_a_body_of_any_json_arrives_as_it_was_written(told: Told, endpoint: str) -> None:
    for body in some_bodies():
        assert spelled(await sent(told, endpoint, body, stream=False)) == spelled(body)
    assert len(told.raw) > BODIES // 2


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses"])
async def test_a_stream_adds_that_it_is_one_and_asks_for_its_usage_and_nothing_else(told: Told, endpoint: str) -> None:
    for body in some_bodies():
        options, added = body.get("stream_options"), {"stream": True}
        expected = body | added
        if endpoint == "chat.completions" and (options is None or isinstance(options, dict)):
            expected |= {"stream_options": {**(options or {}), "include_usage": True}}
        assert spelled(await sent(told, endpoint, body, stream=True)) == spelled(expected)


async def test_structured_outputs_and_tools_arrive_whole_and_in_the_order_they_were_written(told: Told) -> None:
    schema = {
        "type": "object",
        "properties": {"z": {"type": "string"}, "a": {"type": "number"}},
        "required": ["z", "a"],
    }
    chat = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Write"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "mail", "strict": True, "schema": schema}},
        "tools": [{"type": "function", "function": {"name": "look_up", "parameters": schema}}],
        "parallel_tool_calls": False,
    }
    response = {
        "model": "gpt-4.1",
        "input": "Write",
        "text": {"format": {"type": "json_schema", "name": "mail", "strict": True, "schema": schema}},
        "tools": [{"type": "web_search"}, {"type": "function", "name": "look_up", "parameters": schema}],
    }
    for endpoint, body in (("chat.completions", chat), ("responses", response)):
        assert json.dumps(await sent(told, endpoint, body, stream=False)) == json.dumps(body)
