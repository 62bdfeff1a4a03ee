"""OpenAI's own Python SDK, unmodified, against a real gateway: every answer comes out as the SDK's typed objects.

tests/gateway_sdks has the SDKs of other languages, older ones, LangChain and instructor.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import aiohttp
import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageFunctionToolCall
from openai.types.responses import Response, ResponseCompletedEvent, ResponseFunctionToolCall
from pydantic import BaseModel

from headrace.broker.local.services import LocalServices
from tests.gateway import openai_schemas as schemas
from tests.gateway.rig import client_key
from tests.gateway.sdk_calls import (
    asked,
    background_response,
    call_of_a_model_that_the_key_has_not,
    call_of_something_that_is_not_served,
    call_on_a_lane_that_the_key_has_not,
    call_that_openai_refuses,
    call_without_messages,
    refused_once,
)
from tests.gateway.sdk_world import MODEL, SdkWorld, sdk_world

EMBEDDER = "text-embedding-3-small"
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TOOL: Any = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}
ARGUMENTS = {"city": "Grüße 世界", "days": 7}


class Step(BaseModel):
    """One step of a plan."""

    what: str
    minutes: int


class Lead(BaseModel):
    """A structured output, with a choice and a nested list."""

    company: str
    size: Literal["small", "large"]
    steps: list[Step]


LEAD = Lead(company="Grüße 世界", size="small", steps=[Step(what="Grüße 世界", minutes=7)])


@pytest.fixture(scope="module")
def world(services: LocalServices) -> Iterator[SdkWorld]:
    with sdk_world(services, prefix="sdk") as running:
        yield running


@pytest.fixture(scope="module")
def client(world: SdkWorld) -> Iterator[openai.OpenAI]:
    with world.client() as made:
        yield made


# ---------------------------------------------------------------------- chat completions


def test_a_chat_completion_is_the_sdks_own_with_its_request_id_and_headraces_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=asked())
    done = raw.parse()
    assert isinstance(done, ChatCompletion)
    assert done.choices[0].message.content
    assert done.usage
    assert done.usage.total_tokens > 0
    assert done._request_id == raw.request_id == raw.headers["x-request-id"]
    assert done._request_id.startswith("req_")
    assert raw.headers["x-headrace-lane"] == "urgent"
    assert raw.headers["x-headrace-attempts"] == "1"
    assert float(raw.headers["x-headrace-cost-micro-usd"]) > 0
    assert int(raw.headers["x-headrace-wait-ms"]) >= 0
    assert raw.retries_taken == 0


async def test_streams_have_their_usage_only_where_it_is_asked_for(world: SdkWorld, client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model=MODEL, messages=asked(), stream=True))
    async with world.async_client() as other:
        stream = await other.chat.completions.create(
            model=MODEL, messages=asked(), stream=True, stream_options={"include_usage": True}
        )
        counted = [chunk async for chunk in stream]
    for chunks in (plain, counted):
        assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
        assert len({chunk.id for chunk in chunks}) == 1
        assert sum(len(chunk.choices) for chunk in chunks) >= 3, "the role, the text, the end"
        assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]
    assert not any(chunk.usage for chunk in plain)
    assert [bool(chunk.usage) for chunk in counted] == [False] * (len(counted) - 1) + [True]
    assert counted[-1].choices == []


def test_a_stream_and_the_whole_answer_of_its_id_are_the_same(client: openai.OpenAI) -> None:
    own = {"x-headrace-id": "lead-17"}
    pieces = client.chat.completions.create(model=MODEL, messages=asked(), stream=True, extra_headers=own)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    whole = client.chat.completions.create(model=MODEL, messages=asked(), extra_headers=own)
    assert whole.choices[0].message.content == said


def test_tools_are_called_and_answered_whole_and_streamed(client: openai.OpenAI) -> None:
    tools: dict[str, Any] = {"model": MODEL, "tools": [CHAT_TOOL], "parallel_tool_calls": True}
    whole = client.chat.completions.create(messages=asked(), **tools).choices[0]
    with client.chat.completions.stream(messages=asked(), **tools) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls
        assert [call.id for call in choice.message.tool_calls] == ["call_0", "call_1"]
        for call in choice.message.tool_calls:
            assert isinstance(call, ChatCompletionMessageFunctionToolCall)
            assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)
    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert kinds.count("tool_calls.function.arguments.delta") >= 2
    result: Any = {"role": "tool", "tool_call_id": "call_0", "content": "Sun"}
    after = client.chat.completions.create(
        messages=[*asked(), whole.message.model_dump(exclude_none=True), result], **tools
    )
    assert after.choices[0].message.content


def test_structured_outputs_are_parsed_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.chat.completions.parse(model=MODEL, messages=asked(), response_format=Lead)
    assert whole.choices[0].message.parsed == LEAD
    with client.chat.completions.stream(model=MODEL, messages=asked(), response_format=Lead) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == LEAD
    assert client.responses.parse(model=MODEL, input="Plan it.", text_format=Lead).output_parsed == LEAD
    with client.responses.stream(model=MODEL, input="Plan it.", text_format=Lead) as events:
        for _ in events:
            pass
        assert events.get_final_response().output_parsed == LEAD


def test_members_that_the_gateway_does_not_know_are_openais_to_judge(world: SdkWorld) -> None:
    with world.client(organization="org-1", project="proj_1") as client:
        done = client.chat.completions.create(
            model=MODEL, messages=asked(), n=2, seed=7, logprobs=True, extra_body={"new_member": {"a": 1}}
        )
    assert len(done.choices) == 2


# ---------------------------------------------------------------------- responses and embeddings


async def test_a_responses_events_come_in_order_and_end_with_the_whole(world: SdkWorld, client: openai.OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input="Write to Ada.")
    assert isinstance(whole, Response)
    assert whole.output_text
    async with world.async_client() as other:
        stream = await other.responses.create(model=MODEL, input="Write to Ada.", stream=True)
        events: list[Any] = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response.output_text == said
    assert events[-1].response.usage


def test_a_response_calls_a_tool_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input="How is the weather?", tools=[TOOL])
    with client.responses.stream(model=MODEL, input="How is the weather?", tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_response()
    for response in (whole, streamed):
        [call] = response.output
        assert isinstance(call, ResponseFunctionToolCall)
        assert (call.call_id, json.loads(call.arguments)) == ("call_0", ARGUMENTS)
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds
    output = {"type": "function_call_output", "call_id": "call_0", "output": "Sun"}
    items: Any = [*asked(), *(each.model_dump(exclude_none=True) for each in whole.output), output]
    assert client.responses.create(model=MODEL, input=items, tools=[TOOL]).output_text


def test_embeddings_are_numbers_whether_packed_or_not(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model=EMBEDDER, input=["a", "b", "Grüße"])
    plain = client.embeddings.create(model=EMBEDDER, input=["a", "b", "Grüße"], encoding_format="float")
    assert isinstance(packed, CreateEmbeddingResponse)
    assert [each.index for each in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == 1_536
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    tokens = client.embeddings.create(model=EMBEDDER, input=[[1, 2], [3]], dimensions=4)
    assert [len(each.embedding) for each in tokens.data] == [4, 4]


def test_models_are_listed_and_found(client: openai.OpenAI, world: SdkWorld) -> None:
    client.chat.completions.create(model=MODEL, messages=asked())
    assert MODEL in {model.id for model in client.models.list()}
    assert isinstance(client.models.retrieve(MODEL), Model)
    with world.client("small") as small, pytest.raises(openai.NotFoundError):
        small.models.retrieve("o3")


# ---------------------------------------------------------------------- errors


def test_a_wrong_key_is_an_authentication_error(world: SdkWorld) -> None:
    with (
        refused_once(world, api_key="sk-of-no-client") as (client, _),
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=asked())
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")


@pytest.mark.parametrize(
    ("call", "error", "param"),
    [
        (call_without_messages, openai.BadRequestError, "messages"),
        (call_that_openai_refuses, openai.BadRequestError, None),
        (background_response, openai.BadRequestError, "background"),
        (call_of_a_model_that_the_key_has_not, openai.NotFoundError, "model"),
        (call_of_something_that_is_not_served, openai.NotFoundError, None),
        (call_on_a_lane_that_the_key_has_not, openai.PermissionDeniedError, "x-headrace-lane"),
    ],
)
def test_a_refusal_is_the_sdks_own_error_and_is_not_repeated(
    world: SdkWorld, call: Callable[[openai.OpenAI], object], error: type[openai.APIStatusError], param: str | None
) -> None:
    with refused_once(world, "small") as (client, _), pytest.raises(error) as caught:
        call(client)
    assert caught.value.param == param
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}


def test_a_failure_that_is_final_is_not_repeated_whatever_its_status(world: SdkWorld) -> None:
    late = {"x-headrace-deadline": "0.001"}
    with refused_once(world) as (client, _), pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=MODEL, messages=asked(), extra_headers=late)
    assert caught.value.status_code == 408  # which the SDK would repeat by itself
    assert caught.value.code in {"deadline_exceeded", "deadline_unreachable"}
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_cap_of_the_key_is_a_rate_limit_error_that_says_when_to_come_back(world: SdkWorld) -> None:
    with world.client("capped") as client:
        client.chat.completions.create(model=MODEL, messages=asked())
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=asked())
    assert caught.value.code == "rate_limit_exceeded"
    assert 50 <= int(caught.value.response.headers["retry-after"]) <= 60


async def test_repetitions_after_a_time_out_join_the_call_that_is_paid_for(world: SdkWorld) -> None:
    async def given_up(marker: str, *, stream: bool) -> None:
        async with world.async_client(timeout=1.0, max_retries=6) as client:
            prompt = asked(f"[after 2.5] [call {marker}]")
            create: Any = client.chat.completions.with_raw_response.create
            raw = await create(model=MODEL, messages=prompt, stream=stream)
            assert raw.retries_taken > 0
            answer = raw.parse()
            said = [each async for each in answer] if stream else answer.choices
            assert said

    async def sent_away(marker: str) -> None:
        async with world.async_client("hasty", max_retries=6) as client:
            prompt = asked(f"[after 2.5] [call {marker}]")
            raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=prompt)
            assert raw.retries_taken > 0
            assert raw.parse().choices[0].message.content

    await asyncio.gather(given_up("whole", stream=False), given_up("streamed", stream=True), sent_away("504"))
    assert [world.paid(marker) for marker in ("whole", "streamed", "504")] == [1, 1, 1]


# ---------------------------------------------------------------------- without waiting


def test_a_call_can_be_left_and_looked_up_and_cancelled_by_its_id(world: SdkWorld, client: openai.OpenAI) -> None:
    def left(name: str, prompt: str) -> Any:
        told = {"Prefer": "respond-async", "x-headrace-id": name}
        return client.chat.completions.with_raw_response.create(
            model=MODEL, messages=asked(prompt), extra_headers=told
        ).http_response

    def seen(name: str, made: openai.OpenAI = client) -> Any:
        return made.get(f"/headrace/requests/{name}", cast_to=dict[str, Any])

    def seen_ended(name: str) -> Any:
        for _ in range(100):
            if (told := seen(name))["status"] in {"completed", "failed"}:
                return told
            time.sleep(0.05)  # a poll, as a client of the API would
        raise AssertionError(seen(name))

    taken = left("lead-18", "Hello.")
    assert (taken.status_code, taken.json()["status"]) == (202, "accepted")
    assert ChatCompletion.model_validate(seen_ended("lead-18")["response"]).choices[0].message.content
    left("lead-19", "[after 20]")
    assert seen("lead-19")["status"] in {"queued", "in_progress"}
    assert client.delete("/headrace/requests/lead-19", cast_to=dict[str, Any])["status"] == "cancelling"
    assert seen_ended("lead-19")["reason"] == "cancelled"
    with world.client("other") as foreign:
        for _ in range(200):  # a leader of less than ten seconds cannot say yet that a request is not there
            try:
                told = seen("lead-18", foreign)
            except openai.NotFoundError:
                return
            assert told["status"] == "not_known"
            time.sleep(0.2)  # a poll; see above
    raise AssertionError(told)


# ---------------------------------------------------------------------- OpenAI's published schemas

CHAT: dict[str, Any] = {"model": MODEL, "messages": asked()}
STREAM: dict[str, Any] = {"stream": True}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
FORMAT = {"type": "json_schema", "name": "lead", "schema": Lead.model_json_schema()}
PLAN: dict[str, Any] = {"model": MODEL, "input": "Plan it.", "text": {"format": FORMAT}}
WEATHER: dict[str, Any] = {"model": MODEL, "input": "How is the weather?", "tools": [TOOL], "parallel_tool_calls": True}
UNTIL_THE_END = "response.usage: None is not of type 'object'"  # OpenAI's own examples have null there


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("chat/completions", CHAT | {"n": 2, "logprobs": True}, schemas.CHAT),
        ("chat/completions", CHAT | {"tools": [CHAT_TOOL]}, schemas.CHAT),
        ("chat/completions", CHAT | STREAM, schemas.CHAT_CHUNK),
        ("chat/completions", CHAT | USAGE | {"n": 2}, schemas.CHAT_CHUNK),
        ("chat/completions", CHAT | USAGE | {"tools": [CHAT_TOOL], "parallel_tool_calls": True}, schemas.CHAT_CHUNK),
        ("responses", PLAN, schemas.RESPONSE),
        ("responses", WEATHER, schemas.RESPONSE),
        ("responses", PLAN | STREAM, schemas.RESPONSE_EVENT),
        ("responses", WEATHER | STREAM, schemas.RESPONSE_EVENT),
        ("embeddings", {"model": EMBEDDER, "input": ["a", "b"]}, schemas.EMBEDDINGS),
        ("models", None, schemas.MODELS),
        (f"models/{MODEL}", None, schemas.MODEL),
        ("chat/completions", {}, schemas.ERROR),
        ("chat/completions", {"model": MODEL, "messages": "none"}, schemas.ERROR),
        ("responses", {"model": MODEL, "input": "[status 400]", "stream": True}, schemas.ERROR),
        ("nothing", None, schemas.ERROR),
    ],
    ids=range(16),
)
async def test_every_answer_chunk_and_event_fits_openais_published_schema(
    world: SdkWorld, path: str, body: dict[str, Any] | None, schema: str
) -> None:
    headers = {"Authorization": f"Bearer {client_key('ingest')}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request("GET" if body is None else "POST", f"{world.base_url}/{path}", json=body) as answer,
    ):
        text = await answer.text()
    assert (answer.status >= 400) == (schema == schemas.ERROR)
    is_stream = answer.content_type == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    told = [json.loads(each) for each in (lines if is_stream else [text])]
    assert is_stream == (len(told) > 1)
    found = [fault for each in told for fault in schemas.faults(schema, each)]
    assert set(found) <= {UNTIL_THE_END}, found
