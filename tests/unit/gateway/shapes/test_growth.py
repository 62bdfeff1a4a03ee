"""By which delta a part of an answer becomes a longer part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.shapes.growth import AnswersDiffer, rest, unsaid
from headrace.schemas.delta import grown_choices

TEXTS = st.text("ab", max_size=4)
CALLS = st.lists(st.fixed_dictionaries({"id": st.just("c"), "function": st.fixed_dictionaries({"arguments": TEXTS})}))
DELTAS = st.fixed_dictionaries({}, optional={"content": TEXTS, "tool_calls": CALLS, "annotations": st.lists(TEXTS)})


def choice(delta: dict[str, Any]) -> list[Any]:
    calls = [{"index": number, **call} for number, call in enumerate(delta.get("tool_calls", []))]
    return [{"index": 1, "delta": {**delta, **({"tool_calls": calls} if calls else {})}}]


@given(DELTAS, DELTAS)
def test_a_part_and_its_rest_are_the_whole(one: dict[str, Any], other: dict[str, Any]) -> None:
    told = choice(one)
    whole = grown_choices(told, choice(other))
    more = rest(whole, told, is_over=True)
    assert grown_choices(told, more or []) == whole
    assert (more is None) is (told == whole)


@pytest.mark.parametrize(
    ("whole", "told", "is_over"),
    [
        ("ab", "ac", False),
        ("a", "ab", True),
        (None, "a", True),
        ([1], [2], False),
        ([1], [1, 2], True),
        ({"a": "x"}, {"a": "x", "b": "y"}, True),
        ({"id": "x"}, {"id": "y"}, False),
        ([{"index": 0}], [{"index": 0}, {"index": 1, "id": "x"}], True),
        ({"a": 1}, {"a": 2}, False),
        ("a", ["a"], False),
    ],
)
def test_what_was_told_otherwise_is_a_contradiction(whole: Any, told: Any, is_over: bool) -> None:  # noqa: FBT001 — a case
    with pytest.raises(AnswersDiffer):
        rest(whole, told, is_over=is_over)


@pytest.mark.parametrize(
    ("whole", "told"),
    [("a", "ab"), (None, "a"), ([1], [1, 2]), ({"a": "x"}, {"a": "xy", "b": "y"}), ({"id": None}, {"id": "y"}), (1, 1)],
)
def test_an_attempt_that_has_said_less_so_far_adds_nothing(whole: Any, told: Any) -> None:
    assert rest(whole, told, is_over=False) is None


def test_empty_members_that_were_never_told_are_told() -> None:
    assert rest({"content": "", "annotations": []}, {}, is_over=True) == {"content": "", "annotations": []}
    assert rest({}, {"content": ""}, is_over=True) is None


def test_what_is_sent_whole_is_not_told_twice() -> None:
    told = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "1"}}]}
    again = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "2"}}]}
    assert unsaid(again, told) == {"tool_calls": [{"index": 0, "function": {"arguments": "2"}}]}
    assert unsaid(again, None) == again
    assert unsaid([7], [{"index": 0}]) == [7]
