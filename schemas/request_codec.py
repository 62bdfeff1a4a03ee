"""Requests as bytes: untrusted input. Part of `headrace.schemas.codec`.

Decoding never raises, whatever the bytes: an unreadable record becomes Undecodable, with a sentence that repeats
nothing of the prompt. Accepted are CloudEvents in binary mode, in structured mode, and bare JSON.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from headrace.schemas import headers as names
from headrace.schemas.bounded_json import VALUES_MAX, Unreadable, parse
from headrace.schemas.cloudevents import event_headers, json_bytes
from headrace.schemas.complaint import sentence_of
from headrace.schemas.ids import is_valid_id
from headrace.schemas.instants import from_wire, to_wire
from headrace.schemas.record import Headers, Record, present
from headrace.schemas.request import TOPIC_NAME, GenerationRequest

RUN_MAX = 65_535
ATTEMPT_READ_MAX = 65_535

HEADERS_MAX = 1_024
HEADERS_BYTES_MAX = 128 * 1024
"""Limit of names, values and the key together, for a first submission. Headers below it are carried on unread: they fit
a dead letter with the first 64 KiB of the value, and with a small request a RetryableFailure, where base64 is a third
longer. The largest header in common use, W3C baggage, is bounded at 8 KiB."""
RETURNED_FACTOR = 2
"""A retry or a replay may exceed the limits by this factor: our own headers are added, and structured mode's become
headers."""
ORDERING_KEY_BYTES_MAX = 64 * 1024
"""In structured mode it comes with the value, and leaves as a header."""
TRACEPARENT_MAX = 128
"""Characters: one of version 00 has 55, and W3C lets later versions append. A longer one is dropped, as malformed ones
are: it is repeated in the outcome, and the outcome's size must be known beforehand."""

TRACESTATE_MAX = 512
"""Characters: as many as W3C asks each system to carry on. A longer one is dropped, for the same reason."""

