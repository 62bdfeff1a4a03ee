"""Codec of bytes and shapes: it and two modules beside it alone read and write the wire, and know its versions.

Requests are untrusted and are decoded without ever raising (`headrace.schemas.request_codec`). Our own records
(outcomes, failures, chunks, dead letters; those of the ledger in `headrace.schemas.ledger`) are read strictly: a
`WireError` there is worth an alarm.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from headrace.schemas import headers as names
from headrace.schemas.chunk import Chunk
from headrace.schemas.cloudevents import event_headers, json_bytes
from headrace.schemas.complaint import sentence_of
from headrace.schemas.control import Cancel
from headrace.schemas.copies import identity_header
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.failure import RetryableFailure
from headrace.schemas.instants import from_wire, to_wire
from headrace.schemas.outcome import Completed, Failed, Outcome, sent_as
from headrace.schemas.record import Headers, Record, present

DISPATCHER_SOURCE = "headrace.dispatcher"
DEAD_LETTER_KEPT_BYTES = 64 * 1024
_MESSAGE_CHARS_MAX = 500
_AMOUNT_CHARS_MAX = 19
"""Maximum length of a number in our headers: offsets have no more digits."""
_LEVELS_MAX = 600
"""Nesting limit: Python's own is 1,000 calls, and the caller's stack counts."""


class WireError(ValueError):
    """A value that only we write cannot be read. The message names the shape, never the content."""


class OtherReleaseError(WireError):
    """A value of the right kind, but of a version that this release does not read; the release that wrote it can."""


_OPAQUE = ("response", "error", "metadata", "request")
"""Fields that are already JSON: written unchanged, without a walk through pydantic."""


def _plain(shape: BaseModel) -> dict[str, Any]:
    fields = shape.model_dump(mode="json", exclude=set(_OPAQUE))
    for name in _OPAQUE:
        if hasattr(shape, name):
            fields[name] = getattr(shape, name)
    return fields


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """Return the fields of an outcome record's value."""
    fields = _plain(outcome)
    fields["timings"] = {name: value for name, value in fields["timings"].items() if value is not None}
    if fields.get("submitted_id") is None:
        fields.pop("submitted_id", None)
    return fields


def outcome_json(outcome: Outcome) -> bytes:
    """Encode the value of an outcome's record: one JSON object, UTF-8, no line breaks."""
    return json_bytes(outcome_fields(outcome))


def encode_outcome(outcome: Outcome, *, time: datetime, source: str = DISPATCHER_SOURCE) -> Record:
    """Encode a record for the results topic, keyed by the id that the request was sent with."""
    event_type = names.TYPE_COMPLETED if isinstance(outcome, Completed) else names.TYPE_FAILED
    event_id = f"{outcome.id}#{outcome.run}" if outcome.run else outcome.id
    headers = event_headers(event_type, event_id, outcome.id, time, source)
    return Record(sent_as(outcome).encode(), outcome_json(outcome), tuple(headers))


_OUTCOME: TypeAdapter[Completed | Failed] = TypeAdapter(Annotated[Completed | Failed, Field(discriminator="status")])


def decode_outcome(value: bytes | None, headers: Headers = ()) -> Outcome:
    """Decode an outcome from a record of the results topic.

    Raises:
        WireError: It is none.
    """
    _check_version(headers, (names.TYPE_COMPLETED, names.TYPE_FAILED))
    return _read(_OUTCOME, value, "an outcome")


def encode_failure(failure: RetryableFailure, *, time: datetime, source: str = DISPATCHER_SOURCE) -> Record:
    """Encode a record for the failures topic, keyed by the request's id."""
    headers = event_headers(names.TYPE_RETRYABLE, f"{failure.id}#{failure.attempt}", failure.id, time, source)
    headers.append((names.NOT_BEFORE, to_wire(failure.not_before).encode()))
    headers.append((names.LANE, failure.lane.encode()))
    return Record(failure.id.encode(), json_bytes(_plain(failure)), tuple(headers))


_FAILURE = TypeAdapter(RetryableFailure)


def decode_failure(value: bytes | None, headers: Headers = ()) -> RetryableFailure:
    """Decode a failure from a record of the failures topic.

    Raises:
        OtherReleaseError: It is one of another version.
        WireError: It is none.
    """
    _check_version(headers, (names.TYPE_RETRYABLE,))
    return _read(_FAILURE, value, "a retryable failure")


