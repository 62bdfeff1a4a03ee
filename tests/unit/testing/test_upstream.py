"""The scripted upstream does what the door to OpenAI does, after as much loop time as it is told."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from headrace.broker.core.answers.verdict import Meaning, judge
from headrace.broker.ports import UpstreamApi
from headrace.broker.service.calls.bill import usage_of
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.upstream import Asked, Said, ScriptedUpstream, Silence, completion
from headrace.schemas.delta import Delta, text_of
from tests.contract.upstream_contract import HELLO, TIMEOUT_S, Served, Stops, UpstreamContract, UpstreamWorld

pytestmark = pytest.mark.looptime


class _ScriptedWorld:
    def __init__(self) -> None:
        self._upstream = ScriptedUpstream()

    def upstream(self, served: Served) -> UpstreamApi:
        self._upstream.script = lambda _: _said(served)
        return self._upstream

    def telling(self, stops: Stops = "at its end", *, after: int = 0) -> UpstreamApi:
        failed = Said(body={"error": {"message": "Sorry.", "type": "server_error", "param": None, "code": None}})
        self._upstream.script = lambda asked: (
            failed if stops == "error" else Said(body=completion(asked), cut_after=after if stops == "cut" else None)
        )
        return self._upstream

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        return [asked.body for asked in self._upstream.asked]

    @property
    def ids(self) -> dict[str, int]:
        return dict(self._upstream.calls)


def _said(served: Served) -> Said | Silence:
    match served.line:
        case "silent":
            return Silence("timeout", TIMEOUT_S)
        case "cut" | "refused":
            return Silence("connection")
        case "whole":
            return Said(served.status, served.body, served.headers)


class TestScriptedUpstream(UpstreamContract):
    @pytest.fixture
    async def world(self) -> UpstreamWorld:
        return _ScriptedWorld()


async def test_a_usual_answer_is_one_the_core_calls_ok_and_takes_its_latency() -> None:
    upstream, loop = ScriptedUpstream(latency_s=3), asyncio.get_running_loop()
    begun_s = loop.time()
    reply = await upstream.call("chat.completions", HELLO, "lead-1")
    assert loop.time() - begun_s == pytest.approx(3)
    assert judge(reply.answer).meaning is Meaning.OK
    usage = usage_of(completion(upstream.asked[0]))
    assert usage is not None
    assert usage.total_tokens == 15


async def test_a_script_sees_which_call_of_an_id_it_answers() -> None:
    seen: list[Asked] = []

    def script(asked: Asked) -> Said | None:
        seen.append(asked)
        return Said(500, {"error": {"message": "no"}}) if asked.nth == 1 else None

    upstream = ScriptedUpstream(script=script)
    assert [(await upstream.call("chat.completions", HELLO, "a")).answer.status for _ in range(2)] == [500, 200]
    await upstream.call("chat.completions", HELLO, "b")
    assert [(asked.request_id, asked.nth, asked.number) for asked in seen] == [("a", 1, 1), ("a", 2, 2), ("b", 1, 3)]
    assert upstream.calls == {"a": 2, "b": 1}


async def test_a_stream_comes_word_by_word_over_the_latency() -> None:
    upstream, loop = ScriptedUpstream(latency_s=4), asyncio.get_running_loop()
    told: list[tuple[float, Delta]] = []
    begun_s = loop.time()
    await upstream.call("chat.completions", HELLO, "a", lambda delta: told.append((loop.time() - begun_s, delta)))
    assert loop.time() - begun_s == pytest.approx(4)
    assert [(round(at_s, 6), text_of(delta)) for at_s, delta in told] == [
        (0.8, "Answer "),
        (1.6, "to "),
        (2.4, "a."),
        (3.2, ""),
    ]


async def test_a_stream_on_a_cut_line_stops() -> None:
    upstream, told = ScriptedUpstream(latency_s=4), list[Delta]()
    call = asyncio.create_task(upstream.call("chat.completions", HELLO, "a", told.append))
    await asyncio.sleep(1)
    upstream.is_cut = True
    await asyncio.sleep(100)
    assert len(told) == 1
    call.cancel()
    await asyncio.wait({call})
    assert upstream.inflight == 0


@pytest.mark.parametrize("body", ["", "[1]", "{", {"choices": None}, {"choices": [1, {}]}, {"data": []}])
async def test_what_is_no_answer_is_told_in_no_word(body: Any) -> None:
    upstream, told = ScriptedUpstream(script=lambda _: Said(body=body)), list[Delta]()
    for endpoint in ("chat.completions", "responses"):
        reply = await upstream.call(endpoint, HELLO, "a", told.append)
        assert reply.answer.status == 200
    assert not told


async def test_calls_of_tools_and_refusals_are_told_too() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": [call]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    upstream, told = ScriptedUpstream(script=lambda _: Said(body=body)), list[Delta]()
    await upstream.call("chat.completions", HELLO, "a", told.append)
    assert told == [
        [{"index": 0, "delta": {"refusal": "No."}}],
        [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}}],
        [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}],
    ]


async def test_calls_in_flight_are_known_and_a_cut_line_answers_nobody() -> None:
    upstream = ScriptedUpstream(latency_s=1)
    upstream.is_cut = True
    call = asyncio.create_task(upstream.call("chat.completions", HELLO, "a"))
    await asyncio.sleep(100)
    assert upstream.inflight == 1
    call.cancel()
    await asyncio.wait({call})
    assert upstream.inflight == 0
    await upstream.close()
    assert upstream.is_closed


def test_the_rough_counter_counts_characters_and_can_be_at_a_loss() -> None:
    counter = RoughCounter(frozenset({"strange"}))
    assert counter.count("any", "12345") == 2
    assert counter.count("strange", "12345") is None
    assert counter.counted == 2
