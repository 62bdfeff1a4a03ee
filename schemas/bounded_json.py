"""JSON from strangers: read within bounds, or refused with a sentence that repeats nothing of it.

What `json.loads` lets pass and OpenAI or Kafka would not: NaN and infinities, lone surrogates, any depth.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any


class Unreadable(ValueError):  # noqa: N818  # a sentence about bytes, not a fault of ours
    """One sentence for a person, without any of the content."""


def parse(value: bytes | None, *, bytes_max: int, nesting_max: int) -> Any:
    """What the bytes say as JSON.

    Raises:
        Unreadable: Absent, longer than `bytes_max`, not UTF-8, not JSON, deeper than `nesting_max`, or holding what
            JSON has no word for.
    """
    if value is None:
        raise Unreadable("The record has no value.")
    if len(value) > bytes_max:
        raise Unreadable(f"The value has {len(value)} bytes; {bytes_max} are allowed.")
    try:
        text = value.decode("utf-8-sig")
        parsed = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except Unreadable:
        raise
    except UnicodeDecodeError:
        raise Unreadable("The value is not UTF-8.") from None
    except RecursionError:
        raise Unreadable(f"The value is nested deeper than {nesting_max} levels.") from None
    except ValueError:
        raise Unreadable("The value is not JSON.") from None
    if value.count(b"{") + value.count(b"[") > nesting_max and is_deeper(parsed, nesting_max):
        raise Unreadable(f"The value is nested deeper than {nesting_max} levels.")
    if b"\\u" in value and _has_lone_surrogate(parsed):
        raise Unreadable("The value holds half of a surrogate pair, which is no text.")
    return parsed


def is_deeper(parsed: Any, nesting_max: int) -> bool:
    """True if containers stand in each other more than `nesting_max` levels deep. Walks level by level."""
    level = [parsed]
    for _ in range(nesting_max):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(parent: Any) -> Sequence[Any]:
    if isinstance(parent, Mapping):
        return [child for child in parent.values() if isinstance(child, dict | list)]
    return [child for child in parent if isinstance(child, dict | list)] if isinstance(parent, list) else ()


def _no_constant(_: str) -> Any:
    raise Unreadable("The value holds NaN or an infinity, which JSON does not have.")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Unreadable("The value holds a number that is too large.")
    return number


def _has_lone_surrogate(parsed: Any) -> bool:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
