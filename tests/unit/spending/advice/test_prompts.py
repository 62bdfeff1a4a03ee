import time
from typing import Any

import pytest

from headrace.broker.spending.advice.prompts import IMAGE_BYTES, PROMPT_BYTES_MAX, prompt_of

PARTS = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]}, "be\nhi\n"),
        ({"instructions": "be", "input": "hi"}, "be\nhi\n"),
        ({"input": ["one", "two"]}, "one\ntwo\n"),
        ({"input": [[1, 2], [3]]}, "1\n2\n3\n"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "a\n"),
        ({"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "find"}]}, "name\nfind\nhi\n"),
        ({"messages": None}, ""),
        ({"messages": 7}, "7\n"),
        ({}, ""),
    ],
)
def test_a_prompt_is_read_in_the_order_in_which_it_is_built(body: dict[str, Any], text: str) -> None:
    assert prompt_of(body).text == text


def test_the_same_image_is_the_same_text_and_counts_a_flat_weight() -> None:
    one, other = ({"messages": [{"role": "user", "content": PARTS}]} for _ in range(2))
    assert prompt_of(one) == prompt_of(other)
    assert prompt_of(one).bytes_total == len("look\n") + IMAGE_BYTES
    assert "https" not in prompt_of(one).text


def test_another_image_is_another_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a/c.png"}}
    one, other = ({"messages": [{"role": "user", "content": [each]}]} for each in (image, PARTS[1]))
    assert prompt_of(one).text != prompt_of(other).text


def test_what_is_left_out_of_a_huge_prompt_still_counts() -> None:
    prompt = prompt_of({"messages": [{"role": "user", "content": "é" * 5_000_000}]})
    assert PROMPT_BYTES_MAX - 1 <= prompt.kept_bytes == len(prompt.text.encode()) <= PROMPT_BYTES_MAX
    assert prompt.bytes_total == 10_000_001


@pytest.mark.parametrize("letter", ["a", "é", "語", "\U0001f600", "\ud800"])
def test_no_script_takes_more_memory_than_another(letter: str) -> None:
    prompt = prompt_of(
        {"messages": [{"role": "system", "content": letter * 30_000}, {"role": "user", "content": letter * 70_000}]}
    )
    assert PROMPT_BYTES_MAX - 4 <= prompt.kept_bytes == len(prompt.text.encode()) <= PROMPT_BYTES_MAX
    assert prompt.instructions == len(prompt.text) or prompt.text[prompt.instructions - 1] == "\n"


def test_lone_surrogates_do_not_matter() -> None:
    assert prompt_of({"input": "\ud800 and \udfff"}).bytes_total > 0


def test_nesting_of_any_depth_is_read_without_recursion() -> None:
    value: Any = "deep"
    for _ in range(40_000):
        value = [value]
    assert prompt_of({"input": value}).text == "deep\n"
    for _ in range(1_000):
        value = {"content": value}
    assert prompt_of({"messages": [value], "tools": value}).text.endswith("deep\n")


def test_instructions_end_where_the_first_message_of_another_role_begins() -> None:
    prompt = prompt_of({"messages": [{"role": "developer", "content": "be kind"}, {"role": "user", "content": "hi"}]})
    assert prompt.text[: prompt.instructions] == "be kind\n"


def test_a_number_of_a_million_digits_takes_no_time() -> None:
    begun = time.process_time()
    assert prompt_of({"input": [10**1_000_000]}).text == "(number)\n"
    assert time.process_time() - begun < 1


def test_tools_and_schemas_end_where_instructions_begin() -> None:
    body = {
        "tools": [{"name": "tool"}],
        "response_format": {"type": "text"},
        "instructions": "Be brief.",
        "input": "hello",
    }
    found = prompt_of(body)
    assert found.text[: found.definitions].split() == ["name", "tool", "type", "text"]
    assert found.text[found.definitions : found.instructions] == "Be brief.\n"
    assert prompt_of({"messages": [{"role": "user", "content": "hello"}]}).definitions == 0
