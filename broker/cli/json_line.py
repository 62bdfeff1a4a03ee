"""Parser for one line that must be a JSON object; its errors say what is wrong, and at which column.

The parser's own messages ("Expecting value") do not say what to do; these do. Columns count characters from 1.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from headrace.broker.errors import InvalidRequest
from headrace.schemas.complaint import kind_of
from headrace.schemas.nearest import shown

_MISTAKES: Final = (
    ("Expecting property name", "a key in double quotes is missing here"),
    ("Expecting ':'", "the key before this has no colon"),
    ("Expecting ','", "a comma or a closing bracket is missing here"),
    ("Expecting value", "a value is missing here"),
    ("Unterminated string", "the text that begins here has no closing quote"),
    (
        "Invalid control character",
        "there is a tab or another control character here: write it as an escape, such as \\t",
    ),
    ("Invalid \\", "JSON has no such escape: write \\\\ for a backslash"),
    ("Extra data", "something follows the object here: one line holds one object"),
    ("Illegal trailing comma", "nothing follows the comma here"),
)
"""Messages of Python's parser, each with its explanation."""
_PYTHON_WORDS: Final = ("None", "True", "False", "'")


class BrokenLine(InvalidRequest):
    """A line that is not a JSON object; `column` is where the mistake is, None if no column can be named."""

    def __init__(self, sentence: str, column: int | None = None) -> None:
        super().__init__(sentence)
        self.column = column


def object_in(line: bytes) -> dict[str, Any]:
    """Return the object that a line holds; a byte order mark before it is skipped.

    Raises:
        BrokenLine: The line holds no object.
    """
    text = _text(line)
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as reason:
        raise BrokenLine(f"It is not JSON: {_meaning(reason, text)}.", reason.pos + 1) from None
    except BrokenLine:
        raise
    except RecursionError:
        raise BrokenLine("It is nested too deeply: flatten it.") from None
    except ValueError:  # more digits than Python reads
        raise BrokenLine("It holds a number with too many digits: shorten it.") from None
    if not isinstance(found, dict):
        raise BrokenLine(f"It is {kind_of(found)}, not a JSON object.")
    return found


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as reason:
        column = len(line[: reason.start].decode("utf-8-sig")) + 1
        raise BrokenLine(
            "It is not UTF-8 but perhaps Latin-1: `iconv -f WINDOWS-1252 -t UTF-8` converts a file.", column
        ) from None


def _meaning(reason: json.JSONDecodeError, text: str) -> str:
    rest = text[reason.pos :].strip()
    if not rest:
        return "the line ends inside the object, and one line holds one whole object"
    if rest.startswith(_PYTHON_WORDS) and reason.msg.startswith(("Expecting property", "Expecting value")):
        return 'it looks like Python: JSON has "text" in double quotes, null, true and false'
    return next((said for begin, said in _MISTAKES if reason.msg.startswith(begin)), "it cannot be read from here on")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Build the object; refuse a duplicate key, of which some readers keep the first value and some the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BrokenLine(f"The key {shown(key)} occurs twice in one object: leave one of them out.")
        found[key] = value
    return found


def _no_constant(word: str) -> Any:
    raise BrokenLine(f"It is not JSON: JSON has no {word}, write null.")
