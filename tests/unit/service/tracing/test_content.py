"""Content that is exported has a bound, holds text alone, and is JSON whatever a producer or a server writes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.service.tracing.content import (
    CONTENT_CHARS_MAX,
    MESSAGES_MAX,
    PARTS_MAX,
    input_messages,
    output_messages,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "text", "type"]), inner)
    ),
    max_leaves=20,
)


def parts(told: str) -> list[list[dict[str, str]]]:
    return [message["parts"] for message in json.loads(told)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": "Ada"}, [("user", [{"type": "text", "content": "Ada"}])]),
        (
            {"instructions": "Be brief.", "input": [{"role": "user", "content": "Ada"}]},
            [("system", [{"type": "text", "content": "Be brief."}]), ("user", [{"type": "text", "content": "Ada"}])],
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "x"}],
                    }
                ]
            },
            [("user", [{"type": "text", "content": "a"}, {"type": "image_url"}])],
        ),
        ({"input": ["a", "b"]}, [("user", [{"type": "text", "content": each}]) for each in "ab"]),
        ({}, [("user", [])]),
    ],
)
def test_the_text_of_a_request_has_the_form_of_the_conventions(
    body: dict[str, Any], expected: list[tuple[str, list[dict[str, str]]]]
) -> None:
    assert json.loads(input_messages(body)) == [{"role": role, "parts": told} for role, told in expected]


def test_the_text_of_an_answer_is_that_of_each_choice_or_output() -> None:
    said = [{"type": "text", "content": "Hi"}]
    assert (
        parts(output_messages({"choices": [{"message": {"content": "Hi"}}, {"message": {"content": "Hi"}}]}))
        == [said] * 2
    )
    assert parts(output_messages({"output": [{"content": [{"type": "output_text", "text": "Hi"}]}]})) == [said]
    assert parts(output_messages({"data": [{"embedding": [0.1]}]})) == []


def test_what_exceeds_the_bound_is_cut() -> None:
    [first, second] = parts(input_messages({"input": ["x" * (CONTENT_CHARS_MAX - 1), "yy"]}))
    assert len(first[0]["content"]) == CONTENT_CHARS_MAX - 1
    assert second[0]["content"] == "y"
    assert len(parts(input_messages({"input": ["x"] * 1_000}))) == MESSAGES_MAX


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(anything, anything)
def test_any_body_and_any_answer_give_json_within_the_bound(body: object, answer: object) -> None:
    for told in (
        input_messages({"messages": body, "instructions": answer}),
        output_messages({"choices": answer}),
        output_messages({"output": body}),
    ):
        texts = [part.get("content", "") for message in parts(told) for part in message]
        assert sum(map(len, texts)) <= CONTENT_CHARS_MAX
        assert told.encode()


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "image_url"}] * 40_000}],
        [{"role": "user", "content": ["a"] * 90_000}],
        [{"role": "r" * 800_000, "content": "\0" * 900_000}] * 200,
        [{"role": "user", "content": [{"type": "t" * 900_000}, {"type": {"text": "s3cret"}}]}],
        [{"role": "\ud800", "content": "\U0001f600" * 100_000}],
        [{"role": "user", "content": ["\ud800", '"' * 900_000]}],
    ],
)
def test_no_body_makes_an_attribute_of_more_than_twice_the_bound(messages: list[Any]) -> None:
    told = input_messages({"messages": messages})
    assert len(told) < 2 * CONTENT_CHARS_MAX + MESSAGES_MAX * 150 + PARTS_MAX * 150
    assert told.encode()
    assert sum(map(len, parts(told))) <= PARTS_MAX
    assert "s3cret" not in told