def encode_retry(failure: RetryableFailure, position: Origin) -> Record:
    """Encode a failure's request for its lane again: original key and headers, ours behind them.

    Its run is the failure's: a run that its headers named and the dispatcher rejected was another's.

    `position` is that of the failure. The record's timestamp should be the failure's `submitted_at`.
    """
    kept = tuple(header for header in failure.original_headers if header[0] not in _RETRY_HEADERS)
    ours = (
        (names.ATTEMPT, str(failure.attempt + 1).encode()),
        (names.FAILURES, str(failure.failures).encode()),
        (names.FAILURE, str(position).encode()),
    )
    run = ((names.RUN, str(failure.run).encode()),) if failure.run else ()
    identity = identity_header(failure.id, failure.run, failure.request)
    stated = () if identity is None else (identity,)
    return Record(failure.original_key, json_bytes(failure.request), (*kept, *run, *ours, *stated))


_RETRY_HEADERS = frozenset({names.RUN, names.ATTEMPT, names.FAILURES, names.FAILURE, names.IDENTITY})


def encode_chunk(chunk: Chunk, *, time: datetime, source: str = DISPATCHER_SOURCE) -> Record:
    """Encode a record for the chunks topic, keyed by the request's id."""
    event_id = f"{chunk.id}#{chunk.term}.{chunk.attempt}.{chunk.seq}"
    headers = event_headers(names.TYPE_CHUNK, event_id, chunk.id, time, source)
    fields = chunk.model_dump(mode="json")
    if fields.get("head") is None:
        fields.pop("head", None)
    return Record(chunk.id.encode(), json_bytes(fields), tuple(headers))


_CHUNK = TypeAdapter(Chunk)


def decode_chunk(value: bytes | None, headers: Headers = ()) -> Chunk:
    """Decode a chunk from a record of the chunks topic.

    Raises:
        WireError: It is none.
    """
    _check_version(headers, (names.TYPE_CHUNK,))
    return _read(_CHUNK, value, "a chunk")


def encode_cancel(cancel: Cancel, *, source: str, time: datetime) -> Record:
    """Encode a record for the control topic, keyed by the request's id."""
    headers = event_headers(names.TYPE_CANCELLED, cancel.id, cancel.id, time, source)
    return Record(cancel.id.encode(), json_bytes(cancel.model_dump(mode="json", exclude_none=True)), tuple(headers))


_CANCEL = TypeAdapter(Cancel)


def decode_cancel(value: bytes | None, headers: Headers = ()) -> Cancel:
    """Decode a cancel from a record of the control topic.

    Raises:
        WireError: It is none; any client may write there, so this is no alarm.
    """
    _check_version(headers, (names.TYPE_CANCELLED,))
    return _read(_CANCEL, value, "a cancel")


def _check_version(headers: Headers, readable: tuple[str, ...]) -> None:
    """Check that a value with a type header is of a version we read; one without counts as the first version."""
    event_type = dict(headers).get(names.CE_TYPE)
    if event_type is None or (given := event_type.decode(errors="replace")) in readable:
        return
    kinds = {name.rpartition(".v")[0] for name in readable}
    error = OtherReleaseError if given.rpartition(".v")[0] in kinds else WireError
    raise error(f"a value is none of {', '.join(readable)}, the only ones that this release reads here")


def _can_be_written(value: Any) -> bool:
    """Whether nesting stays far below the limit of Python's JSON encoder, which must write again what is read here."""
    level: list[Any] = [value]
    for _ in range(_LEVELS_MAX):
        inside = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [one for each in inside for one in each]
        if not level:
            return True
    return False


Shape = TypeVar("Shape")


def _read(adapter: TypeAdapter[Shape], value: bytes | None, noun: str) -> Shape:
    try:
        return adapter.validate_json(value or b"")
    except ValidationError as reason:
        if not _is_too_deep(reason):
            raise WireError(f"a value is not {noun}: {sentence_of(reason, 'value')}") from None
    try:
        parsed = json.loads(value or b"")
    except (ValueError, RecursionError):
        raise WireError(f"a value is not {noun}: it is nested too deeply, or is not JSON") from None
    if not _can_be_written(parsed):
        raise WireError(f"a value is not {noun}: it is nested deeper than {_LEVELS_MAX} levels")
    try:
        return adapter.validate_python(parsed)
    except ValidationError as reason:
        raise WireError(f"a value is not {noun}: {sentence_of(reason, 'value')}") from None


