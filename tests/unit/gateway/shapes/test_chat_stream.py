"""Streams of chat completions, case by case; tests/property/test_gateway_streams.py plays them by seed."""

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.shapes import errors
from headrace.broker.gateway.shapes.chat_stream import ChatStream
from headrace.schemas.chunk import Chunk
from headrace.schemas.outcome import Completed, Failed
from tests.unit.gateway.shapes.frames import data_of

HEAD = {"id": "chatcmpl-1", "created": 7, "model": "m", "service_tier": "default", "system_fingerprint": None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "content", "tool_calls", "id", "type", "function", "logprobs"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def chunk(seq: int, *choices: Any, attempt: int = 1, head: Any = None) -> Chunk:
    told = HEAD if head is None and seq == 0 else head
    return Chunk(id="a/1", term=1, attempt=attempt, seq=seq, delta=[*choices], head=told)


def says(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, **more}


def completed(*texts: str, **more: Any) -> Completed:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": "stop",
            **more,
        }
        for index, text in enumerate(texts)
    ]
    response = {**HEAD, "object": "chat.completion", "choices": choices, "usage": {"total_tokens": 3}}
    return Completed(id="a/1", response=response)


def choices_of(frames: list[bytes]) -> list[Any]:
    return [each for data in data_of(frames) for each in data.get("choices", [data])]


def test_a_stream_without_chunks_is_made_of_the_outcome_as_openai_would_stream_it() -> None:
    shape = ChatStream("1", include_usage=True)
    assert not shape.has_begun
    frames = shape.finish(completed("Dear Ada"))
    begun = {"object": "chat.completion.chunk", **HEAD}
    one = {"index": 0, "logprobs": None, "finish_reason": None}
    assert data_of(frames) == [
        begun | {"choices": [one | {"delta": {"role": "assistant", "content": "", "refusal": None}}]} | {"usage": None},
        begun | {"choices": [one | {"delta": {"content": "Dear Ada"}}], "usage": None},
        begun | {"choices": [one | {"delta": {}, "finish_reason": "stop"}], "usage": None},
        begun | {"choices": [], "usage": {"total_tokens": 3}},
    ]
    assert frames[-1] == b"data: [DONE]\n\n"
    assert shape.has_ended


def test_the_end_of_a_choice_waits_for_the_outcome() -> None:
    shape = ChatStream("1", include_usage=False)
    early = shape.add(chunk(0, says("Dear", finish_reason="stop")))
    assert [each["finish_reason"] for each in choices_of(early)] == [None, None]
    assert [each["finish_reason"] for each in choices_of(shape.finish(completed("Dear")))] == ["stop"]


def test_after_a_gap_nothing_is_told_until_the_outcome_tells_what_is_missing() -> None:
    shape = ChatStream("1", include_usage=False)
    shape.add(chunk(0, says("De")))
    assert shape.add(chunk(2, says("Ada"))) == []
    assert [each["delta"] for each in choices_of(shape.finish(completed("Dear Ada")))] == [{"content": "ar Ada"}, {}]


def test_a_first_chunk_without_a_head_tells_nothing() -> None:
    """An older dispatcher wrote it: no id, no chunk of OpenAI's."""
    shape = ChatStream("1", include_usage=False)
    assert shape.add(chunk(0, says("De"), head={})) == []
    assert shape.add(chunk(1, says("ar"))) == []
    assert not shape.has_begun


def test_an_attempt_that_says_the_same_goes_on_where_the_former_broke_off() -> None:
    shape = ChatStream("1", include_usage=False)
    shape.add(chunk(0, says("Dear A")))
    assert shape.add(chunk(0, says("De"), attempt=2, head={**HEAD, "id": "chatcmpl-2"})) == []
    (frame,) = data_of(shape.add(chunk(1, says("ar Ada"), attempt=2)))
    assert (frame["choices"][0]["delta"], frame["id"]) == ({"content": "da"}, "chatcmpl-1")
    (frame,) = data_of(shape.add(chunk(2, says(","), attempt=2)))
    assert frame["choices"][0]["delta"] == {"content": ","}


def test_an_attempt_that_says_otherwise_ends_the_stream_with_the_id_to_come_back_with() -> None:
    shape = ChatStream("lead-1", include_usage=False)
    shape.add(chunk(0, says("Dear")))
    frames = shape.add(chunk(0, says("Hello"), attempt=2))
    (told,) = data_of(frames)
    assert told["error"]["code"] == "stream_restarted"
    assert told["error"]["message"].endswith("x-headrace-id: lead-1.")
    assert frames[-1] == b"data: [DONE]\n\n"
    assert shape.has_ended
    assert shape.finish(completed("Hello")) == shape.fail(errors.crashed()) == shape.add(chunk(1, attempt=2)) == []


@pytest.mark.parametrize("texts", [("Hello",), (), ("Dear",)])
def test_an_outcome_that_says_otherwise_ends_it_as_well(texts: tuple[str, ...]) -> None:
    shape = ChatStream("1", include_usage=False)
    shape.add(chunk(0, says("Dear"), says("Hi", 1)))
    assert data_of(shape.finish(completed(*texts)))[-1]["error"]["code"] == "stream_restarted"


