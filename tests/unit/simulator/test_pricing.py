from collections import Counter
from typing import Any

import pytest

from headrace.broker.simulator.pricing import (
    ChatLaw,
    Endpoint,
    Size,
    charge_at,
    charge_of,
    input_tokens_of,
    settlement_of,
    text_of,
)
from tests.unit.simulator.recorded import HEADERS

NEW_SINCE = "2025-03-20"
CHAT = [row for row in HEADERS if row["endpoint"] == "/v1/chat/completions"]


def chat_body(row: dict[str, Any]) -> dict[str, Any]:
    """A body with the recorded counts; its text is unknown and does not matter."""
    content: Any = "x" * row["content_utf8_bytes"]
    if row["images"]:
        image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        content = [{"type": "text", "text": content}] + [image] * row["images"]
    messages = [{"role": "user", "content": content}] + [{"role": "user", "content": ""}] * (row["items"] - 1)
    return {key: row[key] for key in ("n", "max_tokens") if row[key]} | {"model": "m", "messages": messages}


def misses(rows: list[dict[str, Any]], law: ChatLaw) -> Counter[int]:
    return Counter(row["charge"] - charge_of(Endpoint.CHAT, chat_body(row), law) for row in rows)


def test_the_2025_law_fits_the_headers_recorded_since_it_began() -> None:
    rows = [row for row in CHAT if row["date"] >= NEW_SINCE]
    missed = misses(rows, ChatLaw.CHAT_2025)
    assert len(rows) > 100
    assert set(missed) <= {-2, -1, 0, 1, 2}
    assert (missed[-1] + missed[0] + missed[1]) / len(rows) > 0.9
    assert missed[0] / len(rows) > 0.55


def test_the_legacy_law_fits_the_headers_recorded_before() -> None:
    rows = [row for row in CHAT if row["date"] < NEW_SINCE]
    missed = misses(rows, ChatLaw.CHAT_LEGACY)
    assert len(rows) > 60
    assert missed.pop(-765) == 1  # one vision preview call of 2024-02 whose image was not debited
    assert set(missed) == {0, 1}


def test_neither_law_fits_the_other_era() -> None:
    new = [row for row in CHAT if row["date"] >= NEW_SINCE]
    assert misses(new, ChatLaw.CHAT_LEGACY)[0] < len(new) / 10


@pytest.mark.parametrize(("tools", "extra"), [(0, 19), (1, 217)])
def test_responses_cost_their_input_and_a_constant(tools: int, extra: int) -> None:
    rows = [
        row
        for row in HEADERS
        if row["endpoint"] == "/v1/responses"
        and row["model"].startswith(("gpt-4o", "gpt-4.1"))
        and bool(row["function_tools"]) == bool(tools)
        and not row["stream"]
        and -5 < row["charge"] - row["input_tokens"] < 300  # two calls with hosted context cost otherwise
    ]
    assert len(rows) > 10
    for row in rows:
        words = 7 + 5 * tools  # around the text, and in the tool
        text = "x" * 4 * (row["input_tokens"] - words)
        body = {"input": text, "tools": [{"type": "function", "name": "f"}] * tools}
        assert input_tokens_of(Endpoint.RESPONSES, body) == row["input_tokens"]
        assert charge_of(Endpoint.RESPONSES, body, ChatLaw.CHAT_2025) == row["input_tokens"] + extra
        assert abs(row["charge"] - row["input_tokens"] - extra) <= 2


def test_embeddings_cost_a_quarter_of_their_characters() -> None:
    rows = [row for row in HEADERS if row["endpoint"] == "/v1/embeddings" and row["content_utf8_bytes"]]
    assert len(rows) > 15
    for row in rows:
        charge = charge_of(Endpoint.EMBEDDINGS, {"input": "x" * row["content_utf8_bytes"]}, ChatLaw.CHAT_2025)
        assert abs(row["charge"] - charge) <= 1 + row["charge"] // 10_000


def test_arrays_of_token_ids_cost_their_exact_count() -> None:
    assert charge_of(Endpoint.EMBEDDINGS, {"input": [[1] * 7, [2] * 7, [3] * 7]}, ChatLaw.CHAT_2025) == 21
    assert charge_of(Endpoint.EMBEDDINGS, {"input": [5, 6, 7]}, ChatLaw.CHAT_2025) == 3
    assert charge_of(Endpoint.EMBEDDINGS, {"input": ["a" * 40, "b" * 40]}, ChatLaw.CHAT_2025) == 20


def test_max_tokens_is_free_since_2025_and_counted_for_each_choice_before() -> None:
    body = {"messages": [{"role": "user", "content": "Hi there"}], "n": 2}
    assert charge_of(Endpoint.CHAT, body | {"max_tokens": 16_384}, ChatLaw.CHAT_2025) == 2 + 1 + 2
    assert charge_of(Endpoint.CHAT, body, ChatLaw.CHAT_LEGACY) == 2 + 1 + 2 * 16
    assert charge_of(Endpoint.CHAT, body | {"max_completion_tokens": 100}, ChatLaw.CHAT_LEGACY) == 2 + 1 + 200
    assert charge_of(Endpoint.CHAT, body | {"max_tokens": 500}, ChatLaw.DOCUMENTED) == 1_000
    assert charge_of(Endpoint.CHAT, body, ChatLaw.DOCUMENTED) == 3


