import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from headrace.broker.core.pricing.laws import (
    IMAGE_CHARGE,
    LEGACY_OUTPUT_TOKENS,
    RESPONSES_OVERHEAD,
    RESPONSES_OVERHEAD_WITH_TOOLS,
    Prices,
    RequestSize,
    charge,
    framing_tokens,
    measure,
    prices,
    texts,
)

HEADERS = Path(__file__).parent.parent / "data" / "openai_ratelimit_headers.jsonl"
LAW_CHANGED_ON = "2025-03-20"


def size(**known: Any) -> RequestSize:
    nothing: dict[str, Any] = {
        "content_bytes": 0,
        "messages": 0,
        "choices": 1,
        "images": 0,
        "output_tokens_max": None,
        "input_tokens": 0,
        "function_tools": False,
        "embedding_tokens": None,
    }
    return RequestSize(**(nothing | known))


def errors(endpoint: str, law: Law, *, since: str = "", until: str = "9999", models: tuple[str, ...] = ()) -> list[int]:
    """The debit that recorded headers show, less what the law says, for each recorded call."""
    rows = [json.loads(line) for line in HEADERS.read_text(encoding="utf-8").splitlines()]
    return [
        row["charge"] - charge(law, recorded_size(row))
        for row in rows
        if row["endpoint"] == endpoint and since <= row["date"] < until
        if not models or row["model"] in models
        if row["input_tokens"] is not None or law is not Law.RESPONSES
    ]


def recorded_size(row: dict[str, Any]) -> RequestSize:
    return size(
        content_bytes=row["content_utf8_bytes"],
        messages=row["items"],
        choices=row["n"] or 1,
        images=row["images"],
        output_tokens_max=row["max_tokens"],
        input_tokens=row["input_tokens"] or 0,
        function_tools=row["function_tools"] > 0,
    )


def test_the_chat_law_is_within_one_token_of_nine_in_ten_recorded_debits_and_within_two_of_all() -> None:
    found = errors("/v1/chat/completions", Law.CHAT_2025, since=LAW_CHANGED_ON)
    assert len(found) == 114
    assert sum(abs(error) <= 1 for error in found) / len(found) > 0.92
    assert max(map(abs, found)) <= 2


def test_the_legacy_law_is_exact_or_one_below_the_debits_of_its_time_but_for_one_free_image() -> None:
    found = Counter(errors("/v1/chat/completions", Law.CHAT_LEGACY, until=LAW_CHANGED_ON))
    assert set(found) == {0, 1, -IMAGE_CHARGE}
    assert found[-IMAGE_CHARGE] == 1


def test_the_responses_law_is_within_three_tokens_on_models_that_settle_nothing_afterwards() -> None:
    models = ("gpt-4o", "gpt-4o-mini", "gpt-4.1")
    found = errors("/v1/responses", Law.RESPONSES, models=models)
    assert len(found) > 20
    assert max(map(abs, found)) <= 3


def test_the_embeddings_law_is_within_one_token_of_every_recorded_debit() -> None:
    found = errors("/v1/embeddings", Law.EMBEDDINGS)
    assert len(found) == 28
    assert max(map(abs, found)) <= 1


def test_the_documented_law_is_the_larger_of_output_cap_and_input_estimate() -> None:
    assert charge(Law.DOCUMENTED, size(content_bytes=40, messages=1, output_tokens_max=300, choices=2)) == 600
    assert charge(Law.DOCUMENTED, size(content_bytes=4_000, messages=1, output_tokens_max=300)) == 1_001
    assert charge(Law.DOCUMENTED, size(content_bytes=4_000, messages=1)) == 1_001


def test_the_legacy_law_multiplies_the_output_cap_by_the_choices() -> None:
    assert charge(Law.CHAT_LEGACY, size(content_bytes=5, messages=1, choices=2)) == 3 + 2 * LEGACY_OUTPUT_TOKENS
    assert charge(Law.CHAT_LEGACY, size(content_bytes=5, messages=1, output_tokens_max=500)) == 503


def test_responses_charge_their_exact_input_and_more_with_function_tools() -> None:
    assert charge(Law.RESPONSES, size(input_tokens=100)) == 119
    assert charge(Law.RESPONSES, size(input_tokens=100, function_tools=True, images=1)) == 317 + IMAGE_CHARGE


