"""A server between the dispatcher and the simulated OpenAI: it calls tools, keeps to schemas, is slow or fails.

The simulator has no tools, and its texts keep to no schema. Answers with calls of tools and structured outputs are
spelled here as OpenAI's API reference shows them, whole and streamed. Every other call is passed on. Words in a prompt
decide the rest: `[after 3]` delays the answer by three seconds, `[status 400]` answers with that status, `[call m1]`
counts the call under `m1`.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

_MARKER = re.compile(rb"\[call ([\w-]+)\]")
_AFTER = re.compile(rb"\[after ([\d.]+)\]")
_STATUS = re.compile(rb"\[status (\d+)\]")
_KEPT = frozenset({"authorization", "content-type", "x-client-request-id", "accept", "traceparent"})
_DROPPED = frozenset({"transfer-encoding", "content-length", "content-encoding", "connection"})
_USAGE: Mapping[str, Any] = {
    "prompt_tokens": 82,
    "completion_tokens": 17,
    "total_tokens": 99,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_RESPONSE_USAGE: Mapping[str, Any] = {
    "input_tokens": 82,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 17,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 99,
}


class ScriptedOpenAI:
    """Serves at `base_url`, and passes calls on to `behind`. `paid` counts answers of status 200 by marker."""

    def __init__(self) -> None:
        self.behind = ""
        self.paid: Counter[str] = Counter()
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/v1/{path:.*}", self._answered)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        if found := _AFTER.search(sent):
            await asyncio.sleep(float(found[1]))
        if found := _STATUS.search(sent):
            error = {"message": "It was asked to fail.", "type": "server_error", "param": None, "code": None}
            return web.json_response({"error": error}, status=int(found[1]), headers={"x-request-id": "req_failed"})
        if found := _MARKER.search(sent):
            self.paid[found[1].decode()] += 1
        body = json.loads(sent) if sent else {}
        said = _calls_of_tools(body) or _structured(body)
        if not said:
            return await self._passed(request, sent)
        is_chat = request.path.endswith("completions")
        whole = _chat_completion(said) if is_chat else _response(body, said)
        if not body.get("stream"):
            return web.json_response(whole, headers={"x-request-id": "req_scripted"})
        return await _streamed(request, _chat_frames(body, whole) if is_chat else _response_frames(whole))

    async def _passed(self, request: web.Request, sent: bytes) -> web.StreamResponse:
        assert self._session is not None
        if not self.behind:  # the dispatcher asks for the models as it starts
            return web.Response(status=503)
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT}
        url = f"{self.behind}/{request.match_info['path']}"
        async with self._session.request(request.method, url, data=sent, headers=headers) as answer:
            told = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            response = web.StreamResponse(status=answer.status, headers=told)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


async def _streamed(request: web.Request, frames: Iterator[str]) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": "req_scripted"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for frame in frames:
        await response.write(frame.encode())
        await asyncio.sleep(0.002)
    await response.write_eof()
    return response


# ---------------------------------------------------------------------- what is said


@dataclass(frozen=True)
class _Call:
    """A call of a tool."""

    name: str
    arguments: str


_Said = str | list[_Call]


def _calls_of_tools(body: Mapping[str, Any]) -> list[_Call]:
    """Calls of the first function that a body offers, two if it asks for several; none once one was answered."""
    if not body.get("tools"):
        return []
    said = body.get("messages") or body["input"]
    given = [] if isinstance(said, str) else said
    if any(each.get("role") == "tool" or each.get("type") == "function_call_output" for each in given):
        return []
    function = body["tools"][0].get("function") or body["tools"][0]
    call = _Call(function["name"], _json_for(function["parameters"]))
    return [call] * (2 if body.get("parallel_tool_calls") else 1)


def _structured(body: Mapping[str, Any]) -> str:
    """The text for a body that asks for a structured output; empty for another."""
    wanted = (body.get("response_format") or {}).get("json_schema") or (body.get("text") or {}).get("format") or {}
    return _json_for(wanted["schema"]) if "schema" in wanted else ""


def _json_for(schema: Mapping[str, Any]) -> str:
    return json.dumps(_example(schema, schema), ensure_ascii=False)


def _example(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """A value that the schema allows; enough of JSON Schema for what SDKs make of the tests' own types."""
    if "$ref" in schema:
        part: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        return _example(part, root)
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], root)
    plain = {"integer": 7, "number": 7, "boolean": True, "string": "Grüße 世界"}
    if schema.get("type") == "array":
        return [_example(schema["items"], root)]
    if schema.get("type") == "object":
        return {name: _example(each, root) for name, each in schema["properties"].items()}
    return schema["enum"][0] if "enum" in schema else plain[schema["type"]]


