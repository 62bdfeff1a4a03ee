"""Checks of secrets and header values, made before anything is sent with them.

A key of two lines or with a typographic quotation mark raises in each call, long after the start; a key in quotation
marks, or with the word Bearer before it, is refused by OpenAI without an explanation. Each message continues a sentence
that begins with the setting's key, and repeats no part of the value.
"""

import re
import string
from typing import Final

_QUOTES: Final = (
    "\"'`\N{ACUTE ACCENT}\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
    "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
    "\N{FULLWIDTH QUOTATION MARK}"
)
_NAME: Final = re.compile(
    r"(?:export\s+)?[A-Z](?:[A-Z0-9]*_[A-Z0-9_]*\s*=|[A-Z0-9]{2,}\s*=(?!=*$))|(?i:authorization\s*:)"
)
_SCHEME: Final = re.compile(r"(?:bearer|basic)(?:[\s:]|$)", re.IGNORECASE)
_ASCII: Final = frozenset(string.printable) - frozenset(string.whitespace)


class SecretError(ValueError):
    """A secret, or the value of a header, that cannot be used as it is."""


def key(text: str) -> str:
    """Return an API key, without the white space around it.

    Raises:
        SecretError: No server accepts it, or no header carries it.
    """
    text = _header(text, "a key")
    if _NAME.match(text):
        raise SecretError("begins with the name of a variable or of a header: give only what follows it")
    if _SCHEME.match(text):
        raise SecretError("begins with the word Bearer or Basic, which Headrace adds itself: leave it out")
    _check_spaces(text, "a key")
    return text


def header(text: str) -> str:
    """Return the value of a header that names an organisation or a project, without the white space around it.

    Raises:
        SecretError: No header carries it, or it names nothing.
    """
    text = _header(text, "an id")
    _check_spaces(text, "an id")
    return text


def login(text: str) -> str:
    """Return a user's name or password unchanged, unless no protocol carries it.

    Raises:
        SecretError: It is empty, has several lines or a NUL, or is not text.
    """
    if not text:
        raise SecretError("is empty: leave it out, or give it a value")
    if "\0" in text or text.splitlines() != [text]:
        raise SecretError("holds a line break or a NUL, which no login has: give it on one line")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise SecretError("holds bytes that are not UTF-8: write it in UTF-8")
    return text


def is_quoted(text: str) -> bool:
    """Return whether it stands in quotation marks, which may be part of a password and rarely are."""
    return len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES


def _header(text: str, what: str) -> str:
    text = text.strip()
    if not text:
        raise SecretError("is empty: leave it out, or give it a value")
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        raise SecretError(
            "begins or ends with a quotation mark, which is not part of it: leave the quotation marks out"
        )
    if len(text.splitlines()) > 1:
        raise SecretError(f"has more than one line: {what} is printable ASCII on one line")
    if not all(letter in _ASCII or letter in " \t" for letter in text):
        raise SecretError(f"holds a character that HTTP headers do not allow: {what} is printable ASCII on one line")
    return text


def _check_spaces(text: str, what: str) -> None:
    if " " in text or "\t" in text:
        raise SecretError(f"holds a space: {what} has none, so check what was copied with it")