@pytest.mark.parametrize("law", list(Law))
def test_no_call_is_free(law: Law) -> None:
    assert charge(law, size()) >= 1
    assert charge(Law.EMBEDDINGS, size(embedding_tokens=0)) == 1


def test_a_chat_body_is_measured_by_its_messages_alone() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Grüezi"},
            {
                "role": "user",
                "name": "ann",
                "content": ["a", {"type": "text", "text": "bc"}, {"type": "image_url", "image_url": {"url": "x"}}, 7],
            },
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "uncounted"}}]},
            "stray",
        ],
        "n": 2,
        "max_tokens": 100,
        "max_completion_tokens": 300.0,
        "tools": [{"type": "function", "function": {"name": "tool"}}],
    }
    assert measure("chat.completions", body, 40) == RequestSize(
        content_bytes=7 + 1 + 2 + 5,
        messages=4,
        choices=2,
        images=1,
        output_tokens_max=300,
        input_tokens=40,
        function_tools=True,
        embedding_tokens=None,
        image_tokens=3_000,
    )
    found = list(texts("chat.completions", body))
    assert sorted(found[8:]) == ["function", "function", "name", "tool", "type"], "billed, though not in its charge"
    assert found[:8] == [
        "Grüezi",
        "a",
        "bc",
        "stray",
        "system",
        "user",
        "ann",
        "assistant",
    ]
    assert framing_tokens("chat.completions", body) == 3 * 5 + 1


def test_a_responses_body_is_measured_by_instructions_items_and_tools() -> None:
    body = {
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image"}]},
            {"type": "function_call", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "output": "ok"},
        ],
        "tools": [{"type": "function", "name": "look", "strict": True, "parameters": {"enum": ["up"]}}],
        "max_output_tokens": 50,
    }
    measured = measure("responses", body, -1)
    assert (measured.content_bytes, measured.messages, measured.images) == (7 + 2 + 2 + 2, 3, 1)
    assert (measured.output_tokens_max, measured.function_tools, measured.input_tokens) == (50, True, 0)
    assert framing_tokens("responses", body) == 3 * 5 + 1 + 1, "instructions are a message, whose role nobody names"
    found = list(texts("responses", body))
    assert found[:6] == ["be kind", "hi", "{}", "ok", "user", "look"]
    assert sorted(found[6:]) == ["enum", "function", "look", "name", "parameters", "strict", "type", "up"]


def test_a_lone_string_is_one_input() -> None:
    assert list(texts("responses", {"input": "hello"})) == ["hello"]
    assert measure("responses", {"input": "hello"}, 8).messages == 1
    assert framing_tokens("responses", {"input": "hello"}) == 7, "recorded: 8 tokens for one token of text"
    assert measure("embeddings", {"input": "hello"}, 0).content_bytes == 5


def pictures(endpoint: str, *given: dict[str, Any], model: str = "gpt-4o") -> RequestSize:
    """One item with these parts and a word."""
    items = [{"role": "user", "content": [{"type": "text", "text": "look"}, *given]}]
    name = "messages" if endpoint == "chat.completions" else "input"
    return measure(endpoint, {"model": model, name: items}, 100)


def in_body(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4)
    return "data:image/png;base64," + base64.b64encode(head + b"\0" * 300_000).decode()


def test_a_picture_is_counted_as_one_and_never_as_the_text_it_is_written_in() -> None:
    chat = pictures("chat.completions", {"type": "image_url", "image_url": {"url": in_body(1_024, 1_024)}})
    response = pictures("responses", {"type": "input_image", "image_url": in_body(1_024, 1_024)})
    for found in (chat, response):
        assert (found.content_bytes, found.images, found.image_tokens) == (4, 1, 765)
    body = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": in_body(8, 8)}]}]}
    assert list(texts("responses", body)) == ["user"]