_TRACEPARENT = re.compile(
    rf"(?=.{{,{TRACEPARENT_MAX}}}\Z)[0-9a-f]{{2}}-[0-9a-f]{{32}}-[0-9a-f]{{16}}-[0-9a-f]{{2}}(-[!-~]*)?"
)
_TRACESTATE = re.compile(rf"[ -~]{{1,{TRACESTATE_MAX}}}")


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Limits that a record must meet to be read as a request."""

    request_bytes_max: int = 900_000
    nesting_max: int = 64
    values_max: int = VALUES_MAX

    def parse(self, value: bytes | None) -> Any:
        """See `headrace.schemas.bounded_json.parse`. Raises Unreadable."""
        return parse(value, bytes_max=self.request_bytes_max, nesting_max=self.nesting_max, values_max=self.values_max)


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A request and the information in its headers.

    Attributes:
        run: 0, or the count of replays.
        attempt: 0 for a first submission; on a record of the retrier the number of its next attempt, from 1.
        failures: Attempts so far that count towards the maximum; throttled ones do not.
        failure_position: Position of the RetryableFailure it comes from, if it comes from the retrier.
        deadline_override: A replay's deadline; takes precedence over the body's.
    """

    request: GenerationRequest
    run: int = 0
    attempt: int = 0
    failures: int = 0
    failure_position: str | None = None
    deadline_override: datetime | None = None
    ordering_key: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def request_id(self) -> str:
        """Id of the request."""
        return self.request.id

    @property
    def calls_before(self) -> int:
        """Number of HTTP calls made for it before this record was written."""
        return max(0, self.attempt - 1)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that is not a request. `request_id` and the other fields are set as far as they could be read."""

    message: str
    request_id: str | None = None
    run: int = 0
    tenant: str | None = None
    endpoint: str | None = None
    model: str | None = None
    reply_to: str | None = None


_DEFAULT_LIMITS = InputLimits()


def decode_request(
    value: bytes | None, headers: Headers, limits: InputLimits = _DEFAULT_LIMITS, *, key: bytes | None = None
) -> DecodedRequest | Undecodable:
    """Decode the request in a lane's record. Never raises.

    The id is the body's; a body without one takes `ce_subject`, or else `ce_id`. Of a repeated header the last one
    counts.
    """
    given = dict(present(headers))
    run = _run(given)
    data: Any = None
    try:
        data = limits.parse(value)
        _check_headers(headers, given, key)
        if _text(given, names.CONTENT_TYPE).lower().startswith(names.CLOUDEVENTS_JSON):
            data, given = _unwrapped(data, given, limits)
        _check_version(_text(given, names.CE_TYPE))
        return _decoded(_identified(data, given, run), given, run)
    except Unreadable as reason:
        return _undecodable(str(reason), data, given, run)
    except ValidationError as reason:
        return _undecodable(sentence_of(reason), data, given, run)


def unread_request(headers: Headers, message: str) -> Undecodable:
    """Read the headers alone of a record with a value that is not to be read. Never raises."""
    given = dict(present(headers))
    return _undecodable(message, None, given, _run(given))


def attempt_of(headers: Headers) -> int:
    """Return the attempt that the headers name; 0 if they name none. Never raises."""
    try:
        return _number(dict(headers), names.ATTEMPT, ATTEMPT_READ_MAX)
    except Unreadable:
        return 0


def binary_headers(decoded: DecodedRequest, headers: Headers) -> tuple[tuple[str, bytes], ...]:
    """Return the binary-mode headers of a request with a value of bare JSON from now on, even if it was structured."""
    if not _text(dict(headers), names.CONTENT_TYPE).lower().startswith(names.CLOUDEVENTS_JSON):
        return tuple(headers)
    kept = {name: value for name, value in headers if name != names.CONTENT_TYPE}
    attributes = ((names.CE_PARTITIONKEY, decoded.ordering_key), (names.TRACEPARENT, decoded.traceparent))
    state = (names.TRACESTATE, decoded.tracestate)
    stated = {name: text.encode() for name, text in (*attributes, state) if text is not None}
    return (*(kept | stated).items(), (names.CONTENT_TYPE, names.JSON))


def _decoded(data: Mapping[str, Any], given: Mapping[str, bytes], run: int) -> DecodedRequest:
    traceparent, tracestate = _text(given, names.TRACEPARENT), _text(given, names.TRACESTATE)
    is_traced = _TRACEPARENT.fullmatch(traceparent) is not None
    ordering_key = _text(given, names.CE_PARTITIONKEY)
    if len(ordering_key.encode()) > ORDERING_KEY_BYTES_MAX:
        raise Unreadable(f"The ordering key has more than {ORDERING_KEY_BYTES_MAX} bytes.")
    return DecodedRequest(
        request=GenerationRequest.model_validate(data),
        run=run,
        attempt=_number(given, names.ATTEMPT, ATTEMPT_READ_MAX),
        failures=_number(given, names.FAILURES, ATTEMPT_READ_MAX),
        failure_position=_text(given, names.FAILURE) or None,
        deadline_override=_deadline(given),
        ordering_key=ordering_key or None,
        traceparent=traceparent if is_traced else None,
        tracestate=tracestate if is_traced and _TRACESTATE.fullmatch(tracestate) else None,
    )


def _run(given: Mapping[str, bytes]) -> int:
    """Return the run that the headers name; 0 if they name none."""
    try:
        return _number(given, names.RUN, RUN_MAX)
    except Unreadable:
        return 0


def _check_headers(headers: Headers, given: Mapping[str, bytes], key: bytes | None) -> None:
    """Refuse headers that could not be carried on, whatever the value says, and an invalid run."""
    returns = names.ATTEMPT in given or names.RUN in given
    factor = RETURNED_FACTOR if returns else 1
    if len(headers) > HEADERS_MAX * factor:
        raise Unreadable(f"The record has {len(headers)} headers; {HEADERS_MAX} are allowed.")
    weight = len(key or b"") + sum(len(name.encode()) + len(text or b"") for name, text in headers)
    if weight > HEADERS_BYTES_MAX * factor:
        raise Unreadable(f"The key and the headers have {weight} bytes; {HEADERS_BYTES_MAX} are allowed.")
    _number(given, names.RUN, RUN_MAX)


def _check_version(event_type: str) -> None:
    """Refuse a later version of our own type, which this release cannot read; foreign types are not our concern."""
    if event_type != names.TYPE_REQUESTED and event_type.startswith("headrace."):
        raise Unreadable(f"The event's type is not {names.TYPE_REQUESTED}, the only one this release reads on a lane.")


def _identified(data: Any, given: Mapping[str, bytes], run: int) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise Unreadable("The value is not a JSON object.")
    if data.get("id") is None and (named := _id_of_headers(given, run)) is not None:
        return {**data, "id": named}
    return data


def _unwrapped(data: Any, given: Mapping[str, bytes], limits: InputLimits) -> tuple[Any, dict[str, bytes]]:
    """Unwrap structured mode: the event's data, and its attributes as the headers that binary mode would have."""
    if not isinstance(data, dict):
        raise Unreadable("The value is not a JSON object.")
    attributes = {
        "ce_" + name: text.encode()
        for name, text in data.items()
        if isinstance(text, str) and not name.startswith("data")
    }
    if isinstance(traceparent := data.get("traceparent"), str):
        attributes[names.TRACEPARENT] = traceparent.encode()
    if isinstance(tracestate := data.get("tracestate"), str):
        attributes[names.TRACESTATE] = tracestate.encode()
    content = data.get("data")
    if content is None and isinstance(packed := data.get("data_base64"), str):
        try:
            unpacked = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError):
            raise Unreadable("The event's data_base64 is not base64.") from None
        content = limits.parse(unpacked)
    return content, {**given, **attributes}


