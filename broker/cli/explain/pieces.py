"""Splitter of an input into pieces of one answer each, for any form in which answers are pasted or piped.

The forms: JSON lines, one a piece; a pretty-printed body; the output of `curl -i`; events of a stream; a traceback;
plain text that a window has wrapped. Once a line is a JSON object of its own the input counts as JSON lines, and a
broken line among them is a piece of its own. Lines are read one at a time, so that the answers of a pipe are explained
as they come.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from headrace.schemas.bounded_json import json_or_none

LINE_CHARS_MAX: Final = 1_000_000
LINES_MAX: Final = 10_000
"""Longest piece, in lines; a longer one is cut into several."""

_HEAD: Final = re.compile(r"(?:< )?HTTP/[0-9.]{1,4} ([0-9]{3})\b")
_EVENT: Final = re.compile(r"(?:event|data|id|retry):")
_OPENING: Final = re.compile(
    r"(?:[\w.]{1,60}(?:Error|Exception)\b|Error code:|Rate limit (?:reached|is exceeded)|Request too large|"
    r"You exceeded your current quota|Requests to the |Incorrect API key|This model's maximum|The model `|<html|"
    r"<!doctype)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """The text that is explained as one answer; `line` is where it begins."""

    line: int
    text: str


class _Kind(Enum):
    OBJECT = auto()  # JSON on one line, or a line that was meant to be JSON
    SPREAD = auto()  # JSON over several lines
    EXCHANGE = auto()  # headers, a blank line, a body
    EVENTS = auto()
    TRACEBACK = auto()
    TEXT = auto()


@dataclass(slots=True)
class _Open:
    """The piece under way."""

    line: int
    kind: _Kind
    lines: list[str] = field(default_factory=list)
    blank_seen: bool = False
    complete: bool = False

    def add(self, line: str) -> None:
        self.blank_seen = self.blank_seen or not line.strip()
        self.lines.append(line)
        if self.kind is _Kind.SPREAD and line.lstrip()[:1] in {"}", "]"}:
            self.complete = _is_json("\n".join(self.lines))

    @property
    def has_body(self) -> bool:
        head = next((number for number, line in enumerate(self.lines) if not line.strip()), len(self.lines))
        return any(line.strip() and not _HEAD.match(line) for line in self.lines[head:])


def pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """Yield the pieces of an input, in order; blank ones are skipped."""
    under_way: _Open | None = None
    json_lines = False
    for number, raw in enumerate(lines, 1):
        line = raw[:LINE_CHARS_MAX].decode("utf-8", errors="replace").rstrip("\r\n").removeprefix("\ufeff")
        if under_way is not None and _begins_another(under_way, line, json_lines=json_lines):
            yield from _piece(under_way)
            under_way = None
        if under_way is None:
            if not line.strip():
                continue
            under_way = _Open(number, _kind(line))
            json_lines = json_lines or (under_way.kind is _Kind.OBJECT and _is_json(line))
        under_way.add(line)
    if under_way is not None:
        yield from _piece(under_way)


def _kind(line: str) -> _Kind:
    text = line.strip()
    if text.startswith(("{", "[")):
        return _Kind.SPREAD if text.endswith(("{", "[", ",")) and not _is_json(text) else _Kind.OBJECT
    if _HEAD.match(text):
        return _Kind.EXCHANGE
    if _EVENT.match(text):
        return _Kind.EVENTS
    return _Kind.TRACEBACK if text.startswith("Traceback (most recent call last)") else _Kind.TEXT


def _begins_another(under_way: _Open, line: str, *, json_lines: bool) -> bool:
    if len(under_way.lines) >= LINES_MAX:
        return True
    alone = line.startswith("{") and _is_json(line)
    match under_way.kind:
        case _Kind.OBJECT:
            another = True
        case _Kind.SPREAD:
            another = under_way.complete or (alone and len(under_way.lines[0]) > 1)
        case _Kind.EXCHANGE:
            another = _HEAD.match(line) is not None and under_way.has_body
        case _Kind.EVENTS:
            another = bool(line.strip()) and not _EVENT.match(line) and not line.startswith(":")
        case _Kind.TRACEBACK:
            another = alone
        case _Kind.TEXT:
            another = json_lines or alone or not line.strip() or _opens(line)
    return another


def _opens(line: str) -> bool:
    """Return whether a line after a text can only be the beginning of another piece."""
    return bool(_HEAD.match(line) or re.match(r"(?:event|data): ?\S", line) or _OPENING.match(line))


def _is_json(text: str) -> bool:
    return isinstance(json_or_none(text), dict | list)


def _piece(under_way: _Open) -> Iterator[Piece]:
    yield Piece(under_way.line, "\n".join(under_way.lines).strip())
