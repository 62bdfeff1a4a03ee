"""Bodies that came with a 200: what can be published of them, and what cannot."""

import json
from typing import Any

import pytest

from headrace.broker.service.calls.answer_body import (
    CONTAINERS_MIN,
    PACKED_ABOVE_BRACKETS,
    PACKED_ABOVE_BYTES,
    AnswerBody,
    published,
)
from headrace.schemas.bounded_json import NESTING_MAX
from headrace.schemas.cloudevents import json_bytes


def of(value: dict[str, Any]) -> AnswerBody:
    body = published(json.dumps(value))
    assert body is not None
    return body


def test_an_answer_is_its_json_as_an_outcome_will_have_it() -> None:
    answer = {"id": "c", "choices": [{"message": {"content": "Grüße [1] {2}"}}]}
    assert published(json.dumps(answer, indent=4)) == AnswerBody(answer, json_bytes(answer))


@pytest.mark.parametrize(
    "text", [None, "", "null", "[]", '"x"', "1", "{", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000, "{}{}", "\ufeff{}"]
)
def test_what_is_no_json_object_is_none(text: str | None) -> None:
    assert published(text) is None


def test_half_a_surrogate_pair_becomes_a_mark() -> None:
    assert published('{"text": "\\ud83d!"}') == AnswerBody({"text": "?!"}, b'{"text":"?!"}')


def test_more_digits_than_python_converts_are_none() -> None:
    assert published('{"usage": ' + "9" * 5_000 + "}") is None


def test_what_our_readers_could_not_read_back_is_none() -> None:
    def nested(levels: int) -> str:
        return '{"a": ' + "[" * levels + "]" * levels + "}"

    assert published(nested(NESTING_MAX - 1)) is not None
    assert published(nested(NESTING_MAX)) is None


@pytest.mark.parametrize("item", ["[]", "{}", '{"":{}}', "[[]]"])
def test_a_text_of_brackets_is_not_even_parsed(item: str) -> None:
    """A megabyte of `[],` takes twenty of memory, and half a second of the loop."""
    assert published('{"many": [' + ",".join([item] * 200_000) + "]}") is None


def test_brackets_in_texts_are_none() -> None:
    answer = {"content": '[{"\\]}' * 50_000}
    assert of(answer).value == answer


def test_any_answer_may_have_some_lists_and_objects() -> None:
    assert published(json.dumps({"many": [[]] * (CONTAINERS_MIN - 2)})) is not None


def test_log_probabilities_and_vectors_are_no_texts_of_brackets() -> None:
    token = {"token": " a", "logprob": -0.1, "bytes": [32, 97], "top_logprobs": []}
    for answer in ({"choices": [{"logprobs": {"content": [token] * 9_000}}]}, {"data": [{"embedding": [0.5] * 9_000}]}):
        assert published(json.dumps(answer)) is not None


def test_a_large_answer_waits_as_json_and_a_small_one_as_it_is() -> None:
    small, long = {"a": "x"}, {"a": "x" * PACKED_ABOVE_BYTES}
    dense: dict[str, Any] = {"a": [{}] * PACKED_ABOVE_BRACKETS}
    assert of(small).kept() == small
    assert of(long).kept() == json_bytes(long)
    assert of(dense).kept() == json_bytes(dense)
