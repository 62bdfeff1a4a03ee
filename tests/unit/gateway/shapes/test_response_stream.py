"""Streams of responses, case by case; tests/property/test_gateway_streams.py plays them by seed."""

from typing import Any

import httpx2
import openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.broker.gateway.shapes import errors
from headrace.broker.gateway.shapes.response_stream import ResponseStream
from headrace.schemas.chunk import Chunk
from headrace.schemas.outcome import Completed, Failed
from tests.unit.gateway.shapes.frames import data_of, events_of

RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "in_progress"}
MESSAGE = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "content", "summary", "text", "item", "output_index", "items", "logprobs"]),
            inner | st.sampled_from(["message", "reasoning", "output_text", "response.output_text.delta"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text, **more}


def completed(*items: Any, status: str = "completed", **more: Any) -> Completed:
    return Completed(id="a/1", response={**RESPONSE, "status": status, "output": [*items], "usage": {}, **more})


def says(text: str, *, at: int = 0, place: int = 0, item: str = "msg_1") -> dict[str, Any]:
    where = {"item_id": item, "output_index": at, "content_index": place}
    return {"type": "response.output_text.delta", **where, "delta": text, "logprobs": []}


def opened(*items: dict[str, Any], at: int = 0) -> list[Any]:
    return [{"output_index": at + number, "item": {**item, "content": []}} for number, item in enumerate(items)]


def chunk(seq: int, delta: Any, *, items: Any = None, attempt: int = 1, head: Any = None) -> Chunk:
    begins = {"response": RESPONSE, "items": opened(MESSAGE)} if seq == 0 else {}
    told = {**begins, **({} if items is None else {"items": items}), **(head or {})}
    return Chunk(id="a/1", term=1, attempt=attempt, seq=seq, delta=delta, head=told or None)


def kinds(frames: list[bytes]) -> list[str]:
    assert [name for name, _ in events_of(frames)] == [data["type"] for data in data_of(frames)]
    return [data["type"].removeprefix("response.") for data in data_of(frames)]


def stream() -> ResponseStream:
    return ResponseStream("lead-1", {"model": "m", "instructions": "Be brief.", "tools": [{"type": "function"}]})


def test_a_stream_without_chunks_is_made_of_the_outcome_as_openai_would_stream_it() -> None:
    shape = stream()
    message = {**MESSAGE, "content": [part("Dear Ada", annotations=[{"type": "url_citation"}])]}
    frames = shape.finish(completed(message, completed_at=9, incomplete_details=None))
    assert kinds(frames) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    told = data_of(frames)
    assert [each["sequence_number"] for each in told] == [*range(10)]
    begun = told[0]["response"]
    assert (begun["status"], begun["output"], begun["usage"], "completed_at" in begun) == (
        "in_progress",
        [],
        None,
        False,
    )
    assert told[2]["item"] == {**MESSAGE, "status": "in_progress", "content": []}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    assert told[3] == {"type": "response.content_part.added", **where, "part": part(""), "sequence_number": 3}
    assert told[4] | where == told[4]
    assert (told[4]["delta"], told[6]["text"], told[7]["part"]) == ("Dear Ada", "Dear Ada", message["content"][0])
    assert told[8]["item"] == message
    assert told[9]["response"]["output"] == [message]
    assert shape.has_ended


def test_the_first_events_repeat_what_the_request_said() -> None:
    begun = data_of(stream().add(chunk(0, says("Dear"))))[0]["response"]
    assert begun["instructions"] == "Be brief."
    assert begun["tools"] == [{"type": "function"}]
    assert (begun["metadata"], begun["text"]) == ({}, {"format": {"type": "text"}})


def test_deltas_come_early_and_the_ends_with_the_outcome() -> None:
    shape = stream()
    early = shape.add(chunk(0, says("Dear "))) + shape.add(chunk(1, says("Ada")))
    assert kinds(early)[-3:] == ["content_part.added", "output_text.delta", "output_text.delta"]
    late = shape.finish(completed({**MESSAGE, "content": [part("Dear Ada")]}))
    assert kinds(late) == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert data_of(late)[0]["sequence_number"] == len(early)


def test_an_item_without_words_opens_before_the_next_one() -> None:
    """Accumulators append items: a place that was left out would be taken by the next item."""
    shape = stream()
    early = data_of(shape.add(chunk(0, says("Dear", at=1), items=[*opened(REASONING), *opened(MESSAGE, at=1)])))
    assert [(each["output_index"], each["item"]["id"]) for each in early if "item" in each] == [
        (0, "rs_1"),
        (1, "msg_1"),
    ]
    late = shape.finish(completed({**REASONING, "encrypted_content": "x"}, {**MESSAGE, "content": [part("Dear")]}))
    assert kinds(late)[:1] == ["output_item.done"]


@pytest.mark.parametrize(
    ("delta", "items"),
    [
        (says("Dear", at=1), None),  # its item never opened
        (says("Dear", at=1), opened(MESSAGE, at=1)),  # the item before it never opened, as the dispatcher dropped it
        (says("Dear", item="msg_2"), None),
        (says("Dear", place=1), None),  # of the first part nothing is known
        ({**says("Dear"), "type": "response.refusal.delta", "item_id": 7}, None),
        ({**says("Dear"), "delta": None}, None),
        ({**says("Dear"), "output_index": None}, None),
    ],
)
def test_a_delta_whose_place_is_not_known_is_left_to_the_outcome(delta: Any, items: Any) -> None:
    shape = stream()
    frames = shape.add(chunk(0, delta, items=items, head=None if items is None else {"items": items}))
    assert "output_text.delta" not in kinds(frames)
    assert shape.add(chunk(1, says("Dear"))) == []
    late = shape.finish(completed({**MESSAGE, "content": [part("Dear"), part("x")]}))
    assert kinds(late)[-1] == "completed"


def test_events_that_no_text_grows_by_are_left_out_and_nothing_is_lost_by_them() -> None:
    shape = stream()
    assert kinds(shape.add(chunk(0, {"type": "response.audio.delta", "delta": "AAAA"}))) == ["created", "in_progress"]
    assert kinds(shape.add(chunk(1, says("Dear"))))[-1] == "output_text.delta"
    assert shape.add(Chunk(id="a/1", term=1, attempt=1, seq=2, final=True)) == []


def test_the_call_of_a_function_opens_as_soon_as_it_is_named() -> None:
    shape = stream()
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "find", "arguments": ""}
    event = {"type": "response.output_item.added", "output_index": 0, "item": call}
    assert kinds(shape.add(chunk(0, event, items=[])))[-1] == "output_item.added"
    final = {**call, "arguments": "{}", "status": "completed"}
    late = data_of(shape.finish(completed(final)))
    assert [each["type"] for each in late][:2] == [
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    ]
    assert "name" not in late[0]
    assert (late[1]["name"], late[1]["arguments"]) == ("find", "{}")