# ---------------------------------------------------------------------- chat completions


def _chat_completion(said: _Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if isinstance(said, str):
        message["content"] = said
    else:
        message["tool_calls"] = [
            {"id": f"call_{number}", "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
            for number, each in enumerate(said)
        ]
    ending = "stop" if isinstance(said, str) else "tool_calls"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": ending}],
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _chat_frames(body: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    head = {name: value for name, value in whole.items() if name not in {"choices", "usage"}}
    head |= {"object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})

    def frame(delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

    choice = whole["choices"][0]
    text = choice["message"]["content"]
    yield frame({"role": "assistant", "content": text and ""})
    for piece in _pieces(text or ""):
        yield frame({"content": piece})
    for number, call in enumerate(choice["message"].get("tool_calls") or ()):
        yield frame({"tool_calls": [{"index": number, **call, "function": {**call["function"], "arguments": ""}}]})
        for piece in _pieces(call["function"]["arguments"]):
            yield frame({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield frame({}, choice["finish_reason"])
    if with_usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': whole['usage']})}\n\n"
    yield "data: [DONE]\n\n"


# ---------------------------------------------------------------------- responses


def _response(body: Mapping[str, Any], said: _Said) -> dict[str, Any]:
    done = {"status": "completed"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
    calls = said if isinstance(said, list) else ()
    output: list[dict[str, Any]] = [
        {"id": f"fc_{number}", "type": "function_call", **done, "arguments": each.arguments}
        | {"call_id": f"call_{number}", "name": each.name}
        for number, each in enumerate(calls)
    ] or [{"id": "msg_0", "type": "message", **done, "role": "assistant", "content": [part]}]
    text = {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})}
    return {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": None,
        "model": "gpt-4o-mini-2024-07-18",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": text,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _RESPONSE_USAGE,
        "metadata": {},
    }


def _response_frames(whole: Mapping[str, Any]) -> Iterator[str]:
    number = -1

    def frame(kind: str, **members: Any) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **members})}\n\n"

    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield frame("response.created", response=begun)
    yield frame("response.in_progress", response=begun)
    for index, item in enumerate(whole["output"]):
        where = {"item_id": item["id"], "output_index": index}
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield frame("response.output_item.added", output_index=index, item={**item, "status": "in_progress", **empty})
        if item["type"] == "message":
            part, where = item["content"][0], {**where, "content_index": 0}
            yield frame("response.content_part.added", **where, part={**part, "text": ""})
            for piece in _pieces(part["text"]):
                yield frame("response.output_text.delta", **where, delta=piece, logprobs=[])
            yield frame("response.output_text.done", **where, text=part["text"], logprobs=[])
            yield frame("response.content_part.done", **where, part=part)
        else:
            for piece in _pieces(item["arguments"]):
                yield frame("response.function_call_arguments.delta", **where, delta=piece)
            said = {"arguments": item["arguments"], "name": item["name"]}
            yield frame("response.function_call_arguments.done", **where, **said)
        yield frame("response.output_item.done", output_index=index, item=item)
    yield frame("response.completed", response=whole)


def _pieces(text: str) -> Iterator[str]:
    yield from (text[at : at + 5] for at in range(0, len(text), 5))
