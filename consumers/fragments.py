"""Partial reading of a JSON object with its end cut off: a dead letter keeps the first 64 KiB of a long value.

The object is read member by member until one is incomplete. If the cut lies inside a member that is an object, that
member's own first members are read the same way.
"""

import json
from typing import Any, Final

_BLANK: Final = " \t\r\n"
_DEPTH_MAX: Final = 3
_DECODER: Final = json.JSONDecoder()


def fragment(value: bytes | None) -> dict[str, Any]:
    """Return the complete members at the beginning of a JSON object; none if it is no object at all. Never raises."""
    return _members((value or b"").decode("utf-8-sig", errors="replace"), _DEPTH_MAX)


def _members(text: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = _past(text, 0, "{")
    while at is not None and depth:
        try:
            name, at = _DECODER.raw_decode(text, _past_blanks(text, at))
        except (ValueError, RecursionError):
            return found
        begin = _past(text, at, ":")
        if begin is None or not isinstance(name, str):
            return found
        begin = _past_blanks(text, begin)
        try:
            found[name], at = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError):
            if inner := _members(text[begin:], depth - 1):
                found[name] = inner
            return found
        at = _past(text, at, ",")
    return found


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _past(text: str, at: int, mark: str) -> int | None:
    """Return the position behind the mark; None if there is something else."""
    at = _past_blanks(text, at)
    return at + 1 if text[at : at + 1] == mark else None