def test_bytes_are_counted_rather_than_characters() -> None:
    body = {"messages": [{"role": "user", "content": "ü" * 40}]}
    assert charge_of(Endpoint.CHAT, body, ChatLaw.CHAT_2025) == 20 + 1 + 1


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": "no list"}, {"messages": [1, None, {"content": 7}]}, {"messages": [{"content": [3]}], "n": "2"}],
)
def test_a_malformed_body_has_a_price_since_a_400_is_charged(body: dict[str, Any]) -> None:
    assert charge_of(Endpoint.CHAT, body, ChatLaw.CHAT_2025) >= 1
    assert charge_of(Endpoint.RESPONSES, body, ChatLaw.CHAT_2025) == 3 + 19
    assert charge_of(Endpoint.EMBEDDINGS, body, ChatLaw.CHAT_2025) == 1


def test_the_copywriter_reads_every_text_of_a_prompt() -> None:
    parts = [{"type": "text", "text": "two"}, {"type": "image_url", "image_url": {}}]
    assert text_of(Endpoint.CHAT, {"messages": [{"content": "one"}, {"content": parts}]}) == "one\ntwo"
    items = [{"role": "user", "content": [{"type": "input_text", "text": "b"}]}]
    assert text_of(Endpoint.RESPONSES, {"instructions": "a", "input": items}) == "a\nb"
    assert text_of(Endpoint.RESPONSES, {"input": "c"}) == "c"


def test_only_usage_charges_for_output_and_only_where_there_is_some() -> None:
    size = Size(100)
    settled = {endpoint: settlement_of(endpoint, size, 50, ChatLaw.USAGE) for endpoint in Endpoint}
    assert settled == {Endpoint.CHAT: 50, Endpoint.RESPONSES: 31, Endpoint.EMBEDDINGS: 0}
    with_tools = Size(100, function_tools=True)
    assert settlement_of(Endpoint.RESPONSES, with_tools, 217, ChatLaw.USAGE) == 0
    assert {settlement_of(Endpoint.CHAT, size, 50, law) for law in ChatLaw if law is not ChatLaw.USAGE} == {0}


def test_a_size_is_charged_as_the_body_it_was_taken_of() -> None:
    body = {"messages": [{"role": "user", "content": "x" * 401}], "n": 2, "max_tokens": 30}
    for law in ChatLaw:
        size = Size.chat(401, choices=2, answer_max=30)
        assert charge_at(Endpoint.CHAT, size, law) == charge_of(Endpoint.CHAT, body, law)


@pytest.mark.parametrize(
    ("model", "detail", "billed"),
    [
        ("gpt-4o", "high", 1_445),
        ("gpt-4o", "low", 85),
        ("gpt-4.1-nano", "low", 3_779),
        ("gpt-5.5", "original", 12_000),
        ("gpt-6-luna", "auto", 12_000),
        ("gpt-6-luna", "high", 3_000),
        ("gpt-5-mini", "original", 1_844),
        ("other", None, 3_000),
    ],
)
def test_a_picture_that_must_be_fetched_is_billed_as_the_largest(model: str, detail: str | None, billed: int) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": detail}}
    chat = {"model": model, "messages": [{"role": "user", "content": [picture]}]}
    assert input_tokens_of(Endpoint.CHAT, chat) == 7 + billed
    assert charge_of(Endpoint.CHAT, chat, ChatLaw.CHAT_2025) == 765 + 1 + 1
    assert charge_of(Endpoint.CHAT, chat, ChatLaw.USAGE) == 7 + billed
    part = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": detail}
    response = {"model": model, "input": [{"role": "user", "content": [part]}]}
    assert input_tokens_of(Endpoint.RESPONSES, response) == 7 + billed
    assert charge_of(Endpoint.RESPONSES, response, ChatLaw.CHAT_2025) == 7 + 765 + 19
    assert charge_of(Endpoint.RESPONSES, response, ChatLaw.USAGE) == 7 + billed + 19


def test_a_lone_string_and_instructions_are_messages_and_the_words_of_tools_count() -> None:
    assert input_tokens_of(Endpoint.RESPONSES, {"input": "hi"}) == 8, "as recorded"
    assert input_tokens_of(Endpoint.RESPONSES, {"input": "hi", "instructions": "12345678"}) == 8 + 6
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert input_tokens_of(Endpoint.RESPONSES, {"input": "hi", "tools": [{"type": "function"}, deep]}) == 8 + 1 + 2


def test_the_words_of_tools_and_schemas_are_billed_and_in_the_charge_of_responses_alone() -> None:
    schema, tools = {"type": "object"}, [{"type": "function"}]  # 1 and 2 tokens, 1 and 2
    message = {"messages": [{"role": "user", "content": "12345678"}]}
    chat = message | {"tools": tools, "response_format": {"type": "json_schema", "json_schema": schema}}
    assert input_tokens_of(Endpoint.CHAT, chat) == input_tokens_of(Endpoint.CHAT, message) + 6
    for law in (ChatLaw.CHAT_2025, ChatLaw.DOCUMENTED):
        assert charge_of(Endpoint.CHAT, chat, law) == charge_of(Endpoint.CHAT, message, law)
    response = {"input": "12345678", "text": {"format": {"type": "json_schema", "schema": schema}}}
    assert charge_of(Endpoint.RESPONSES, response, ChatLaw.CHAT_2025) == 3 + 4 + 2 + 3 + 19
