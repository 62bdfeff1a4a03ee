"""Whatever strangers write, a terminal only shows it."""

import unicodedata

import pytest

from broker.cli.terminal import safe, safe_bytes, short


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, [red] and all", "plain text, [red] and all"),
        ("Zürich 漢字 €", "Zürich 漢字 €"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("gpt\u202etxt\u200b\ufeff", r"gpt\u202etxt\u200b\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_is_no_letter_is_named_by_its_escape(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_nothing_harmful_passes_whatever_it_is() -> None:
    for code in range(0x10000):
        if unicodedata.category(letter := chr(code))[0] in "CZ" and letter.isprintable() is False:
            assert len(safe(letter)) > 1 or unicodedata.category(letter) == "Zs", hex(code)


def test_lines_and_tabs_may_be_kept() -> None:
    assert safe("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_bytes_that_are_no_text_are_shown_as_bytes() -> None:
    assert safe_bytes(b"ok \xff\xfe \x1b[2J") == r"ok \xff\xfe \x1b[2J"


def test_a_long_text_says_that_there_was_more() -> None:
    assert (short("abcde", 5), short("abcdef", 5)) == ("abcde", "abcd…")