def _is_too_deep(reason: ValidationError) -> bool:
    """Whether pydantic's parser gave up at its 200 levels; Python's goes on to nearly a thousand."""
    errors = reason.errors(include_url=False, include_input=False)
    return any(each["type"] == "json_invalid" and "recursion" in str(each.get("ctx")) for each in errors)


def encode_dead_letter(  # noqa: PLR0913  # each is a fact of the dead letter
    original_key: bytes | None,
    original_value: bytes | None,
    original_headers: Headers,
    *,
    reason: str,
    origin: tuple[str, int, int],
    attempts: int,
    run: int,
    failed_at: datetime,
    max_bytes: int,
    bare: bool = False,
    grant: str | None = None,
    message: str = "",
) -> Record:
    """Encode a record for the dead-letters topic: the original unchanged, our headers behind its own.

    `grant` lets a dispatcher trust a replay of it, the next run of its id. `message` is the sentence on exactly this
    record, at most 500 characters of it; it must hold nothing of a prompt. A record that would exceed `max_bytes` keeps
    the first 64 KiB of its value, with the length and the sha256 of the whole; if its key or headers alone are too long
    they are left out as well. A `bare` one keeps nothing but length and sha256.
    """
    block = [
        (names.REASON, reason.encode()),
        (names.ORIGIN, str(Origin(*origin)).encode()),
        (names.ATTEMPTS, str(attempts).encode()),
        (names.RUN, str(run).encode()),
        (names.FAILED_AT, to_wire(failed_at).encode()),
    ]
    if grant is not None:
        block.append((names.GRANT, grant.encode()))
    if message:
        block.append((names.MESSAGE, message[:_MESSAGE_CHARS_MAX].encode(errors="replace")))
    own = present(original_headers)
    if any(name == names.CE_TYPE for name, _ in own):
        block.append((names.CE_TYPE, names.TYPE_DEAD_LETTERED.encode()))
    whole = Record(original_key, original_value, (*own, *block))
    if whole.bytes_max <= max_bytes and not bare:
        return whole
    value = original_value or b""
    block.append((names.LENGTH, str(len(value)).encode()))
    block.append((names.SHA256, hashlib.sha256(value).hexdigest().encode()))
    if bare:
        return Record(None, b"", tuple(block))
    cut = Record(original_key, value[:DEAD_LETTER_KEPT_BYTES], (*own, *block))
    if cut.bytes_max <= max_bytes:
        return cut
    return Record(None, value[: max(0, min(DEAD_LETTER_KEPT_BYTES, max_bytes // 2))], tuple(block))


def decode_dead_letter(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter:
    """Decode a dead letter from a record of the dead-letters topic.

    Raises:
        WireError: It is none: our headers are missing or malformed.
    """
    starts = [position for position, (name, _) in enumerate(headers) if name == names.REASON]
    if not starts:
        raise WireError(f"a value is not a dead letter: it has no header {names.REASON}")
    block = {name: text.decode(errors="replace") for name, text in present(headers[starts[-1] :])}
    try:
        topic, partition, offset = block[names.ORIGIN].rsplit("/", 2)
        length = block.get(names.LENGTH)
        return DeadLetter(
            key=key,
            value=value,
            headers=present(headers[: starts[-1]]),
            reason=block[names.REASON],
            origin=Origin(topic, _amount(partition), _amount(offset)),
            attempts=_amount(block[names.ATTEMPTS]),
            run=_amount(block[names.RUN]),
            failed_at=from_wire(block[names.FAILED_AT]),
            original_length=None if length is None else _amount(length),
            sha256=block.get(names.SHA256),
            error_type=block.get(names.ERROR_TYPE),
            grant=block.get(names.GRANT),
            message=block.get(names.MESSAGE, ""),
        )
    except (KeyError, ValueError) as reason:
        raise WireError("a value is not a dead letter: its headers are incomplete") from reason


def _amount(text: str) -> int:
    """Parse a header's number, limited to digits that every reader can handle. Raises ValueError."""
    if len(text) > _AMOUNT_CHARS_MAX:
        raise ValueError("it has too many digits")
    return int(text)
