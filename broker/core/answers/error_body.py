"""Location of the error in a server's output: OpenAI's envelope, and those of servers with its protocol.

OpenAI wraps an error in `{"error": {…}}`, as an HTTP body and as an event of a chat stream. The Responses API has
events of its own, `error` and `response.failed`, and a response whose status is `failed`; all arrive with HTTP 200.
vLLM sends the fields bare, Google a list, FastAPI a `detail`, Scaleway the text beside the error, gateways a whole
envelope as text inside their own (facts/openai.md §4). What an error has beside its four usual fields are its details:
Google's quotas and waits, OpenRouter's headers of the server behind it.

Whatever the body is, nothing here raises, and all results are texts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from headrace.broker.core.answers.answer import Details
from headrace.broker.core.answers.verdict import Answer
from headrace.broker.core.endpoints import ENDPOINT_TABLE

NESTED_MAX: Final = 4
"""The number of nested envelopes that are opened."""
WORDLESS: Final = "?"
"""The message of an error that has neither code, type nor message."""
DETAILS_MAX: Final = 48
"""The number of details that are read."""
_DETAIL_CHARS_MAX: Final = 500
_DETAIL_DEPTH_MAX: Final = 6
_FIELDS: Final = frozenset({"code", "type", "status", "statusCode", "param", "message", "innererror"})
_TEXT_CHARS_MAX: Final = 65_536
_ANSWERS: Final = frozenset({"usage", *(facts.answer_field for facts in ENDPOINT_TABLE.values())})
"""Fields that mark a body as an answer."""


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """The fields of an error; None for each that it does not have.

    `details` are further fields, of any depth; two errors with the same words are equal whatever their details.
    """

    code: str | None = None
    type: str | None = None
    param: str | None = None
    message: str = ""
    details: Details = field(default=(), compare=False)


def answer_of(status: int | None, headers: Mapping[str, str], body: object) -> Answer:
    """Return the `Answer` for a status and a body: parsed JSON, or the text of one that is not JSON.

    With a status of 2xx the answer is a success unless the body holds an error; an error without fields is still one.
    """
    error, is_well = error_in(body), status is not None and 200 <= status < 300
    if error is None:
        error = ErrorFields(message=body[:_TEXT_CHARS_MAX] if isinstance(body, str) and not is_well else "")
    elif error == ErrorFields():
        error = ErrorFields(message=WORDLESS)
    return Answer(status, headers, error.code, error.type, error.param, error.message, details=error.details)


def error_in(body: object) -> ErrorFields | None:
    """Return the innermost error that a body holds, or None if it holds none."""
    return _error_in(body, NESTED_MAX)


def _error_in(body: object, deeper: int) -> ErrorFields | None:
    if isinstance(body, str):
        body = _parsed(body)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict) or deeper == 0:
        return None
    if body.get("error"):
        return _of_error(body["error"], body, deeper - 1)
    if body.get("object") == "response" and body.get("status") == "failed":
        return ErrorFields(code="server_error")  # no reason was stated
    if isinstance(body.get("response"), dict):  # the event `response.failed`
        return _error_in(body["response"], deeper - 1)
    return _of_bare(body, deeper - 1)


def _of_error(error: Any, body: Mapping[str, Any], deeper: int) -> ErrorFields:
    """Read the value of `error`: usually the fields; some servers put a text there, and the rest beside it."""
    if isinstance(error, dict):
        return _fields(error, deeper)
    beside = body.get("message")
    nested = _error_in(error, deeper)
    if nested is not None:
        return nested
    texts = (_text(error), beside if isinstance(beside, str) else None)
    return ErrorFields(message=": ".join(text for text in texts if text))


def _of_bare(body: Mapping[str, Any], deeper: int) -> ErrorFields | None:
    """Read an error without an envelope.

    That is vLLM's, an event `error` with its fields beside its type, or FastAPI's `detail`.
    """
    if any(body.get(name) is not None for name in _ANSWERS):
        return None
    if isinstance(body.get("message"), str) or body.get("object") == "error" or body.get("type") == "error":
        return _fields({key: value for key, value in body.items() if (key, value) != ("type", "error")}, deeper)
    if isinstance(body.get("detail"), str):
        return ErrorFields(message=body["detail"])
    return _error_in(body["detail"], deeper) if isinstance(body.get("detail"), dict) else None


def _fields(error: Mapping[str, Any], deeper: int) -> ErrorFields:
    message = error.get("message")
    nested = _error_in(message, deeper)
    if nested is not None:
        return nested
    inner = error.get("innererror")
    code = error.get("code")
    if isinstance(inner, dict) and (code is None or str(code).isdigit()):
        code = inner.get("code") or code  # Azure's content filter, where the outer code only repeats the status
    kind = error.get("type") or error.get("status")  # Google's `RESOURCE_EXHAUSTED`
    return ErrorFields(
        code=_text(code),
        type=None if isinstance(kind, int) else _text(kind),
        param=_text(error.get("param")),
        message=message if isinstance(message, str) else "" if message is None else _text(message) or "",
        details=_details(error),
    )


def _details(error: Mapping[str, Any]) -> Details:
    """Return the first further fields of an error that are texts or numbers, outer ones before inner ones."""
    found: list[tuple[str, str]] = []
    level: list[tuple[str, object]] = [(name, value) for name, value in error.items() if name not in _FIELDS]
    for _ in range(_DETAIL_DEPTH_MAX):
        inner: list[tuple[str, object]] = []
        for name, value in level[:DETAILS_MAX]:
            if isinstance(value, Mapping):
                inner += [(str(key), each) for key, each in islice(value.items(), DETAILS_MAX)]
            elif isinstance(value, list):
                inner += [(name, each) for each in value[:DETAILS_MAX]]
            elif isinstance(value, str | int) and not isinstance(value, bool):
                text = value[:_DETAIL_CHARS_MAX] if isinstance(value, str) else _text(value) or ""
                found.append((str(name)[:_DETAIL_CHARS_MAX].lower(), text[:_DETAIL_CHARS_MAX]))
        level = inner
    return tuple(found[:DETAILS_MAX])


def _parsed(text: str) -> object | None:
    """Return the JSON that a text is as a whole, or None: most texts are not, and the first character shows it."""
    text = text.strip()
    if not text.startswith(("{", "[")) or len(text) > _TEXT_CHARS_MAX:
        return None
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed


def _text(value: object) -> str | None:
    """Return a field as text. One that is not a text is returned as JSON, which is what its reader would see."""
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value)[:_TEXT_CHARS_MAX]
    except (ValueError, TypeError, RecursionError):
        return "?"
