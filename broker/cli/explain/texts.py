"""A copied text as the answer it quotes: an exception, a line of a log, a message alone.

The SDK's exceptions quote the whole error as Python writes it (`Error code: 429 - {'error': {…}}`), or since 3.0 the
message alone; logs and gateways wrap either in text of their own. The status, the fields and the message are searched
one by one, so that a text that was cut while it was copied still yields what is left of it.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.core.answers.classification import BY_CODE, meaning_of
from headrace.broker.core.answers.error_body import ErrorFields, error_in
from headrace.broker.core.answers.meaning import Basis
from headrace.broker.core.answers.verdict import Answer
from headrace.schemas.bounded_json import json_or_none

_LITERAL_CHARS_MAX: Final = 65_536
_CALLED: Final = "Error code:"

_STATUS: Final = re.compile(
    r"\b(?:error code|status(?:[ _]?code)?|http(?:/[0-9.]+)?|error|code)\b\W{1,4}([1-5][0-9]{2})\b", re.IGNORECASE
)
_STATUS_FIRST: Final = re.compile(
    r"\W*(?:<html>.{0,40}<title>\s*)?([1-5][0-9]{2})\b(?! *(?:tokens|requests|images|m?s\b|%))", re.IGNORECASE
)
_FIELD: Final = r"""["']{name}["']\s*:\s*["']([\w.-]{{1,64}})["']"""
_WORDS: Final = re.compile(r"(?<![a-z_])[a-z]{1,40}(?:_[a-z]{1,40})+")
_BEFORE_THE_MESSAGE: Final = re.compile(r"^.{0,200}?Error code: [0-9]{3} - ")
_CLASSES: Final = {
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": 500,
}
_SILENCES: Final = (
    ("timeout", re.compile(r"\bAPITimeoutError\b|\btimed out\b|\bReadTimeout\b|\bETIMEDOUT\b", re.IGNORECASE)),
    (
        "connection",
        re.compile(
            r"\bAPIConnectionError\b|\bconnection (?:error|refused|reset)\b|\bcould not resolve host\b|"
            r"\bECONN(?:RESET|REFUSED)\b|\bstream disconnected\b|\bpeer closed connection\b|\bfailed to connect\b|"
            r"\bname resolution\b",
            re.IGNORECASE,
        ),
    ),
)


def answer_in(text: str) -> Answer:
    """Return the answer that a text quotes; nothing raises, and a text that quotes none becomes its message."""
    flat = " ".join(text.split())
    flat = flat[max(0, flat.rfind(_CALLED)) :]  # of a traceback the last error counts
    status = _status_in(flat) or _status_in(text)
    if (quoted := _quoted(text)) is not None:
        return Answer(status, {}, quoted.code, quoted.type, quoted.param, quoted.message)
    code, kind = _field("code", flat), _field("type", flat)
    if code is None and kind is None:
        code = next((word for word in _WORDS.findall(flat) if word in BY_CODE), None)
    if status is None and code is None and meaning_of(None, None, kind, flat)[1] is Basis.GUESS:
        code = next((silence for silence, pattern in _SILENCES if pattern.search(flat)), None)
    return Answer(status, {}, code, kind, _field("param", flat), _BEFORE_THE_MESSAGE.sub("", flat))


def _quoted(text: str) -> ErrorFields | None:
    """Return the error that an exception's text quotes, as JSON or as Python writes it."""
    start, end = text.find("{", max(0, text.rfind(_CALLED))), text.rfind("}") + 1
    if start < 0 or not 0 < end - start <= _LITERAL_CHARS_MAX:
        return None
    found = _parsed(text[start:end])
    return error_in(found) if isinstance(found, Mapping) else None


def _parsed(quoted: str) -> Any:
    if (parsed := json_or_none(quoted)) is not None:
        return parsed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in the foreign text
            return ast.literal_eval(quoted)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _status_in(text: str) -> int | None:
    if found := _STATUS_FIRST.match(text) or _STATUS.search(text):
        return int(found[1])
    return next((status for name, status in _CLASSES.items() if re.search(rf"\b{name}\b", text)), None)


def _field(name: str, text: str) -> str | None:
    """Return a field of an object that was cut off."""
    found = re.search(_FIELD.format(name=name), text)
    return found[1] if found else None
