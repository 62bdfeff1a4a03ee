"""Strangers' text on a person's terminal: nothing in it may move the cursor, colour the screen or hide itself.

Names of models, ids, keys and headers come from whoever may write to a lane. What a terminal or an eye would take for
something else than a letter is written as the escape that names it.
"""

import sys
import unicodedata
from typing import Final

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, invisible and bidirectional marks, halves of pairs, what has no letter, and separators of lines."""


def safe(text: str, *, keep: str = "") -> str:
    r"""The text with every harmful character as `\x1b`, `\u202e` or `\U000e0001`; those in `keep` stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in _HARMFUL else _escaped(letter)
        for letter in text
    )


def safe_bytes(value: bytes, *, keep: str = "") -> str:
    r"""The same for bytes that may be no text: what is not UTF-8 becomes `\xff`."""
    return safe(value.decode("utf-8", errors="backslashreplace"), keep=keep)


def short(text: str, chars_max: int) -> str:
    """At most so many characters; an ellipsis says that there were more."""
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


def is_person_watching() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", errors="surrogatepass").decode("ascii")