def test_choices_open_in_their_order_whichever_speaks_first() -> None:
    shape = ChatStream("1", include_usage=False)
    early = choices_of(shape.add(chunk(0, says("c", 2))))
    assert [(each["index"], next(iter(each["delta"]))) for each in early] == [
        (0, "role"),
        (1, "role"),
        (2, "role"),
        (2, "content"),
    ]
    late = choices_of(shape.finish(completed("", "b", "c")))
    assert [(each["index"], each["delta"], each["finish_reason"]) for each in late] == [
        (0, {"content": ""}, None),
        (1, {"content": "b"}, None),
        (0, {}, "stop"),
        (1, {}, "stop"),
        (2, {}, "stop"),
    ]


def test_what_is_said_once_of_a_tool_is_not_repeated() -> None:
    """Some servers repeat it with each delta, and the SDK for Python would append it."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{"}}
    shape = ChatStream("1", include_usage=False)
    shape.add(chunk(0, {"index": 0, "delta": {"tool_calls": [call]}}))
    (told,) = choices_of(shape.add(chunk(1, {"index": 0, "delta": {"tool_calls": [call]}})))
    assert told["delta"] == {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}


def test_members_that_only_the_first_chunk_has_are_told_once() -> None:
    shape = ChatStream("1", include_usage=False)
    early = data_of(shape.add(chunk(0, says("De"), head={**HEAD, "prompt_filter_results": [1]})))
    assert ["prompt_filter_results" in each for each in early] == [True, False]


def test_calls_of_tools_that_have_no_index_are_told_as_they_came() -> None:
    shape = ChatStream("1", include_usage=False)
    told = choices_of(shape.add(chunk(0, {"index": 0, "delta": {"tool_calls": [{"id": "call_1"}]}})))
    assert told[-1]["delta"] == {"tool_calls": [{"id": "call_1"}]}


def test_other_members_of_a_choice_come_with_its_end() -> None:
    shape = ChatStream("1", include_usage=False)
    (*_, last) = choices_of(shape.finish(completed("Dear", content_filter_results={"hate": 1})))
    assert last == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
        "content_filter_results": {"hate": 1},
    }


@pytest.mark.parametrize("delta", [7, {"type": "x"}, [7], [{"index": -1}], [{"index": 128}], [{"delta": {}}]])
def test_a_delta_of_another_form_is_left_to_the_outcome(delta: Any) -> None:
    shape = ChatStream("1", include_usage=False)
    assert shape.add(Chunk(id="a/1", term=1, attempt=1, seq=0, delta=delta, head=HEAD)) == []
    assert shape.add(chunk(1, says("Dear"))) == []
    assert "Dear" in str(data_of(shape.finish(completed("Dear"))))


@given(st.lists(JSON, max_size=4), JSON)
def test_no_chunk_raises_whatever_it_holds(deltas: list[Any], message: Any) -> None:
    shape = ChatStream("1", include_usage=False)
    for seq, delta in enumerate(deltas):
        told = [{"index": 0, "delta": delta, "logprobs": delta}]
        shape.add(Chunk(id="a/1", term=1, attempt=1 + seq // 2, seq=seq % 2, delta=told, head=HEAD))
        shape.add(Chunk(id="a/1", term=2 + seq, attempt=1, seq=0, delta=delta, head=HEAD))
    choices = [{"index": 0, "message": message, "logprobs": message}, message]
    shape.finish(Completed(id="a/1", response={**HEAD, "choices": choices}))
    assert shape.has_ended


def test_a_delta_nested_beyond_measure_ends_the_stream_with_an_error() -> None:
    """It was noted as told before it could not be framed, so the outcome would not tell it again."""
    deep: Any = "x"
    for _ in range(5_000):
        deep = [deep]
    shape = ChatStream("1", include_usage=False)
    assert data_of(shape.add(chunk(0, {"index": 0, "delta": {"odd": deep}})))[-1]["error"]["code"] == "stream_restarted"


@pytest.mark.parametrize("begun", [False, True])
def test_the_sdk_raises_an_error_in_the_middle_of_a_stream(begun: bool) -> None:  # noqa: FBT001 — a case
    shape = ChatStream("1", include_usage=False)
    frames = shape.add(chunk(0, says("Dear"))) if begun else []
    frames += shape.finish(Failed(id="a/1", reason="exhausted", message="OpenAI failed too often."))
    client = openai.OpenAI(
        api_key="k",
        base_url="http://localhost/v1",
        http_client=httpx2.Client(
            transport=httpx2.MockTransport(
                lambda _: httpx2.Response(200, content=b"".join(frames), headers={"content-type": "text/event-stream"})
            )
        ),
    )
    told: list[Any] = []
    with pytest.raises(openai.APIError, match="OpenAI failed too often") as raised:
        told.extend(client.chat.completions.create(model="m", messages=[], stream=True))
    assert raised.value.code == "exhausted"
    assert json.loads(json.dumps(raised.value.body))["type"] == "server_error"
