from typing import Any

import pytest

from headrace.schemas.delta import Delta, merged, text_of


def said(text: str, *, item: str = "msg_1", kind: str = "output_text", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "item_id": item, "content_index": 0, "delta": text, **more}


def choice(index: int = 0, /, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta}


def test_choices_go_on_by_index() -> None:
    one, two = (
        [choice(0, content="Dear "), choice(1, content="Hi")],
        [choice(1, content=" Ada"), choice(2, content="x")],
    )
    assert merged(one, two) == [choice(0, content="Dear "), choice(1, content="Hi Ada"), choice(2, content="x")]
    assert one == [choice(0, content="Dear "), choice(1, content="Hi")]


def test_calls_of_tools_go_on_by_index_and_what_is_said_once_is_not_doubled() -> None:
    opened = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"a'}}
    again = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": '":1}'}}
    other = {"index": 1, "id": "call_2", "function": {"name": "send", "arguments": ""}}
    put_together = merged([choice(tool_calls=[opened])], [choice(tool_calls=[again, other])])
    whole = {**opened, "function": {"name": "find", "arguments": '{"a":1}'}}
    assert put_together == [choice(tool_calls=[whole, other])]


def test_logprobs_go_on_and_the_last_reason_and_filter_hold() -> None:
    one = {**choice(content="a"), "logprobs": {"content": [1]}, "finish_reason": None, "filter": {"severity": "safe"}}
    two = {**choice(content="b"), "logprobs": {"content": [2]}, "finish_reason": "stop", "filter": {"severity": "safe"}}
    whole = {**choice(content="ab"), "logprobs": {"content": [1, 2]}, "finish_reason": "stop"}
    assert merged([one], [two]) == [{**whole, "filter": {"severity": "safe"}}]
    assert merged([two], [one]) == [
        {**whole, **choice(content="ba"), "logprobs": {"content": [2, 1]}, "filter": {"severity": "safe"}}
    ]


def test_texts_of_one_place_become_one() -> None:
    assert merged(said("Dear "), said("Ada")) == said("Dear Ada")
    one, two = said("a", logprobs=[1]), said("b", logprobs=[2])
    assert merged(one, two) == said("ab", logprobs=[1, 2])


@pytest.mark.parametrize(
    "two",
    [
        said("x", item="msg_2"),
        said("x", kind="refusal"),
        said("x", further=1),
        {**said("x"), "delta": 1},
        [choice(content="x")],
    ],
)
def test_what_is_of_another_place_stays_its_own(two: Delta) -> None:
    assert merged(said("a"), two) is None
    assert merged(two, said("a")) is None


def test_sound_is_not_put_together() -> None:
    sound = {"type": "response.audio.delta", "delta": "AAA="}
    assert merged(sound, sound) is None


@pytest.mark.parametrize("odd", [[None], ["x"], [1], [{"index": True, "delta": {}}], [{"delta": "x"}], [[]]])
def test_strange_choices_are_kept_as_they_are(odd: list[Any]) -> None:
    assert merged(odd, [choice(content="x")]) == [*odd, choice(content="x")]
    assert text_of(odd) == ""


def test_members_that_change_their_kind_are_told_by_the_last_one() -> None:
    assert merged([choice(content="a", n=1)], [choice(content={"a": 1}, n=None)]) == [choice(content={"a": 1}, n=1)]


def test_the_text_of_a_delta() -> None:
    assert text_of([choice(0, content="a"), choice(1, content="b")]) == "a"
    assert text_of([choice(0, content="a"), choice(1, content="b")], choice=1) == "b"
    assert text_of([choice(refusal="no")]) == ""
    assert text_of(said("a")) == "a"
    assert text_of(said("a", kind="refusal")) == ""
    assert text_of({**said("a"), "delta": 1}) == ""
    assert text_of(None) == ""
