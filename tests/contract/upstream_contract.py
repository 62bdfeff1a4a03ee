"""What every upstream must do: run on the scripted double, and on the door to OpenAI before a simulated one."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pytest

from headrace.broker.core.answers.verdict import Meaning, judge
from headrace.broker.ports import UpstreamApi
from headrace.schemas.delta import Delta, text_of

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße, 世界"}]}
TIMEOUT_S = 1.0
"""After so long a call counts as unanswered."""


STREAMED = ["chat.completions", "responses"]
BODIES: dict[str, dict[str, Any]] = {"chat.completions": HELLO, "responses": {"model": "gpt-4.1", "input": "Grüße"}}
Stops = Literal["at its end", "cut", "error"]


@dataclass(frozen=True)
class Served:
    """What the other side does with a call; `body` is JSON if it is no text."""

    status: int = 200
    body: Mapping[str, Any] | str = field(default_factory=lambda: {"id": "chatcmpl-1", "choices": []})
    headers: Mapping[str, str] = field(default_factory=dict)
    line: Literal["whole", "cut", "silent", "refused"] = "whole"


class UpstreamWorld(Protocol):
    """An upstream, and the other side of its line."""

    def upstream(self, served: Served) -> UpstreamApi:
        """One that answers every call so."""

    def telling(self, stops: Stops = "at its end", *, after: int = 0) -> UpstreamApi:
        """One that streams an answer of several words to whoever asks for a stream; it may stop short."""

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        """Bodies of the calls that came."""

    @property
    def ids(self) -> dict[str, int]:
        """How often each request id called."""


class UpstreamContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> UpstreamWorld:
        raise NotImplementedError

    async def test_an_answer_comes_as_text_whole_with_its_headers(self, world: UpstreamWorld) -> None:
        body = {"id": "chatcmpl-1", "choices": [{"message": {"content": "Grüße, 世界 \\ud83d"}}], "unknown": [1, 2.5]}
        upstream = world.upstream(Served(200, body, {"x-ratelimit-remaining-tokens": "199"}))
        reply = await upstream.call("chat.completions", HELLO, "lead-1")
        assert reply.answer.status == 200
        assert reply.answer.headers["x-ratelimit-remaining-tokens"] == "199"
        assert (reply.answer.error_code, reply.answer.error_type, reply.answer.message) == (None, None, "")
        assert not reply.answer.early
        assert reply.body is not None
        assert json.loads(reply.body) == body
        await upstream.close()

    async def test_the_body_goes_out_as_it_is_under_the_requests_id(self, world: UpstreamWorld) -> None:
        upstream = world.upstream(Served())
        asked = {**HELLO, "stop": None, "seed": 7, "future_parameter": {"deep": [True, None, 1.5]}}
        await upstream.call("chat.completions", asked, "lead 1/u")
        assert world.bodies == [asked]
        assert world.ids == {"lead 1/u": 1}
        await upstream.close()

    @pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "embeddings"])
    async def test_every_endpoint_of_the_table_is_served(self, world: UpstreamWorld, endpoint: str) -> None:
        upstream = world.upstream(Served())
        assert (await upstream.call(endpoint, {"model": "m", "input": "x"}, "lead-1")).answer.status == 200
        await upstream.close()

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (429, {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}),
            (400, {"message": "Bad.", "type": "invalid_request_error", "param": "messages[0]", "code": None}),
            (401, {"message": "Wrong key.", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}),
            (500, {"message": "Sorry.", "type": "server_error", "param": None, "code": None}),
        ],
    )
    async def test_an_error_comes_with_its_fields_and_headers_and_is_not_tried_again(
        self, world: UpstreamWorld, status: int, error: Mapping[str, Any]
    ) -> None:
        upstream = world.upstream(Served(status, {"error": error}, {"retry-after-ms": "17"}))
        reply = await upstream.call("chat.completions", HELLO, "lead-1")
        answer = reply.answer
        assert reply.body is None
        assert answer.status == status
        assert answer.headers["retry-after-ms"] == "17"
        told = (answer.message, answer.error_type, answer.error_param, answer.error_code)
        assert told == (error["message"], error["type"], error["param"], error["code"])
        assert world.ids == {"lead-1": 1}
        await upstream.close()

    @pytest.mark.parametrize("status", [400, 429, 502])
    async def test_an_error_that_is_no_json_comes_as_its_text(self, world: UpstreamWorld, status: int) -> None:
        page = "<html><body><h1>Bad gateway</h1></body></html>"
        upstream = world.upstream(Served(status, page))
        answer = (await upstream.call("chat.completions", HELLO, "lead-1")).answer
        assert (answer.status, answer.error_code, answer.error_type, answer.error_param) == (status, None, None, None)
        assert answer.message == page
        await upstream.close()

    @pytest.mark.parametrize("body", [{"error": "out of order"}, {"detail": "out of order"}, {"error": None}])
    async def test_an_error_of_another_shape_has_no_fields(self, world: UpstreamWorld, body: Mapping[str, Any]) -> None:
        upstream = world.upstream(Served(503, body))
        answer = (await upstream.call("chat.completions", HELLO, "lead-1")).answer
        assert (answer.status, answer.error_code, answer.error_type, answer.error_param) == (503, None, None, None)
        await upstream.close()

    async def test_what_stands_beside_an_error_that_is_a_text_is_told_too(self, world: UpstreamWorld) -> None:
        beside = "You exceeded your current limit of concurrent requests."
        upstream = world.upstream(Served(429, {"status": 429, "error": "INSUFFICIENT QUOTA", "message": beside}))
        answer = (await upstream.call("chat.completions", HELLO, "lead-1")).answer
        assert (answer.error_code, answer.message) == (None, f"INSUFFICIENT QUOTA: {beside}")
        await upstream.close()

    async def test_an_error_code_that_is_no_text_is_told_as_text(self, world: UpstreamWorld) -> None:
        upstream = world.upstream(Served(503, {"error": {"message": "no", "code": 503, "type": ["a"]}}))
        answer = (await upstream.call("chat.completions", HELLO, "lead-1")).answer
        assert (answer.error_code, answer.error_type) == ("503", '["a"]')
        await upstream.close()

    @pytest.mark.parametrize("text", ["<html>Sign in to the network</html>", "", "[1, 2]", "{"])
    async def test_a_200_that_is_no_json_object_comes_as_its_text(self, world: UpstreamWorld, text: str) -> None:
        upstream = world.upstream(Served(200, text))
        reply = await upstream.call("chat.completions", HELLO, "lead-1")
        assert (reply.answer.status, reply.body) == (200, text)
        await upstream.close()

    @pytest.mark.parametrize(
        ("line", "code"), [("cut", "connection"), ("refused", "connection"), ("silent", "timeout")]
    )
    async def test_a_line_that_fails_is_an_answer_without_a_status(
        self, world: UpstreamWorld, line: Literal["cut", "silent", "refused"], code: str
    ) -> None:
        upstream = world.upstream(Served(line=line))
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        reply = await upstream.call("chat.completions", HELLO, "lead-1")
        assert (reply.answer.status, reply.answer.error_code, reply.body) == (None, code, None)
        assert loop.time() - begun_s < 10 * TIMEOUT_S
        await upstream.close()

    async def test_a_cancelled_call_ends_and_others_go_on(self, world: UpstreamWorld) -> None:
        upstream = world.upstream(Served(line="silent"))
        call = asyncio.create_task(upstream.call("chat.completions", HELLO, "lead-1"))
        other = asyncio.create_task(upstream.call("chat.completions", HELLO, "lead-2"))
        await asyncio.sleep(TIMEOUT_S / 4)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await other).answer.error_code == "timeout"
        await upstream.close()

    @pytest.mark.parametrize("content", ["\0\x7f\u2028", "\U0001f600", ""])
    async def test_no_text_is_too_odd_to_be_sent(self, world: UpstreamWorld, content: str) -> None:
        upstream = world.upstream(Served())
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        assert (await upstream.call("chat.completions", body, "lead-1")).answer.status == 200
        assert world.bodies == [body]
        await upstream.close()

    # ------------------------------------------------------------------ streams

    @pytest.mark.parametrize("endpoint", STREAMED)
    async def test_a_stream_is_told_as_it_comes_and_comes_whole_as_well(
        self, world: UpstreamWorld, endpoint: str
    ) -> None:
        upstream, told = world.telling(), list[Delta]()
        reply = await upstream.call(endpoint, BODIES[endpoint], "lead-1", told.append)
        assert judge(reply.answer).meaning is Meaning.OK
        assert reply.answer.early, "its headers came before its words"
        answer = json.loads(reply.body or "")
        texts = [text_of(delta) for delta in told]
        assert len([text for text in texts if text]) > 2
        assert "".join(texts) == _text_of(endpoint, answer)
        assert answer["usage"]["total_tokens"] > 0
        assert world.ids == {"lead-1": 1}
        await upstream.close()

    @pytest.mark.parametrize("endpoint", STREAMED)
    async def test_a_stream_names_its_answer_before_the_first_delta_and_once(
        self, world: UpstreamWorld, endpoint: str
    ) -> None:
        upstream, told = world.telling(), list[tuple[str, Any]]()
        reply = await upstream.call(
            endpoint,
            BODIES[endpoint],
            "lead-1",
            lambda delta: told.append(("delta", delta)),
            on_head=lambda head: told.append(("head", head)),
        )
        answer = json.loads(reply.body or "")
        assert [kind for kind, _ in told][:2] == ["head", "delta"]
        assert [kind for kind, _ in told].count("head") == 1
        head = told[0][1]
        if endpoint == "responses":
            assert [(each["output_index"], each["item"]["id"]) for each in head["items"]] == [
                (0, answer["output"][0]["id"])
            ]
            head = head["response"]
        assert (head["id"], head["model"]) == (answer["id"], answer["model"])
        await upstream.close()

    @pytest.mark.parametrize(
        "given", [{}, {"stream_options": None}, {"stream_options": {"include_obfuscation": False}}]
    )
    async def test_usage_is_asked_for_beside_what_a_producer_asks_for(
        self, world: UpstreamWorld, given: dict[str, Any]
    ) -> None:
        upstream = world.telling()
        await upstream.call("chat.completions", {**HELLO, **given}, "lead-1", lambda _: None)
        await upstream.call("responses", BODIES["responses"], "lead-2", lambda _: None)
        options = {**(given.get("stream_options") or {}), "include_usage": True}
        chat = {**HELLO, "stream": True, "stream_options": options}
        assert list(world.bodies) == [chat, {**BODIES["responses"], "stream": True}]
        await upstream.close()

    @pytest.mark.parametrize("after", [0, 2])
    @pytest.mark.parametrize("endpoint", STREAMED)
    async def test_a_stream_that_is_cut_is_a_connection_that_failed(
        self, world: UpstreamWorld, endpoint: str, after: int
    ) -> None:
        upstream, told = world.telling("cut", after=after), list[Delta]()
        reply = await upstream.call(endpoint, BODIES[endpoint], "lead-1", told.append)
        assert (reply.answer.status, reply.answer.error_code, reply.body) == (None, "connection", None)
        verdict = judge(reply.answer)
        assert (verdict.meaning, verdict.retryable, verdict.counts_as_attempt) == (Meaning.CONNECTION, True, True)
        assert len(told) == after
        await upstream.close()

    async def test_an_error_in_a_stream_comes_with_its_fields(self, world: UpstreamWorld) -> None:
        upstream = world.telling("error", after=1)
        reply = await upstream.call("chat.completions", HELLO, "lead-1", lambda _: None)
        assert (reply.answer.status, reply.answer.error_type, reply.body) == (200, "server_error", None)
        assert judge(reply.answer).meaning is Meaning.UPSTREAM_ERROR
        await upstream.close()

    async def test_a_refusal_before_the_stream_is_a_plain_one(self, world: UpstreamWorld) -> None:
        error = {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
        upstream, told = world.upstream(Served(429, {"error": error}, {"retry-after-ms": "17"})), list[Delta]()
        answer = (await upstream.call("chat.completions", HELLO, "lead-1", told.append)).answer
        assert (answer.status, answer.error_code, answer.headers["retry-after-ms"]) == (
            429,
            "rate_limit_exceeded",
            "17",
        )
        assert not told
        await upstream.close()

    @pytest.mark.parametrize(
        ("line", "code"), [("cut", "connection"), ("refused", "connection"), ("silent", "timeout")]
    )
    async def test_a_line_that_fails_before_the_stream_is_an_answer_without_a_status(
        self, world: UpstreamWorld, line: Literal["cut", "silent", "refused"], code: str
    ) -> None:
        upstream = world.upstream(Served(line=line))
        reply = await upstream.call("chat.completions", HELLO, "lead-1", lambda _: None)
        assert (reply.answer.status, reply.answer.error_code, reply.body) == (None, code, None)
        await upstream.close()


def _text_of(endpoint: str, answer: Mapping[str, Any]) -> str:
    if endpoint == "responses":
        return str(answer["output"][0]["content"][0]["text"])
    return str(answer["choices"][0]["message"]["content"])
