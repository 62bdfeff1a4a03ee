"""The body of an answer as JSON that an outcome can carry, or what stands against that. No I/O.

The text is whatever came with a 200. What is no JSON object of the endpoint's kind, or none that our readers could
read back, is no answer: the server is in trouble, and the request is tried again within `retry.attempts_max`. What is
only too large was paid for and is as large the next time: that ends its request (`too_large_for_topic`).

A text of brackets costs Python thirty times its length, and its parsing takes the loop meanwhile; so brackets are
counted before it is parsed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.bounded_json import NESTING_MAX, is_deeper
from schemas.cloudevents import json_bytes

CONTAINERS_MIN: Final = 2_000
"""So many lists and objects any answer may have."""
CHARS_PER_CONTAINER_MIN: Final = 12
"""Beyond those, an answer has one for so many characters at most. Log probabilities have one for twenty, vectors and
texts one for hundreds. At twelve, a megabyte of objects takes some 15 MB."""
_BETWEEN_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


PACKED_ABOVE_BYTES: Final = 16 * 1024
PACKED_ABOVE_BRACKETS: Final = 128
"""A body above either waits for its commit as JSON: `dispatcher.held_bytes_max` counts what it weighs there, and as
objects it may take fifteen times as much. The others are most answers, and take a few times as much at most."""


_HOLDS: Final = {"chat.completions": "choices", "responses": "output", "embeddings": "data"}
"""The list that each endpoint's answer holds, whatever else a server writes or leaves out.

A chat completion has a choice, or as many as `n` says, and embeddings have one vector for each input. The output of a
response may be empty: "the length and order of items in the output array is dependent on the model's response", and one
that was cut short while it reasoned has none.
"""
_ENDED: Final = frozenset({"completed", "incomplete"})


@dataclass(frozen=True, slots=True)
class AnswerBody:
    """A body that can be published, and the same as an outcome will have it."""

    value: dict[str, Any]
    json: bytes

    def kept(self) -> dict[str, Any] | bytes:
        """In which form it waits."""
        brackets = self.json.count(b"[") + self.json.count(b"{")
        return self.json if len(self.json) > PACKED_ABOVE_BYTES or brackets > PACKED_ABOVE_BRACKETS else self.value


def published(text: str | None) -> AnswerBody | None:
    """An answer as JSON that an outcome can carry; None if it is no JSON object, or none within bounds.

    Python reads what JSON has no word for. NaN is none; half a surrogate pair becomes `?`, since the rest is paid for.
    """
    if text is None or not _is_sparse(text):
        return None
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
        if not isinstance(parsed, dict) or (_brackets(text) > NESTING_MAX and is_deeper(parsed, NESTING_MAX)):
            return None
        try:
            return AnswerBody(parsed, json_bytes(parsed))
        except UnicodeEncodeError:
            whole = json.loads(json.dumps(parsed, ensure_ascii=False).encode(errors="replace"))
            return AnswerBody(whole, json_bytes(whole))
    except (ValueError, RecursionError):
        return None


def is_of_the_api(endpoint: str, response: Mapping[str, object]) -> bool:
    """Whether a JSON object is what this endpoint answers with, with something in it; another server's may be any.

    A response without output is one only if it says that it is a response that has ended.
    """
    held = response.get(_HOLDS[endpoint])
    if not isinstance(held, list):
        return False
    if not held and endpoint == "responses":
        return response.get("object") == "response" and response.get("status") in _ENDED
    return bool(held) and all(isinstance(each, dict) for each in held)


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _is_sparse(text: str) -> bool:
    """Whether it has no more lists and objects than an answer of its length; brackets in texts are none."""
    allowed = max(CONTAINERS_MIN, len(text) // CHARS_PER_CONTAINER_MIN)
    return _brackets(text) <= allowed or _brackets(_BETWEEN_BRACKETS.sub("", text)) <= allowed


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