def test_an_incomplete_response_ends_as_such() -> None:
    assert kinds(stream().finish(completed(status="incomplete")))[-1] == "incomplete"


def test_tools_of_openai_tell_their_progress() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    failed = {"id": "mcp_1", "type": "mcp_call", "arguments": "", "error": "No.", "output": None}
    told = kinds(stream().finish(completed(search, failed)))
    assert told[2:6] == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.completed",
        "output_item.done",
    ]
    assert "mcp_call.failed" in told


def test_a_part_of_an_unknown_kind_is_told_whole() -> None:
    odd = {"type": "hologram", "data": "x"}
    told = data_of(stream().finish(completed({**MESSAGE, "content": [odd]})))
    assert [each["part"] for each in told if "part" in each] == [odd, odd]


def test_another_attempt_ends_a_stream_that_has_begun() -> None:
    """Its items have other ids, and so has the response: nothing can be unsent."""
    shape = stream()
    shape.add(chunk(0, says("Dear")))
    frames = shape.add(chunk(0, says("Dear"), attempt=2))
    (told,) = data_of(frames)
    assert (told["type"], told["code"], told["error"]["code"]) == ("error", "stream_restarted", "stream_restarted")
    assert "lead-1" in told["message"]
    assert shape.has_ended
    assert shape.finish(completed()) == shape.fail(errors.crashed()) == shape.add(chunk(1, None)) == []


def test_another_attempt_is_followed_if_nothing_was_sent_of_the_former() -> None:
    shape = stream()
    assert shape.add(Chunk(id="a/1", term=1, attempt=1, seq=0, delta=says("Dear"))) == []  # without a head
    assert not shape.has_begun
    assert kinds(shape.add(chunk(0, says("Dear"), attempt=2)))[-1] == "output_text.delta"


@pytest.mark.parametrize(
    "outcome",
    [
        completed({**MESSAGE, "content": [part("Hello")]}),
        completed({**MESSAGE, "content": []}),
        completed({**MESSAGE, "id": "msg_2", "content": [part("Dear")]}),
        completed(),
        completed({**MESSAGE, "content": [part("Dear")]}, id="resp_2"),
        completed(output=None),
    ],
)
def test_an_outcome_that_says_otherwise_ends_the_stream_with_an_error(outcome: Completed) -> None:
    shape = stream()
    shape.add(chunk(0, says("Dear")))
    assert data_of(shape.finish(outcome))[-1]["code"] == "stream_restarted"
    assert shape.has_ended


@example([], {"type": []}, None)
@given(st.lists(st.tuples(JSON, JSON), max_size=4), JSON, JSON)
def test_no_chunk_raises_whatever_it_holds(told: list[tuple[Any, Any]], item: Any, parts: Any) -> None:
    shape = stream()
    for seq, (delta, head) in enumerate(told):
        shape.add(
            Chunk(id="a/1", term=seq, attempt=1, seq=0, delta=delta, head=head if isinstance(head, dict) else None)
        )
        shape.add(chunk(0, delta, head={"items": head}, attempt=2 * seq))
        shape.add(chunk(1, delta, head={"items": [head]}, attempt=2 * seq))
        shape.add(chunk(2, {**says("x"), "logprobs": head, "item_id": "msg_1"}, attempt=2 * seq))
    shape.finish(completed(item, {**MESSAGE, "content": parts}, {**REASONING, "summary": parts}))
    assert shape.has_ended


@pytest.mark.parametrize("begun", [False, True])
def test_the_sdk_raises_an_error_in_the_middle_of_a_stream(begun: bool) -> None:  # noqa: FBT001 — a case
    shape = stream()
    frames = shape.add(chunk(0, says("Dear"))) if begun else []
    frames += shape.finish(Failed(id="a/1", reason="cancelled", message="It was cancelled."))
    client = openai.OpenAI(
        api_key="k",
        base_url="http://localhost/v1",
        http_client=httpx2.Client(
            transport=httpx2.MockTransport(
                lambda _: httpx2.Response(200, content=b"".join(frames), headers={"content-type": "text/event-stream"})
            )
        ),
    )
    with pytest.raises(openai.APIError, match="It was cancelled") as raised:
        list(client.responses.create(model="m", input="Hi", stream=True))
    assert raised.value.code == "cancelled"
