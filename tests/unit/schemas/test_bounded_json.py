"""JSON of strangers: bounded in bytes, depth, values and digits before anything is made of it."""

import json
import time
import tracemalloc
from typing import Any

import pytest

from headrace.schemas.bounded_json import (
    NESTING_MAX,
    VALUES_A_CONTAINER,
    VALUES_MAX,
    Unreadable,
    has_more_values,
    held_bytes,
    parse,
)

BYTES_MAX = 900_000


def parsed(value: bytes, *, nesting_max: int = 64, values_max: int = VALUES_MAX) -> Any:
    return parse(value, bytes_max=BYTES_MAX, nesting_max=nesting_max, values_max=values_max)


def filled(each: bytes) -> bytes:
    """A list of as many of these as the bytes allow."""
    return b"[" + b",".join([each] * ((BYTES_MAX - 2) // (len(each) + 1))) + b"]"


@pytest.mark.parametrize("each", [b"[]", b"{}", b'{"":{}}', b'""', b"[[]]", b"0", b"[{}]"])
def test_a_bomb_of_small_values_is_refused_before_any_is_made(each: bytes) -> None:
    bomb = filled(each)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=r"more than 200000 values"):
            parsed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2 * BYTES_MAX, "what was refused was built first"
    finally:
        tracemalloc.stop()


def test_a_long_text_is_not_refused_for_what_stands_in_it() -> None:
    text = ',[{:"\\ ' * 60_000
    assert parsed(json.dumps({"text": text}).encode()) == {"text": text}
    assert parsed(json.dumps(["," * 400_000, "[" * 400_000]).encode())[0][0] == ","


def test_an_embeddings_request_of_token_numbers_fills_its_bytes() -> None:
    assert len(parsed(filled(b"12345"))) == 149_999


@pytest.mark.parametrize("value", [b"[1,2,3]", b'{"a":1,"b":"x,y"}', b'["a\\",", "b"]', b"[[],{}]", b"[[1,2],[3]]"])
def test_values_are_counted_to_the_last(value: bytes) -> None:
    def count(of: Any) -> int:
        inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else ()
        own = VALUES_A_CONTAINER if isinstance(of, dict | list) else 0
        return own + sum(map(count, inner)) + (not isinstance(of, dict | list))

    exactly = count(json.loads(value))
    containers = value.count(b"[") + value.count(b"{")
    assert has_more_values(value, exactly - 1)
    assert not has_more_values(value, exactly + containers), "each container may count for one more"


@pytest.mark.parametrize(
    "value", [b'"' + b'\\"' * 440_000, b'"' * 900_000, b'"' + b"\\" * 899_999, b',"' * 450_000, b'",' * 450_000]
)
def test_what_never_ends_is_counted_in_one_pass(value: bytes) -> None:
    begun_s = time.process_time()
    has_more_values(value, 10)
    assert time.process_time() - begun_s < 1.0


@pytest.mark.parametrize("digits", [4_301, 100_000])
def test_a_number_of_more_digits_than_python_prints_is_named(digits: int) -> None:
    with pytest.raises(Unreadable, match="number that is too large"):
        parsed(b'{"n": ' + b"9" * digits + b"}")


def test_a_number_that_is_read_can_be_printed() -> None:
    assert json.dumps(parsed(b'{"n": ' + b"9" * 4_300 + b"}"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    [
        [{}] * 39_000,
        [{"key": number} for number in range(39_000)],
        [f"x{number}" for number in range(100_000)],
        [f"\U0001f600{number}" for number in range(60_000)],
        {"text": "x" * 800_000 + "\U0001f600"},
        list(range(10_000, 130_000)),
    ],
)  # fmt: skip
def test_what_a_value_holds_of_memory_is_never_far_below_the_truth(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    tracemalloc.start()
    try:
        made = parsed(text)
        truth, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.95 * truth <= held_bytes(made) <= 1.6 * truth


def test_what_may_be_nested_can_be_read_back_by_our_readers() -> None:
    assert NESTING_MAX + 8 <= 200, "pydantic reads 200 levels, and what we write stands around it"
