"""What a body names: any JSON that a producer sent, and no more than a few references."""

from typing import Any

import pytest

from headrace.broker.core.pricing import references as pricing_references
from headrace.broker.core.pricing.references import (
    MARK_BYTES,
    REFERENCES_MAX,
    Reference,
    ReferenceKind,
    references,
    response_mark,
)

CHAT, RESPONSES, EMBEDDINGS = "chat.completions", "responses", "embeddings"
NESTED: Any = [[[{"id": ["resp_1"]}]]]
WRONG = [5, None, True, 1.5, "", [], {}, ["resp_1"], {"id": 5}, {"id": None}, {"id": ["x"]}, NESTED, {"id": ""}]


def kinds(body: dict[str, Any], endpoint: str = RESPONSES) -> list[str]:
    return [reference.kind.value for reference in references(endpoint, body)]


def of_part(part: dict[str, Any], endpoint: str = RESPONSES) -> list[str]:
    name = "messages" if endpoint == CHAT else "input"
    return kinds({name: [{"role": "user", "content": [{"type": "input_text", "text": "hi"}, part]}]}, endpoint)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"previous_response_id": "resp_1"}, "response"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"prompt": {"id": "pmpt_1", "version": "2"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tool"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "tool"),
    ],
)
def test_state_that_a_body_names_is_a_reference(body: dict[str, Any], kind: str) -> None:
    assert kinds(body) == [kind]
    assert all(len(each.mark) == MARK_BYTES for each in references(RESPONSES, body))


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "input_file", "file_id": "file-1"}, "file"),
        ({"type": "input_file", "file_url": "https://a.example/b.pdf"}, "file"),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}, "file"),
        ({"type": "input_image", "file_id": "file-1"}, "image"),
    ],
)
def test_files_of_input_items_and_of_what_tools_returned_are_references(part: dict[str, Any], kind: str) -> None:
    assert of_part(part) == [kind]
    assert kinds({"input": [{"type": "function_call_output", "output": [part]}]}) == [kind]


def test_a_chat_names_files_spoken_answers_and_a_search() -> None:
    assert of_part({"type": "file", "file": {"file_id": "file-1"}}, CHAT) == ["file"]
    assert kinds({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, CHAT) == ["item"]
    assert kinds({"messages": [], "web_search_options": {}}, CHAT) == ["tool"]
    assert kinds({"messages": [], "previous_response_id": "resp_1"}, CHAT) == []


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["previous_response_id", "prompt", "tools", "input", "messages"])
def test_values_of_a_wrong_type_name_nothing(name: str, wrong: Any) -> None:
    assert references(RESPONSES, {name: wrong}) == ()
    assert references(CHAT, {name: wrong, "web_search_options": 5}) == ()


@pytest.mark.parametrize("wrong", [5, None, True, "", [], {}, {"id": 5}, {"id": ""}, NESTED])
def test_a_wrong_conversation_or_a_wrong_part_names_nothing(wrong: Any) -> None:
    assert kinds({"conversation": wrong}) == []
    for part in (
        {"type": "input_file", "file_id": wrong},
        {"type": "input_image", "file_id": wrong},
        {"type": wrong, "file_id": "file-1"},
        {"type": "file", "file": wrong},
    ):
        assert of_part(part) == []
        assert of_part(part, CHAT) == []
    assert kinds({"input": [{"type": "item_reference", "id": wrong}, wrong, {"audio": wrong}]}) == []
    assert kinds({"input": [{"content": [wrong, "text"], "output": [wrong, 5]}]}) == []
    assert kinds({"tools": [{"type": "function"}, wrong]}) == []


def test_stores_of_a_wrong_type_leave_the_tool() -> None:
    assert kinds({"tools": [{"type": "file_search", "vector_store_ids": 5}]}) == ["tool"]
    assert kinds({"tools": [{"type": "file_search", "vector_store_ids": [5, None, "vs_1"]}]}) == ["tool"]


