"""What came from outside is letters only, and short, wherever it is shown."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.service.metrics.escapes import EVENT_CHARS_MAX, bounded_event, safe, safe_json

HOSTILE = (
    *map(chr, range(32)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad",
    "\ud800",
    "\udfff",
    "\U000e0041",
)
"""C0, DEL and C1, marks of direction, separators of lines, what has no width, halves of pairs, and a hidden tag."""

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(HOSTILE) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(HOSTILE), inner) | st.tuples(inner),
    max_leaves=20,
)


class Rude:
    """An object that a library may log."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def harmless(text: str, *, keep: str = "") -> bool:
    return all(one in keep or (unicodedata.category(one)[0] != "C" and one not in "\u2028\u2029") for one in text)


def has_no_half(tree: Any) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in json.dumps(tree, ensure_ascii=False, default=repr))


@pytest.mark.parametrize("letter", HOSTILE, ids=ascii)
def test_a_hostile_letter_is_shown_by_its_escape_in_keys_and_values_at_any_depth(letter: str) -> None:
    name = f"gpt{letter}4"
    told = bounded_event({name: name, "a": [{name: (name, {name})}], "b": name.encode(errors="replace")})
    line = json.dumps(told, ensure_ascii=False)
    assert harmless(line)
    assert harmless("".join(json.loads(line)))
    escape = letter.encode("unicode_escape", errors="surrogatepass").decode()
    assert told[f"gpt{escape}4"] == f"gpt{escape}4"


@pytest.mark.slow
@given(st.dictionaries(st.text() | st.sampled_from(HOSTILE), TREES))
def test_any_event_becomes_one_harmless_line_of_json(event: dict[str, Any]) -> None:
    line = json.dumps(bounded_event(event), ensure_ascii=False, allow_nan=False)
    assert harmless(line, keep="")
    assert "\n" not in line


@pytest.mark.parametrize(
    "event",
    [
        {"model": "m" * 1_000_000},
        {"model": "\u202e" * 1_000_000},
        {"k" * 1_000_000: 1},
        {"models": ["m" * 1_000] * 10_000},
        {"models": {f"m{number}": number for number in range(100_000)}},
        {"exception": "line\n" * 200_000},
        {"price": 10**20_000},
        {"a": [[[[[[[["m" * 100_000]]]]]]]]},
        {f"k{number}": "m" * 2_000 for number in range(1_000)},
        {"a": [2**63] * 10_000},
        {"a": [1.123456789012345e-300] * 10_000},
        {"a": [None] * 100_000},
        {"a": [[]] * 100_000},
        {"exception": '"' * 100_000, "a": ["\\" * 100_000] * 100},
    ],
    ids=[
        "long",
        "escaped",
        "key",
        "list",
        "mapping",
        "trace",
        "number",
        "deep",
        "wide",
        "integers",
        "floats",
        "nothing",
        "empty",
        "quotes",
    ],
)
def test_an_event_is_short_whatever_is_in_it(event: dict[str, Any]) -> None:
    assert len(json.dumps(bounded_event(event), ensure_ascii=False)) <= 2 * EVENT_CHARS_MAX + 1_000


def test_what_was_cut_is_said_and_what_was_not_is_whole() -> None:
    told = bounded_event({"a": "m" * 2_001, "b": "m" * 2_000, "c": "gpt-4o, größer 模型 🙂"})
    assert told["a"].endswith("… (2,001 characters)")
    assert told["b"] == "m" * 2_000
    assert told["c"] == "gpt-4o, größer 模型 🙂"


def test_a_trace_keeps_its_lines_and_its_end() -> None:
    trace = "Traceback\n" + "  a line\n" * 10_000 + "ValueError: \x1b[31m\u202e"
    told = bounded_event({"exception": trace})["exception"]
    assert told.endswith("  a line\nValueError: \\x1b[31m\\u202e")
    assert len(told) < 17_000


def test_an_object_that_cannot_be_shown_and_numbers_that_json_lacks_are_named() -> None:
    told = bounded_event({"a": Rude(), "b": float("nan"), "c": 2**64, "d": True, "e": None, "f": 1.5})
    assert told == {"a": "<Rude>", "b": "nan", "c": "a number of 65 bits", "d": True, "e": None, "f": 1.5}


def test_letters_that_are_to_stay_do() -> None:
    assert safe("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"


@pytest.mark.slow
@given(TREES.filter(has_no_half))
def test_json_is_the_same_for_a_parser_and_harmless_for_an_eye(tree: Any) -> None:
    document = json.dumps(tree, ensure_ascii=False, default=repr)
    assert repr(json.loads(safe_json(document))) == repr(json.loads(document))
    assert harmless(safe_json(document))
