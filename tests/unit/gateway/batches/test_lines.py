from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.batches.lines import (
    CUSTOM_ID_MAX,
    ERRORS_MAX,
    LINE_BYTES_MAX,
    REQUESTS_MAX,
    FileCheck,
    InputLine,
    LineRequest,
    read_line,
    split_lines,
)
from headrace.broker.gateway.batches.records import LineComplaint
from tests.unit.gateway.batches.world import jsonl, line

CHAT = "/v1/chat/completions"


async def split(*parts: bytes) -> list[InputLine]:
    async def given() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return [each async for each in split_lines(given())]


def checked(*lines: object, models: tuple[str, ...] = ("gpt-4o-mini",)) -> FileCheck:
    check = FileCheck(CHAT, lambda model: model in models)
    for number, text in enumerate(jsonl(*lines).splitlines(), 1):
        check.add(InputLine(number, text))
    return check


def told(fields: dict[str, Any]) -> LineComplaint:
    read = read_line(InputLine(7, jsonl(fields).strip()), CHAT)
    assert isinstance(read, LineComplaint)
    assert read.line == 7
    return read


@given(
    st.lists(st.binary(max_size=8).filter(lambda text: b"\n" not in text), max_size=8),
    st.sampled_from((b"", b"\n")),
    st.integers(min_value=1, max_value=9),
)
async def test_lines_are_the_same_however_the_file_was_cut(texts: list[bytes], end: bytes, size: int) -> None:
    whole = b"\n".join(texts) + end
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    expected = [InputLine(number, text.strip()) for number, text in enumerate(texts, 1) if text.strip()]
    assert await split(*parts) == expected


async def test_lines_of_windows_and_blank_ones_are_read() -> None:
    assert await split(b'{"a":1}\r\n\r\n  \n{"b":2}') == [InputLine(1, b'{"a":1}'), InputLine(4, b'{"b":2}')]


async def test_a_line_that_is_too_long_is_not_held_and_those_behind_it_are_read() -> None:
    part = b"x" * (LINE_BYTES_MAX // 2)
    found = await split(b"a\n", part, part, part, b"\nb\n", part + part + b"y\nc")
    assert found == [InputLine(1, b"a"), InputLine(2, None), InputLine(3, b"b"), InputLine(4, None), InputLine(5, b"c")]


def test_a_good_line_is_its_request() -> None:
    fields = line("lead-1")
    assert read_line(InputLine(1, jsonl(fields).strip()), CHAT) == LineRequest("lead-1", fields["body"])


@pytest.mark.parametrize("name", ["custom_id", "method", "url", "body"])
def test_a_missing_parameter_is_named(name: str) -> None:
    for fields in ({**line("a"), name: None}, {key: value for key, value in line("a").items() if key != name}):
        complaint = told(fields)
        assert (complaint.code, complaint.param) == ("missing_required_parameter", name)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"custom_id": 7}, "invalid_custom_id"),
        ({"custom_id": ""}, "invalid_custom_id"),
        ({"custom_id": "x" * (CUSTOM_ID_MAX + 1)}, "invalid_custom_id"),
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/embeddings"}, "invalid_url"),
        ({"url": "/chat/completions"}, "invalid_url"),
        ({"url": ["/v1/embeddings"]}, "invalid_url"),
        ({"body": [1]}, "invalid_body"),
        ({"body": {"messages": []}}, "invalid_request"),
        ({"body": {"model": "gpt-4o-mini"}}, "invalid_request"),
        ({"body": {"model": "gpt-4o-mini", "messages": [], "stream": True}}, "streaming_unsupported"),
    ],
)
def test_a_wrong_parameter_is_named(changed: dict[str, Any], code: str) -> None:
    assert told({**line("a"), **changed}).code == code


@pytest.mark.parametrize(
    "text", [b"not json", b"[1]", b'"text"', b"null", b'{"custom_id": NaN}', b"\xff", b"[" * 500, b'{"a": "\\ud800"}']
)
def test_what_is_no_json_object_is_told_as_openai_tells_it(text: bytes) -> None:
    read = read_line(InputLine(3, text), CHAT)
    assert isinstance(read, LineComplaint)
    assert (read.code, read.line) == ("invalid_json_line", 3)
    assert read.message == "This line is not parseable as valid JSON."


def test_a_line_that_was_not_held_is_told() -> None:
    read = read_line(InputLine(3, None), CHAT)
    assert isinstance(read, LineComplaint)
    assert read.code == "line_too_long"


def test_a_valid_file_has_no_complaint_and_its_one_model() -> None:
    check = checked(line("a"), line("b"))
    assert (check.verdict(), check.requests, check.model) == ((), 2, "gpt-4o-mini")


def test_a_file_of_several_models_has_none_of_its_own() -> None:
    check = checked(line("a"), line("b", model="gpt-4o"), models=("gpt-4o", "gpt-4o-mini"))
    assert (check.verdict(), check.model) == ((), None)


def test_each_custom_id_is_there_once() -> None:
    (complaint,) = checked(line("a"), line("b"), line("a")).verdict()
    assert (complaint.code, complaint.line, complaint.param) == ("duplicate_custom_id", 3, "custom_id")
    assert "line 1" in complaint.message


def test_a_model_that_the_key_may_not_use_fails_the_file() -> None:
    (complaint,) = checked(line("a"), line("b", model="gpt-5")).verdict()
    assert (complaint.code, complaint.line, complaint.param) == ("model_not_found", 2, "body.model")


def test_an_empty_file_is_told() -> None:
    assert [each.code for each in checked().verdict()] == ["empty_file"]


def test_complaints_are_bounded_and_then_nothing_more_is_read() -> None:
    check = checked(*[{} for _ in range(ERRORS_MAX)])
    assert check.is_over
    assert len(check.verdict()) == ERRORS_MAX


def test_a_file_of_more_requests_than_allowed_is_refused() -> None:
    check = FileCheck(CHAT, lambda _: True, requests=REQUESTS_MAX - 1)
    check.add(InputLine(1, jsonl(line("a")).strip()))
    assert (check.is_over, check.verdict()) == (False, ())
    check.add(InputLine(2, jsonl(line("b")).strip()))
    assert check.is_over
    assert [each.code for each in check.verdict()] == ["too_many_tasks"]
