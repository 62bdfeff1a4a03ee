"""Escaping of foreign text in logs, answers and on a terminal: nothing in it may act, hide itself or run on endlessly.

Names of models, ids, keys, headers and errors come from outside. A log is read through a terminal as well: `tail`, or
`jq -r`, which undoes the escapes of JSON. So a character that a terminal or an eye takes for anything but a letter is
replaced by the text of its escape, before JSON is made.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.service.status.presentable import showable

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (C0, DEL and C1), invisible and bidirectional marks, halves of pairs, code points without a letter, and
separators of lines."""

_DOUBTFUL: Final = re.compile(r"[^ -~]")
TEXT_CHARS_MAX: Final = 2_000
TRACE_CHARS_MAX: Final = 16_000
EVENT_CHARS_MAX: Final = 32_000
_DEPTH_MAX: Final = 6
_NAME_CHARS_MAX: Final = 100
_TRACES: Final = frozenset({"exception", "stack"})


def safe(text: str, *, keep: str = "") -> str:
    r"""Return the text with every harmful character as `\x1b`, `\u202e` or `\U000e0001`; those in `keep` stay."""
    if text.isprintable():
        return text
    return _DOUBTFUL.sub(lambda found: _escaped(found[0], keep), text)


def safe_json(document: str) -> str:
    r"""Return JSON with every harmful character inside its texts as `\u202e`; to any parser it is the same."""
    if document.isprintable():
        return document
    return _DOUBTFUL.sub(lambda found: _escaped_for_json(found[0]), document)


def bounded_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a log event without harmful characters, and bounded: at any depth, in keys and values, of any type.

    A text is cut at 2,000 characters, a trace, which keeps its lines, at 16,000, and a whole event at 32,000.
    """
    room = _Room(EVENT_CHARS_MAX)
    told: dict[str, Any] = {}
    for name, value in event.items():
        if room.is_full:
            told["…"] = f"{len(event)} in all"
            break
        is_trace = name in _TRACES
        told[room.name(name)] = room.trace(str(value)) if is_trace else showable(value, room, depth_max=_DEPTH_MAX)
    return told


class _Room:
    """Characters that an event may still take."""

    integer_bits_max = 64

    def __init__(self, chars_max: int) -> None:
        self._left = chars_max

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def spend(self, chars: int) -> None:
        self._left -= chars

    def name(self, name: str) -> str:
        return self.text(name, _NAME_CHARS_MAX)

    def text(self, text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
        most = max(0, min(chars_max, self._left))
        told = safe(text[:most])[:most]  # cut before and after: an escape is longer than its letter
        self._left -= len(told)
        is_whole = (len(text) <= most and len(told) < most) or told == text
        return told if is_whole else f"{told}… ({len(text):,} characters)"

    def trace(self, trace: str) -> str:
        """Keep the end of a trace, which says what happened."""
        most = max(0, min(TRACE_CHARS_MAX, self._left))
        told = safe(trace[-TRACE_CHARS_MAX:], keep="\n\t")
        kept = told[max(0, len(told) - most) :]
        self._left -= len(kept)
        return kept if len(trace) <= TRACE_CHARS_MAX and kept == told else f"[…]{kept}"


def _escaped(letter: str, keep: str) -> str:
    if letter in keep or unicodedata.category(letter) not in _HARMFUL:
        return letter
    return letter.encode("unicode_escape", errors="surrogatepass").decode("ascii")


def _escaped_for_json(letter: str) -> str:
    if letter == "\n" or unicodedata.category(letter) not in _HARMFUL:
        return letter
    units = letter.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