def test_detail_and_model_say_what_a_picture_is_billed_as_and_an_unknown_size_is_the_largest() -> None:
    def billed(model: str = "gpt-4o", **how: Any) -> tuple[int, int]:
        beside = {"type": "input_image", "image_url": how.get("url"), "detail": how.get("detail")}
        chat = pictures("chat.completions", {"type": "image_url", "image_url": how}, model=model)
        return chat.image_tokens, pictures("responses", beside, model=model).image_tokens

    assert billed(url=in_body(1_024, 1_024), detail="low") == (85, 85)
    assert billed(url="https://example.com/a.png") == (1_445, 1_445)
    assert billed(url="https://example.com/a.png", detail="low") == (85, 85)
    assert billed("gpt-4.1-mini", url=in_body(1_024, 1_024)) == (1_659, 1_659)
    assert billed(url=7, detail=7) == (1_445, 1_445)
    assert pictures("responses", {"type": "input_image", "file_id": "file-1"}).image_tokens == 1_445
    assert pictures("chat.completions", {"type": "image_url", "image_url": "https://example.com"}).images == 1


def test_what_tools_return_may_be_pictures_too() -> None:
    screenshot = {"type": "computer_screenshot", "image_url": in_body(1_024, 1_024)}
    returned = [{"type": "input_image", "image_url": in_body(128, 64)}, {"type": "input_text", "text": "ok"}]
    items = [
        {"type": "computer_call_output", "output": screenshot},
        {"type": "function_call_output", "output": returned},
        {"type": "function_call_output", "output": "ok"},
    ]
    found = measure("responses", {"model": "gpt-4o", "input": items}, 0)
    assert (found.images, found.image_tokens, found.content_bytes) == (2, 765 + 255, 4)


def test_pictures_cost_a_flat_sum_at_admission_and_what_they_are_billed_as_where_usage_is_charged() -> None:
    asked = size(content_bytes=40, messages=1, input_tokens=20, images=2, image_tokens=3_000)
    chat = dict(zip(ENDPOINT_TABLE["chat.completions"].laws, prices("chat.completions", asked).tokens, strict=True))
    assert chat == {
        Law.CHAT_LEGACY: 10 + 1 + 16 + 2 * IMAGE_CHARGE,
        Law.DOCUMENTED: 10 + 1 + 2 * IMAGE_CHARGE,
        Law.CHAT_2025: 10 + 1 + 1 + 2 * IMAGE_CHARGE,
        Law.USAGE: 20 + 3_000,
    }
    assert charge(Law.RESPONSES, asked) == 20 + 2 * IMAGE_CHARGE + RESPONSES_OVERHEAD


def test_recorded_responses_with_a_picture_were_debited_the_flat_sum_whatever_the_bill() -> None:
    rows = [json.loads(line) for line in HEADERS.read_text(encoding="utf-8").splitlines()]
    found = {
        row["input_tokens"]: row["charge"]
        for row in rows
        if row["endpoint"] == "/v1/responses" and row["images"] and row["model"] == "gpt-4.1-nano"
    }
    assert found == {53: IMAGE_CHARGE, 804: IMAGE_CHARGE}


def test_texts_to_embed_cost_a_quarter_of_their_characters_and_halves_are_rounded_down() -> None:
    for given, tokens in ((["ab"], 1), (["abc"], 1), (["abcd"] * 3, 3), (["üüüü" * 10, "ab"], 10), (["x" * 34], 8)):
        assert charge(Law.EMBEDDINGS, measure("embeddings", {"input": given}, 0)) == tokens
    many = {"input": ["a" * 40, "b" * 38, [1, 2, 3], [4]]}
    assert charge(Law.EMBEDDINGS, measure("embeddings", many, 0)) == 19 + 4


@pytest.mark.parametrize(
    ("given", "tokens"), [([7, 7, 7], 3), ([[7, 7], [7], []], 3), (["text"], None), (["text", [1, 2]], 2), ([], None)]
)
def test_token_arrays_to_embed_are_counted_exactly(given: list[Any], tokens: int | None) -> None:
    assert measure("embeddings", {"input": given}, 0).embedding_tokens == tokens
    assert framing_tokens("embeddings", {"input": given}) == 0


