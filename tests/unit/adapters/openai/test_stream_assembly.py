import json
import random
from typing import Any

import pytest

from headrace.broker.adapters.openai.stream_assembly import CHOICES_MAX, ChatAssembly, ResponseAssembly, assembly
from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.response_pieces import response_pieces
from headrace.broker.simulator.streams import AnswerStream, Break, Manner, stream_of
from headrace.schemas.delta import Delta, merged
from tests.unit.simulator.asking import ASKED, HELLO, object_of, plentiful

STRANGE: list[Any] = [
    None,
    [],
    "text",
    1,
    {},
    {"choices": None},
    {"choices": [None, 1, "x", [], {}, {"index": "0"}, {"index": True}]},
    {"choices": {"index": 0}},
    {"type": 1},
    {"type": None, "response": {}},
    {"type": "response.completed"},
    {"type": "response.completed", "response": "whole"},
    {"type": "response.output_item.added", "item": None},
    {"error": None},
]


def events(stream: AnswerStream) -> list[Any]:
    """What a reader of the simulator's stream gets, parsed."""
    pieces = chat_pieces(stream) if stream.endpoint is Endpoint.CHAT else response_pieces(stream)
    lines = "".join(piece.text for piece in pieces).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def told(endpoint: Endpoint, body: dict[str, Any], *, broken: Break | None = None, seed: int = 1) -> AnswerStream:
    whole = object_of(plentiful().ask(body, endpoint=endpoint))
    asked = body | {"stream_options": {"include_usage": True}}
    stream = stream_of(endpoint, asked, whole, seed)
    return (
        stream
        if broken is None
        else AnswerStream(**{name: getattr(stream, name) for name in AnswerStream.__slots__} | {"broken": broken})
    )


