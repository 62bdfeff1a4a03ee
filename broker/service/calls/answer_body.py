"""Body of an answer as JSON that an outcome can carry, or the reason why it cannot. No I/O.

The text is whatever came with a 200. Text that is not a JSON object of the endpoint's kind, or that our readers could
not read back, is not an answer: the server is in trouble, and the request is tried again within `retry.attempts_max`.
An answer that is only too large was paid for and would be as large the next time: it ends its request
(`too_large_for_topic`).

A text of brackets costs Python thirty times its length, and parsing it blocks the loop meanwhile; so brackets are
counted before it is parsed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Shape
from headrace.broker.service.calls.finish_reason import ENDED
from headrace.schemas.bounded_json import NESTING_MAX, is_deeper
from headrace.schemas.cloudevents import json_bytes

CONTAINERS_MIN: Final = 2_000
"""Number of lists and objects that any answer may have."""
CHARS_PER_CONTAINER_MIN: Final = 12
"""Beyond those, an answer may have at most one per this many characters. Log probabilities have one per twenty, vectors
and texts one per hundreds. At twelve, a megabyte of objects takes some 15 MB."""
_BETWEEN_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


PACKED_ABOVE_BYTES: Final = 16 * 1024
PACKED_ABOVE_BRACKETS: Final = 128
"""A body above either bound waits for its commit as JSON: `dispatcher.held_bytes_max` counts that weight, and as
objects it may take fifteen times as much. Smaller bodies are most answers, and take a few times as much at most."""


@dataclass(frozen=True, slots=True)
class AnswerBody:
    """A publishable body, parsed and as the JSON bytes of its outcome."""

    value: dict[str, Any]
    json: bytes

    def kept(self) -> dict[str, Any] | bytes:
        """Return the form in which the body waits for its commit."""
        brackets = self.json.count(b"[") + self.json.count(b"{")
        return self.json if len(self.json) > PACKED_ABOVE_BYTES or brackets > PACKED_ABOVE_BRACKETS else self.value


def published(text: str | None) -> AnswerBody | None:
    """Return an answer as JSON that an outcome can carry; None if it is not a JSON object, or not within bounds.

    Python reads more than JSON can express. NaN makes a body unpublishable; half a surrogate pair becomes `?`, since
    the rest is paid for.
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
    """Whether a JSON object is a non-empty answer of this endpoint; another server may send any object.

    A chat completion has a choice, or as many as `n` says, and embeddings have one vector for each input. The output of
    a response may be empty: "the length and order of items in the output array is dependent on the model's response",
    and one that was cut short while it reasoned has none. It is an answer only if it says that it is a response that
    has ended.
    """
    facts = ENDPOINT_TABLE[endpoint]
    held = response.get(facts.answer_field)
    if not isinstance(held, list):
        return False
    if not held and facts.shape is Shape.RESPONSE:
        return response.get("object") == "response" and response.get("status") in ENDED
    return bool(held) and all(isinstance(each, dict) for each in held)


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _is_sparse(text: str) -> bool:
    """Whether the text has no more lists and objects than an answer of its length; brackets in strings do not count."""
    allowed = max(CONTAINERS_MIN, len(text) // CHARS_PER_CONTAINER_MIN)
    return _brackets(text) <= allowed or _brackets(_BETWEEN_BRACKETS.sub("", text)) <= allowed


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
