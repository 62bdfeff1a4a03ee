"""What is left of a value whose end was cut off."""

import json

import pytest

from headrace.consumers.fragments import fragment

WHOLE = json.dumps(
    {
        "id": "lead-1",
        "tenant": 'a "quoted" {name}',
        "stream": False,
        "body": {"model": "m", "messages": [{"role": "user", "content": "long"}], "n": 1},
        "metadata": {"lead": 1},
    }
).encode()


def test_a_whole_object_is_read_whole() -> None:
    assert fragment(WHOLE) == json.loads(WHOLE)


def test_wherever_it_is_cut_what_was_complete_before_is_there_and_true() -> None:
    whole = json.loads(WHOLE)
    for end in range(len(WHOLE)):
        for name, value in fragment(WHOLE[:end]).items():
            assert value == whole[name] or (name in {"body", "metadata"} and value.items() <= whole[name].items()), end


def test_the_model_of_a_body_that_was_cut_in_its_prompt_is_known() -> None:
    cut = WHOLE[: WHOLE.index(b"long") + 2]
    assert fragment(cut)["body"] == {"model": "m"}
    assert fragment(cut)["id"] == "lead-1"


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"[1, 2]", b'"text"', b"\xff\xfe{", b"{{{{", b'{"a" 1}', b"{1: 2}", b'{"a": ', b'{"a": tru'],
)
def test_what_is_no_object_leaves_nothing(value: bytes | None) -> None:
    assert fragment(value) == {}


def test_depth_is_bounded_and_nothing_raises() -> None:
    assert fragment(b'{"a":' * 100_000) == {}
    assert fragment(b'{"id": "x", "a": ' + b"[" * 200_000) == {"id": "x"}


def test_half_a_letter_at_the_end_is_no_reason_to_read_nothing() -> None:
    assert fragment('{"id": "x", "tenant": "Zü'.encode()[:-1]) == {"id": "x"}
