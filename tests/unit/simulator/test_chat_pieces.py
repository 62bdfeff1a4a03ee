import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.streams import AnswerStream, Break, Manner, stream_of
from tests.unit.simulator.asking import HELLO, Desk, stream_of_reply

WITH_USAGE = {"stream_options": {"include_usage": True}}


def stream(**more: Any) -> AnswerStream:
    return stream_of_reply(Desk().ask(HELLO | {"stream": True} | more))


def events(told: AnswerStream) -> list[Any]:
    """What a reader of unnamed events gets; the last one is no JSON."""
    text = "".join(piece.text for piece in chat_pieces(told))
    lines = text.split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def test_chunks_are_shaped_as_recorded() -> None:
    told = stream()
    first, second, *_, last, done = events(told)
    common = {"id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "obfuscation"}
    assert set(first) == set(second) == set(last) == common
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert second["choices"][0]["delta"] == {"content": told.deltas[0].text}
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert done == "data: [DONE]"
    for name in ("id", "created", "model", "service_tier", "system_fingerprint"):
        assert {event[name] for event in events(told)[:-1]} == {told.body[name]}


def test_usage_comes_in_a_last_chunk_without_choices_and_is_null_before() -> None:
    told = stream(**WITH_USAGE)
    *chunks, usage, done = events(told)
    assert done == "data: [DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == told.body["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)


@pytest.mark.parametrize("max_tokens", [None, 7])
def test_every_choice_is_told_whole_and_says_why_it_ended(max_tokens: int | None) -> None:
    told = stream(n=3, max_tokens=max_tokens)
    chunks = [event["choices"][0] for event in events(told)[:-1]]
    for choice in told.body["choices"]:
        of_it = [chunk for chunk in chunks if chunk["index"] == choice["index"]]
        assert of_it[0]["delta"]["role"] == "assistant"
        assert "".join(chunk["delta"].get("content", "") for chunk in of_it) == choice["message"]["content"]
        assert [chunk["finish_reason"] for chunk in of_it] == [None] * (len(of_it) - 1) + [choice["finish_reason"]]


def test_the_first_choices_of_several_take_turns() -> None:
    begun = [event["choices"][0]["index"] for event in events(stream(n=2))[:6]]
    assert begun == [0, 0, 1, 1, 0, 1]


def test_an_answer_without_a_word_is_a_stream_all_the_same() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "stop"}]}
    told = stream_of(Endpoint.CHAT, {}, {**stream().body, **whole}, 1)
    role, last, _ = events(told)
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"][0]["finish_reason"] == "stop"


def test_nothing_comes_before_the_first_token_and_the_end_comes_with_the_latency() -> None:
    told = stream()
    shares = [piece.share for piece in chat_pieces(told)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (told.first_share, 1.0)


def test_a_cut_stream_says_nothing_more() -> None:
    told = events(replace(stream(), broken=Break(Manner.CUT, 3)))
    assert len(told) == 4
    assert told[-1]["choices"][0]["finish_reason"] is None
    assert events(replace(stream(), broken=Break(Manner.CUT, 0))) == []


@pytest.mark.parametrize("manner", [Manner.ERROR, Manner.FAILED])
def test_an_error_is_an_event_of_its_own_in_place_of_the_rest(manner: Manner) -> None:
    *chunks, error, done = events(replace(stream(**WITH_USAGE), broken=Break(manner, 2)))
    assert len(chunks) == 3
    assert set(error) == {"error"}
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert (error["error"]["type"], done) == ("server_error", "data: [DONE]")


def test_what_the_model_declines_is_told_in_the_place_of_a_refusal() -> None:
    desk = Desk(declined_rate=1.0)
    told = stream_of_reply(desk.ask(HELLO | {"stream": True, "n": 2}))
    chunks = [event["choices"][0] for event in events(told)[:-1]]
    for choice in told.body["choices"]:
        assert (choice["message"]["content"], choice["finish_reason"]) == (None, "stop")
        of_it = [chunk["delta"] for chunk in chunks if chunk["index"] == choice["index"]]
        assert "".join(delta.get("refusal") or "" for delta in of_it) == choice["message"]["refusal"]
        assert not any(delta.get("content") for delta in of_it)
