"""JSON of untrusted origin: parsed within bounds, or refused with a sentence that repeats nothing of it.

`json.loads` accepts what OpenAI or Kafka would not: NaN and infinities, lone surrogates, any depth, any number of
values. The last is a matter of memory: `[]` takes 3 bytes of a record and 64 of memory, `{"1":{}}` 9 and 250, so 0.9 MB
may decode to 20 MB and more (measured with tracemalloc). So values are counted before any of them is created.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

NESTING_MAX: Final = 190
"""Levels of a request or an answer: pydantic reads 200, and an outcome or a RetryableFailure adds some around them."""
VALUES_MAX: Final = 200_000
"""Default limit of values in one text: an embeddings request of 900 kB given as token numbers has 150,000. As numbers
they take 36 bytes each, 7 MB in all."""
VALUES_A_CONTAINER: Final = 4
"""Number of values that a list or an object counts for: the 40,000 objects that a list of them may hold take 11 MB."""

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A JSON string, or an unterminated one. Possessive, so that no text makes it backtrack."""
_STRINGS: Final = re.compile(rb'(?:[^"]*+' + _STRING.pattern + rb"){1,1000}+", re.DOTALL)
"""Up to 1,000 strings with the text before each: a piece small enough to be copied without its strings."""


class Unreadable(ValueError):  # noqa: N818  # a sentence about bytes, not a fault of ours
    """Value that cannot be read. The message is one sentence for people, without any of the content."""


def parse(value: bytes | None, *, bytes_max: int, nesting_max: int, values_max: int = VALUES_MAX) -> Any:
    """Parse the bytes as JSON.

    Raises:
        Unreadable: Absent, longer than `bytes_max`, not UTF-8, not JSON, deeper than `nesting_max`, of more than
            `values_max` values, or holding a value that JSON or Python cannot represent.
    """
    if value is None:
        raise Unreadable("The record has no value.")
    if len(value) > bytes_max:
        raise Unreadable(f"The value has {len(value)} bytes; {bytes_max} are allowed.")
    if has_more_values(value, values_max):
        raise Unreadable(
            f"The value holds more than {values_max} values, a list or an object counted as {VALUES_A_CONTAINER}."
        )
    parsed = _loaded(value, nesting_max)
    if value.count(b"{") + value.count(b"[") > nesting_max and is_deeper(parsed, nesting_max):
        raise Unreadable(f"The value is nested deeper than {nesting_max} levels.")
    if b"\\u" in value and _has_lone_surrogate(parsed):
        raise Unreadable("The value holds half of a surrogate pair, which is no text.")
    return parsed


def _loaded(value: bytes, nesting_max: int) -> Any:
    try:
        text = value.decode("utf-8-sig")
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except Unreadable:
        raise
    except UnicodeDecodeError:
        raise Unreadable("The value is not UTF-8.") from None
    except RecursionError:
        raise Unreadable(f"The value is nested deeper than {nesting_max} levels.") from None
    except json.JSONDecodeError:
        raise Unreadable("The value is not JSON.") from None
    except ValueError:  # an integer of more digits than Python reads or prints
        raise Unreadable("The value holds a number that is too large.") from None


def has_more_values(value: bytes, values_max: int) -> bool:
    """Whether JSON text holds more than `values_max` values, counted in its bytes and never too low.

    Each value but the first of its container follows a comma. Commas inside strings are left out only where all commas
    and brackets together are too many: counting them takes 1 ms for 900 kB, leaving out the strings up to 120 ms.
    """
    if _values(value) < values_max:
        return False
    count, place = 1, 0
    while (some := _STRINGS.match(value, place)) is not None:
        count += _values(_STRING.sub(b"", some[0]))
        place = some.end()
        if count > values_max:
            return True
    return count + _values(value[place:]) > values_max


def _values(text: bytes) -> int:
    """Count commas and containers."""
    return text.count(b",") + (text.count(b"[") + text.count(b"{")) * VALUES_A_CONTAINER


def held_bytes(parsed: Any) -> int:
    """Return the least memory that a decoded value takes: an object that appears twice is counted twice."""
    weight, waiting = 0, [parsed]
    while waiting:
        one = waiting.pop()
        weight += sys.getsizeof(one)
        if isinstance(one, dict):
            weight += sum(map(sys.getsizeof, one))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return weight


def is_deeper(parsed: Any, nesting_max: int) -> bool:
    """Whether containers are nested more than `nesting_max` levels deep. Walks level by level."""
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


def json_or_none(text: str | bytes) -> Any:
    """Return the JSON that a text is as a whole, or None if it is none or is nested too deeply; without a bound."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