def test_each_connector_of_a_server_of_tools_is_a_tool_of_its_own() -> None:
    tools = [{"type": "mcp", "connector_id": f"connector_{name}"} for name in ("dropbox", "gmail", "gmail")]
    assert kinds({"tools": tools}) == ["tool"] * 2


def test_an_embedding_names_nothing() -> None:
    assert references(EMBEDDINGS, {"input": [{"content": [{"type": "input_file", "file_id": "f"}]}]}) == ()


def test_a_prompt_of_another_version_is_another_prompt() -> None:
    marks = {references(RESPONSES, {"prompt": {"id": "p", "version": version}})[0].mark for version in ("1", "2", 3)}
    assert len(marks) == 3


def test_the_same_id_is_one_reference_and_a_kind_of_its_own_another() -> None:
    part = {"type": "input_file", "file_id": "x"}
    body = {"previous_response_id": "x", "input": [{"content": [part, part, {"type": "input_image", "file_id": "x"}]}]}
    assert kinds(body) == ["response", "file", "image"]
    assert len({each.mark for each in references(RESPONSES, body)}) == 1


def test_of_ten_thousand_files_the_first_few_are_named_and_before_them_the_state_and_the_tools() -> None:
    parts = [{"type": "input_file", "file_id": f"file-{number}"} for number in range(10_000)]
    tools = [{"type": "web_search"}]
    body = {"conversation": "c", "prompt": {"id": "p"}, "input": [{"content": parts}], "tools": tools}
    assert kinds(body) == ["conversation", "prompt", "tool"] + ["file"] * (REFERENCES_MAX - 3)
    body["tools"] = [{"type": "mcp", "server_url": f"https://{number}.example"} for number in range(10_000)]
    assert kinds(body) == ["conversation", "prompt"] + ["tool"] * (REFERENCES_MAX - 2)


def test_an_id_that_is_named_many_times_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    mark = pricing_references._mark

    def counted(text: str) -> bytes:
        hashed.append(text)
        return mark(text)

    monkeypatch.setattr(pricing_references, "_mark", counted)
    for identity in ("x", "x" * 5_000):
        parts = [{"type": "input_file", "file_id": identity} for _ in range(1_000)]
        assert kinds({"input": [{"content": parts}]}) == ["file"]
    assert len(hashed) == 2


def test_a_long_id_of_an_answer_is_known_again() -> None:
    long = "r" * 5_000
    assert references(RESPONSES, {"previous_response_id": long})[0].mark == response_mark(RESPONSES, {"id": long})


def test_a_file_that_is_named_many_times_hides_no_other_one() -> None:
    parts = [{"type": "input_file", "file_id": "x"}] * 40 + [{"type": "input_file", "file_id": "y"}]
    assert kinds({"input": [{"content": parts}]}) == ["file", "file"]


def test_long_ids_are_told_apart_by_length_and_ends_whatever_is_in_them() -> None:
    def mark(identity: str) -> bytes:
        return references(RESPONSES, {"previous_response_id": identity})[0].mark

    long = "x" * 5_000_000
    assert mark(long) == mark(long)
    assert len({mark(each) for each in (long, long + "x", "y" + long[1:], long[:-1] + "y", "\ud800", "x")}) == 6


def test_an_answer_may_be_named_if_it_is_a_stored_response_with_an_id() -> None:
    named = Reference(ReferenceKind.RESPONSE, response_mark(RESPONSES, {"id": "resp_1"}))
    assert references(RESPONSES, {"previous_response_id": "resp_1"}) == (named,)
    assert response_mark(RESPONSES, {"id": "resp_1", "store": False}) == b""
    assert response_mark(CHAT, {"id": "chatcmpl-1"}) == b""
    assert [response_mark(RESPONSES, {"id": wrong}) for wrong in WRONG] == [b""] * len(WRONG)