def _undecodable(sentence: str, data: Any, given: Mapping[str, bytes], run: int) -> Undecodable:
    fields: dict[str, Any] = data if isinstance(data, dict) else {}
    body = fields.get("body")
    named = fields.get("id")
    if named is None:
        named = _id_of_headers(given, run)
    return Undecodable(
        sentence,
        request_id=named if isinstance(named, str) and is_valid_id(named) else None,
        run=run,
        tenant=_short(fields.get("tenant")),
        endpoint=_short(fields.get("endpoint")),
        model=_short(body.get("model")) if isinstance(body, dict) else None,
        reply_to=_topic(fields.get("reply_to")),
    )


def _id_of_headers(given: Mapping[str, bytes], run: int) -> str | None:
    subject = _text(given, names.CE_SUBJECT)
    if is_valid_id(subject):
        return subject
    event = _text(given, names.CE_ID)
    if run:
        event = event.removesuffix(f"#{run}")
    return event if is_valid_id(event) else None


def _short(candidate: Any) -> str | None:
    return candidate if isinstance(candidate, str) and len(candidate) <= 256 else None


def _topic(candidate: Any) -> str | None:
    return candidate if isinstance(candidate, str) and re.fullmatch(TOPIC_NAME, candidate) else None


def _text(given: Mapping[str, bytes], name: str) -> str:
    """Return a header's text; empty if it is absent or no text."""
    try:
        return (given.get(name) or b"").decode()
    except UnicodeDecodeError:
        return ""


def _number(given: Mapping[str, bytes], name: str, number_max: int) -> int:
    raw = given.get(name)
    if raw is None:
        return 0
    if re.fullmatch(rb"[0-9]{1,5}", raw) is None or int(raw) > number_max:
        raise Unreadable(f"The header {name} is not a whole number from 0 to {number_max}.")
    return int(raw)


def _deadline(given: Mapping[str, bytes]) -> datetime | None:
    if names.DEADLINE not in given:
        return None
    try:
        return from_wire(_text(given, names.DEADLINE))
    except ValueError:
        raise Unreadable(f"The header {names.DEADLINE} is not a time like 2026-12-01T09:00:00Z.") from None


def validated_request(fields: Mapping[str, Any]) -> GenerationRequest:
    """Validate a request of these fields.

    Raises:
        Unreadable: One sentence that says what is wrong with them.
    """
    try:
        return GenerationRequest.model_validate(fields)
    except ValidationError as reason:
        raise Unreadable(sentence_of(reason)) from None


def encode_request(
    request: GenerationRequest,
    *,
    source: str,
    time: datetime,
    ordering_key: str | None = None,
    traceparent: str | None = None,
) -> Record:
    """Encode a record for a lane; its key is the ordering key, or else the tenant, or else none.

    Raises:
        ValueError, TypeError, RecursionError: The request holds a value that JSON cannot represent.
    """
    fields: dict[str, Any] = {"id": request.id, "endpoint": request.endpoint, "body": request.body}
    fields |= {
        name: text for name in ("tenant", "reply_to", "template") if (text := getattr(request, name)) is not None
    }
    if request.deadline is not None:
        fields["deadline"] = to_wire(request.deadline)
    if request.stream:
        fields["stream"] = True
    if request.metadata:
        fields["metadata"] = request.metadata
    fields |= request.model_extra or {}
    headers = event_headers(names.TYPE_REQUESTED, request.id, request.id, time, source)
    if ordering_key is not None:
        headers.append((names.CE_PARTITIONKEY, ordering_key.encode()))
    if traceparent is not None:
        headers.append((names.TRACEPARENT, traceparent.encode()))
    key = ordering_key if ordering_key is not None else request.tenant
    return Record(None if key is None else key.encode(), json_bytes(fields), tuple(headers))