def spoken(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer less what no stream tells: which sources it cites, if there are none."""
    for choice in answer.get("choices", []):
        choice["message"].pop("annotations", None)
    return answer


def put_together(endpoint: Endpoint, stream: list[Any]) -> dict[str, Any] | None:
    whole = assembly("responses" if endpoint is Endpoint.RESPONSES else "chat.completions")
    for event in stream:
        whole.add(event)
    return whole.whole()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.CHAT, HELLO),
        (Endpoint.CHAT, HELLO | {"n": 3}),
        (Endpoint.CHAT, HELLO | {"max_tokens": 7}),
        (Endpoint.CHAT, HELLO | {"response_format": {"type": "json_object"}}),
        (Endpoint.RESPONSES, ASKED),
        (Endpoint.RESPONSES, ASKED | {"max_output_tokens": 7}),
    ],
)
def test_a_stream_put_together_is_the_answer(endpoint: Endpoint, body: dict[str, Any], seed: int) -> None:
    stream = told(endpoint, body, seed=seed)
    assert put_together(endpoint, events(stream)) == spoken(dict(stream.body))


@pytest.mark.parametrize("manner", [Manner.CUT, Manner.ERROR])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.RESPONSES])
def test_a_stream_that_stops_short_is_no_answer(endpoint: Endpoint, manner: Manner) -> None:
    if (endpoint, manner) == (Endpoint.RESPONSES, Manner.ERROR):
        return  # it ends in `response.failed`
    for after in (0, 1, 5, 10_000):
        stream = told(endpoint, HELLO if endpoint is Endpoint.CHAT else ASKED, broken=Break(manner, after))
        assert put_together(endpoint, events(stream)) is None


def test_a_response_that_failed_is_the_answer_that_says_so() -> None:
    stream = told(Endpoint.RESPONSES, ASKED, broken=Break(Manner.FAILED, 2))
    whole = put_together(Endpoint.RESPONSES, events(stream))
    assert whole is not None
    assert (whole["status"], whole["error"]["code"]) == ("failed", "server_error")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("body", [HELLO, HELLO | {"n": 3}])
def test_deltas_in_whatever_batches_say_the_same(body: dict[str, Any], seed: int) -> None:
    dice, stream = random.Random(seed), events(told(Endpoint.CHAT, body, seed=seed))
    whole, batches = ChatAssembly(), ChatAssembly()
    deltas = [delta for event in stream if (delta := whole.add(event)) is not None]
    while len(deltas) > 1 and dice.random() < 0.95:
        at = dice.randrange(len(deltas) - 1)
        both = merged(deltas[at], deltas[at + 1])
        assert both is not None
        deltas[at : at + 2] = [both]
    for delta in deltas:
        batches.add({"choices": delta})
    expected, got = whole.whole(), batches.whole()
    assert expected is not None
    assert got is not None
    assert got["choices"] == expected["choices"]


def test_batches_of_a_response_say_its_text() -> None:
    stream = told(Endpoint.RESPONSES, ASKED)
    told_text: Delta | None = None
    for event in events(stream):
        delta = ResponseAssembly().add(event)
        if delta is not None:
            told_text = delta if told_text is None else merged(told_text, delta)
            assert told_text is not None
    assert isinstance(told_text, dict)
    assert told_text["delta"] == stream.body["output"][0]["content"][0]["text"]
    assert told_text.keys() == {"type", "item_id", "output_index", "content_index", "delta", "logprobs"}


def test_calls_of_tools_a_refusal_and_logprobs_come_together() -> None:
    answer = ChatAssembly()
    calls = [
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "send", "arguments": ""}},
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"le'}},
        {"index": 0, "function": {"arguments": 'ad":1}'}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    for call in calls:
        answer.add({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    answer.add({"choices": [{"index": 0, "delta": {"refusal": "I can"}, "logprobs": {"refusal": [1]}}]})
    answer.add({"choices": [{"index": 0, "delta": {"refusal": "not."}, "logprobs": {"refusal": [2]}}]})
    answer.add({"choices": [{"index": 0, "delta": {"function_call": {"name": "old", "arguments": "{"}}}]})
    answer.add(
        {"choices": [{"index": 0, "delta": {"function_call": {"arguments": "}"}}, "finish_reason": "tool_calls"}]}
    )
    whole = answer.whole()
    assert whole is not None
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": "I cannot.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"lead":1}'}},
                    {"id": "call_2", "type": "function", "function": {"name": "send", "arguments": "{}"}},
                ],
                "function_call": {"name": "old", "arguments": "{}"},
            },
            "logprobs": {"refusal": [1, 2]},
            "finish_reason": "tool_calls",
        }
    ]


def test_members_nobody_knows_are_kept() -> None:
    answer = ChatAssembly()
    opened = {"index": 0, "delta": {"role": "assistant", "reasoning_content": "Hm, "}, "stop_reason": None}
    ended = {"index": 0, "delta": {"reasoning_content": "well."}, "finish_reason": "stop", "stop_reason": 7}
    answer.add({"id": "", "model": "", "provider": "x", "choices": []})
    answer.add({"id": "c", "model": "m", "created": 5, "choices": [opened], "usage": None})
    answer.add({"id": "c", "model": "m", "choices": [ended], "obfuscation": "abc"})
    answer.add({"id": "c", "choices": [], "usage": {"total_tokens": 3}, "service_tier": "default"})
    answer.add({"id": "", "choices": [], "usage": None, "model": ""})
    whole = answer.whole()
    assert whole is not None
    [choice] = whole.pop("choices")
    assert whole == {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "created": 5,
        "provider": "x",
        "usage": {"total_tokens": 3},
        "service_tier": "default",
    }
    assert (choice["message"]["reasoning_content"], choice["stop_reason"]) == ("Hm, well.", 7)


def test_an_answer_of_many_pieces_is_put_together_in_order() -> None:
    answer = ChatAssembly()
    for number in range(1_000):
        answer.add({"choices": [{"index": 0, "delta": {"content": f"{number} "}}]})
    assert answer.whole() is None
    answer.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    whole = answer.whole()
    assert whole is not None
    assert whole["choices"][0]["message"]["content"] == "".join(f"{number} " for number in range(1_000))


def test_one_choice_that_has_not_ended_leaves_the_answer_open() -> None:
    answer = ChatAssembly()
    answer.add({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    answer.add({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    assert answer.whole() is None


@pytest.mark.parametrize("event", STRANGE)
def test_strange_events_are_passed_over(event: Any) -> None:
    chat, response = ChatAssembly(), ResponseAssembly()
    for each in (chat, response):
        assert each.add(event) is None
        assert not each.is_error(event)
        assert each.whole() is None


def test_a_delta_that_is_no_object_tells_nothing() -> None:
    chat = ChatAssembly()
    assert chat.add({"choices": [{"index": 0, "delta": "x"}, {"index": 1, "delta": {"tool_calls": [1]}}]}) == [
        {"index": 1, "delta": {"tool_calls": [1]}}
    ]
    chat.add({"choices": [{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": "stop"}]})
    whole = chat.whole()
    assert whole is not None
    assert [choice["message"].get("tool_calls") for choice in whole["choices"]] == [None, [1]]


def test_what_is_worth_publishing_of_a_chat() -> None:
    chat = ChatAssembly()
    role = {"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}, "finish_reason": None}
    assert chat.add({"choices": [role]}) is None
    word = {"index": 0, "delta": {"content": "Dear"}, "logprobs": None, "finish_reason": None}
    assert chat.add({"choices": [word], "obfuscation": "x"}) == [{"index": 0, "delta": {"content": "Dear"}}]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert chat.add({"choices": [end]}) == [end]
    assert chat.add({"choices": [], "usage": {}}) is None


def test_what_is_worth_publishing_of_a_response() -> None:
    response = ResponseAssembly()
    call = {"type": "function_call", "name": "find", "arguments": ""}
    assert response.add({"type": "response.created", "response": {}}) is None
    assert response.add({"type": "response.output_item.added", "item": {"type": "message"}}) is None
    opened = {"type": "response.output_item.added", "output_index": 0, "item": call}
    assert response.add({**opened, "sequence_number": 3}) == opened
    sound = {"type": "response.audio.delta", "delta": "AAA="}
    assert response.add({**sound, "sequence_number": 4, "obfuscation": "x"}) == sound


def test_errors_that_the_sdk_passes_on_are_known() -> None:
    assert ChatAssembly().is_error({"object": "error", "message": "no", "code": 400})
    assert not ChatAssembly().is_error({"object": "error", "choices": []})
    assert ResponseAssembly().is_error({"type": "error", "code": "server_error", "message": "no"})
    assert not ResponseAssembly().is_error({"type": "response.failed", "response": {}})


def test_a_choice_beyond_those_that_can_be_asked_for_is_none() -> None:
    """Each event could bring one more, and all of them are copied again and again."""
    whole = ChatAssembly()
    for index in (-1, CHOICES_MAX, 10**9):
        assert whole.add({"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": "stop"}]}) is None
    assert whole.whole() is None
    told = {"index": CHOICES_MAX - 1, "delta": {"content": "x"}, "finish_reason": "stop"}
    assert whole.add({"choices": [told]}) == [told]


def test_what_has_been_told_is_weighed_by_its_texts_and_by_how_much_else_there_is() -> None:
    whole = ChatAssembly()
    assert whole.weight() < 100
    whole.add({"choices": [{"index": 0, "delta": {"content": "x" * 5_000}}], "n" * 3_000: None})
    assert 8_000 < whole.weight() < 8_300
    whole.add({"choices": [{"index": 0, "delta": {"annotations": [[]] * 1_000}}]})
    assert 16_000 < whole.weight() < 16_400
    assert assembly("responses").weight() == 0, "it comes in one event, whose reader has a bound"


def test_the_head_of_a_chat_completion_is_told_once_without_its_usage() -> None:
    whole = ChatAssembly()
    whole.add({"id": "", "prompt_filter_results": [1], "choices": []})  # as Azure begins
    whole.add({"id": "chatcmpl-1", "model": "m", "object": "x", "usage": None, "choices": [{"index": 0}]})
    assert whole.head() == {"id": "chatcmpl-1", "prompt_filter_results": [1], "model": "m"}
    assert whole.head() == {}


def test_the_head_of_a_response_is_its_beginning_and_then_the_items_that_open() -> None:
    whole = ResponseAssembly()
    begun: dict[str, Any] = {
        "id": "resp_1",
        "model": "m",
        "instructions": "long",
        "tools": [],
        "output": [],
        "usage": None,
    }
    whole.add({"type": "response.created", "response": begun})
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "long"}
    assert whole.add({"type": "response.output_item.added", "output_index": 0, "item": item}) is None
    assert whole.weight() > 0
    opened = {"output_index": 0, "item": {"id": "rs_1", "type": "reasoning", "summary": []}}
    assert whole.head() == {"response": {"id": "resp_1", "model": "m"}, "items": [opened]}
    assert (whole.head(), whole.weight()) == ({}, 0)
    whole.add({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}})
    assert whole.head() == {"items": [{"output_index": 1, "item": {"type": "message"}}]}
