"""Codec of replays: a dead letter as its lane takes it again, and the answered run in an outcome's headers.

Key, value and headers stay the producer's; headers of an earlier retry or replay are replaced by ours. The event's own
id gets the run behind it, as an outcome's does: it identifies the event, and `headrace.schemas.request_codec` takes the
run off again, so that an id which itself ends in `#1` is not mistaken.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from headrace.schemas import headers as names
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.ids import ID_LENGTH_MAX
from headrace.schemas.instants import to_wire
from headrace.schemas.record import Record, present
from headrace.schemas.request_codec import RUN_MAX, DecodedRequest, binary_headers

_OURS = frozenset(
    {names.RUN, names.DEADLINE, names.ATTEMPT, names.FAILURES, names.FAILURE, names.IDENTITY, names.GRANT}
)
_NEW_ID_DIGITS = 16


class AnsweredRun(NamedTuple):
    """An answered (id, run), and whether it is completed for good."""

    request_id: str
    run: int
    is_completed: bool


def encode_replay(letter: DeadLetter, request_id: str, *, run: int, deadline: datetime) -> Record:
    """Encode a replay: run `run` of the request in `letter`."""
    headers = _replaying(letter.headers, f"{request_id}#{run}", run=run, deadline=deadline)
    granted = () if letter.grant is None else ((names.GRANT, letter.grant.encode()),)
    return Record(letter.key, letter.value, (*headers, *granted))


def encode_renamed(letter: DeadLetter, decoded: DecodedRequest, new_id: str, *, deadline: datetime) -> Record:
    """Encode the same request under another id, as run 0; `decoded` is the letter's decoded value."""
    fields = decoded.request.model_dump(mode="json", exclude_unset=True) | {"id": new_id}
    headers = [
        (name, new_id.encode() if name == names.CE_SUBJECT else value)
        for name, value in binary_headers(decoded, letter.headers)
    ]
    return Record(letter.key, json_bytes(fields), _replaying(headers, new_id, run=0, deadline=deadline))


def new_id_of(request_id: str, place: Origin) -> str:
    """Return the same new id for the same id and place: repeating a replay makes no second request."""
    digest = hashlib.blake2b(f"{place} {request_id}".encode(), digest_size=_NEW_ID_DIGITS // 2).hexdigest()
    return f"{request_id[: ID_LENGTH_MAX - _NEW_ID_DIGITS - 1]}~{digest}"


def answer_in(record: Record) -> AnsweredRun | None:
    """Read the answer from the headers of a results record; None if they are not those of an outcome.

    The value, which may be a megabyte, is not read.
    """
    given = dict(present(record.headers))
    subject, event = given.get(names.CE_SUBJECT, b"").decode(errors="replace"), given.get(names.CE_ID, b"")
    event_type = given.get(names.CE_TYPE, b"").decode(errors="replace")
    if event_type not in {names.TYPE_COMPLETED, names.TYPE_FAILED} or not subject:
        return None
    run = event.decode(errors="replace").removeprefix(subject).removeprefix("#")
    if run and not (run.isascii() and run.isdecimal() and len(run) <= len(str(RUN_MAX))):
        return None
    return AnsweredRun(subject, int(run or 0), event_type == names.TYPE_COMPLETED)


def _replaying(
    headers: Sequence[tuple[str, bytes]], event_id: str, *, run: int, deadline: datetime
) -> tuple[tuple[str, bytes], ...]:
    kept = [(name, event_id.encode() if name == names.CE_ID else value) for name, value in headers if name not in _OURS]
    if run:
        kept.append((names.RUN, str(run).encode()))
    return (*kept, (names.DEADLINE, to_wire(deadline).encode()))