def test_token_numbers_are_no_vector_outside_embeddings() -> None:
    assert measure("responses", {"input": [1, 2]}, 0).embedding_tokens is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "not a list", "n": True, "max_tokens": "many", "tools": 5},
        {"messages": [None, 3, [], {"content": {"deep": []}}, {"content": [{"text": 5}], "role": 9}], "n": -1},
        {"messages": {}, "n": 1.5, "max_tokens": float("inf"), "tools": [None, {"type": 3}]},
        {"messages": [], "n": float("nan"), "max_tokens": 0, "max_completion_tokens": True},
    ],
)
def test_nonsense_counts_nothing(body: dict[str, Any]) -> None:
    measured = measure("chat.completions", body, 0)
    assert (measured.content_bytes, measured.choices, measured.output_tokens_max) == (0, 1, None)
    assert not measured.function_tools
    assert set(texts("chat.completions", body)) <= {"type"}, "a name in a tool that is none"


def test_a_lone_surrogate_counts_three_bytes() -> None:
    assert measure("chat.completions", {"messages": [{"content": "\ud800"}]}, 0).content_bytes == 3


def test_tools_nested_deeper_than_the_interpreters_stack_are_read() -> None:
    nested: list[Any] = ["bottom"]
    for _ in range(5_000):
        nested = [nested]
    assert list(texts("responses", {"tools": nested})) == ["bottom"]


def test_a_call_has_the_price_of_every_law_that_may_hold_for_its_endpoint() -> None:
    asked = size(content_bytes=400, messages=1, input_tokens=110, output_tokens_max=300)
    found = {
        name: dict(zip(each.laws, each.tokens, strict=True))
        for name in ENDPOINT_TABLE
        for each in [prices(name, asked)]
    }
    assert found == {
        "chat.completions": {Law.CHAT_LEGACY: 401, Law.DOCUMENTED: 300, Law.CHAT_2025: 102, Law.USAGE: 110},
        "responses": {Law.DOCUMENTED: 300, Law.RESPONSES: 129, Law.USAGE: 129},
        "embeddings": {Law.DOCUMENTED: 300, Law.EMBEDDINGS: 100, Law.USAGE: 110},
    }


def test_responses_covers_a_part_of_the_output_at_admission() -> None:
    assert prices("responses", size(input_tokens=100)).covered == RESPONSES_OVERHEAD
    assert prices("responses", size(input_tokens=100, function_tools=True)).covered == RESPONSES_OVERHEAD_WITH_TOOLS
    assert prices("chat.completions", size(input_tokens=100)).covered == 0


def test_a_named_law_is_the_only_one_and_an_unknown_endpoint_has_the_documented_alone() -> None:
    asked = size(content_bytes=400, messages=1, output_tokens_max=300)
    named = prices("chat.completions", asked, Law.CHAT_LEGACY)
    assert (named.laws, named.tokens) == ((Law.CHAT_LEGACY,), (401,))
    unknown = prices("something.new", asked)
    assert (unknown.endpoint, unknown.laws, unknown.tokens) == ("other", (Law.DOCUMENTED,), (300,))


def test_a_flat_price_is_that_of_one_law() -> None:
    assert Prices.flat(7) == Prices("", (Law.DOCUMENTED,), (7,), 0)


def test_the_schema_of_a_structured_output_is_billed_as_input_as_recorded() -> None:
    """A recorded response with one had 57 tokens of input and was debited 75; without it there were 14."""
    schema = {"type": "object", "properties": {"subject": {"type": "string"}}}
    words = ["object", "properties", "string", "subject", "type", "type"]
    chat = {"response_format": {"type": "json_schema", "json_schema": schema}}
    assert sorted(texts("chat.completions", chat)) == words
    assert sorted(texts("responses", {"text": {"format": {"type": "json_schema", "schema": schema}}})) == words
    none: tuple[dict[str, Any], ...] = (
        {"response_format": "json"},
        {"response_format": {"type": "text"}},
        {"text": 7},
        {"text": {"format": []}},
    )
    for odd in none:
        assert list(texts("chat.completions", odd)) == list(texts("responses", odd)) == []
    assert list(texts("embeddings", chat | {"tools": [schema]})) == []


HUGE: tuple[Any, ...] = (10**12 + 1, 10**400, int("9" * 4_300), 1.79e308)
