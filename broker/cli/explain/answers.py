"""A piece of an input as the answers in it: status, headers, and the error's own text.

A recognised answer goes to the same judge as a real one; anything else stays a text, which the judge reads as it reads
an error in a stream. Nothing raises.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.broker.cli.explain.texts import answer_in
from headrace.broker.core.answers.error_body import WORDLESS, ErrorFields, answer_of, error_in
from headrace.broker.core.answers.verdict import Answer
from headrace.schemas.bounded_json import json_or_none

_STATUS_KEYS: Final = ("status", "status_code", "statusCode", "http_status")
_SIGNS_OF_AN_ANSWER: Final = frozenset({"choices", "output", "data", "usage", "response"})

_HEAD: Final = re.compile(r"^(?:< )?HTTP/[0-9.]{1,4} ([0-9]{3})\b.*$", re.MULTILINE)
_EVENT: Final = re.compile(r"\s*(?:event|data|id|retry):")
_CURLS_OWN: Final = ("> ", "* ", "{ ", "} ")


def answers_in(text: str) -> Iterator[Answer]:
    """Yield the answer in a piece; a JSON array of objects holds several."""
    parsed = json_or_none(text) if text.startswith(("{", "[", '"')) else None
    if isinstance(parsed, dict):
        yield _of_object(parsed)
    elif isinstance(parsed, list) and parsed and all(isinstance(each, dict) for each in parsed):
        yield from map(_of_object, parsed)
    elif isinstance(parsed, str):
        yield answer_in(parsed)
    elif _HEAD.match(text):
        yield _of_exchange(text)
    elif _EVENT.match(text):
        yield _answer(200, {}, text)
    else:
        yield answer_in(text)


def _of_object(told: Mapping[str, Any]) -> Answer:
    """Read an answer from `{"status", "headers", "body"}`, an error alone, one of Headrace's outcomes, or a body."""
    headers, status = _headers(told.get("headers")), _status(told)
    if "body" in told:
        return _answer(status, headers, told["body"])
    body = {key: value for key, value in told.items() if key != "headers"}
    if error_in(body) is None and isinstance(body.get("code"), str):
        body = {"error": body}  # a line of a log: the error's fields without a message
    error = body.get("error")
    if status is None and isinstance(error, dict):
        status = _status(error)
    elif status is None and error_in(body) is None and _SIGNS_OF_AN_ANSWER & body.keys():
        status = 200
    return _answer(status, headers, body)


def _of_exchange(text: str) -> Answer:
    """Read the output of `curl -i` or `curl -v`; of several heads the last one counts."""
    lines = [line.removeprefix("< ") for line in text.splitlines() if not line.startswith(_CURLS_OWN)]
    text = "\n".join("" if line == "<" else line for line in lines)
    last = list(_HEAD.finditer(text))[-1]
    head, _, body = text[last.end() :].partition("\n\n")
    named = (line.partition(":") for line in head.splitlines())
    headers = {name.strip(): value.strip() for name, colon, value in named if colon}
    return _answer(int(last[1]), headers, body.strip())


def _answer(status: int | None, headers: Mapping[str, str], body: object) -> Answer:
    if isinstance(body, str) and _EVENT.match(body):
        error = _error_in_events(body) or ErrorFields()
        return Answer(status, headers, error.code, error.type, error.param, error.message)
    answer = answer_of(status, headers, body)
    if status is None and not (answer.error_code or answer.error_type):
        words = answer.message or _texts(body)  # a line of a log, say: its text may quote an exception
        return answer_in(words) if words else answer
    return answer


def _texts(body: object) -> str:
    values = body.values() if isinstance(body, dict) else ()
    return "\n".join(value for value in values if isinstance(value, str))


def _error_in_events(text: str) -> ErrorFields | None:
    """Return the first error among a stream's events; `response.failed` repeats it."""
    for event in re.split(r"\n\s*\n", text):
        data = "\n".join(line[5:].strip() for line in event.splitlines() if line.startswith("data:"))
        if (found := error_in(data)) is not None:
            return found
        if re.search(r"^event:\s*error\s*$", event, re.MULTILINE):
            return ErrorFields(message=data or WORDLESS)
    return None


def _status(told: Mapping[str, Any]) -> int | None:
    for value in (told.get(key) for key in _STATUS_KEYS):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and re.fullmatch(r"[1-5][0-9]{2}", value):
            return int(value)
    return None


def _headers(given: object) -> dict[str, str]:
    """Return the headers by name, in whatever form a tool printed them: an object, one with lists, or pairs."""
    pairs = given.items() if isinstance(given, dict) else given if isinstance(given, list) else ()
    headers = {}
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str):
            value = pair[1][0] if isinstance(pair[1], list) and pair[1] else pair[1]
            headers[pair[0]] = value if isinstance(value, str) else json.dumps(value, default=str)
    return headers
