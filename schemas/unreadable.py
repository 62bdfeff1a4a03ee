"""Stand-in for an outcome with an unreadable value, built from its headers: a reader must not skip it in silence.

All readers of outcomes use `read_outcome`: a group's, a waiting client's, and one that looks back.

The headers of an outcome (`headrace.schemas.headers`) identify its request and how it ended. The rest, such as metadata
and the answer itself, remains in the results topic.
"""

from dataclasses import replace
from typing import Final, TypeGuard

from headrace.schemas import headers as names
from headrace.schemas.codec import WireError, decode_outcome
from headrace.schemas.outcome import UNREADABLE, Failed, Outcome
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import answer_in

__all__ = ["UNREADABLE", "in_place_of", "is_unreadable", "read_outcome"]

_TYPES: Final = (names.TYPE_COMPLETED, names.TYPE_FAILED)


def read_outcome(record: Record) -> Outcome | None:
    """Decode a record's outcome, or build the Failed (`unreadable`) in its place; None if the record is no outcome."""
    try:
        return decode_outcome(record.value, record.headers)
    except WireError as reason:
        return in_place_of(record, str(reason))


def is_unreadable(outcome: Outcome | None) -> TypeGuard[Failed]:
    """Whether a Failed stands for an outcome that could not be read."""
    return isinstance(outcome, Failed) and outcome.reason == UNREADABLE


def in_place_of(record: Record, why: str) -> Failed | None:
    """Build the Failed for a record that cannot be read; None if that is no outcome, of whatever version."""
    answer = answer_in(replace(record, headers=tuple(_of_this_version(*header) for header in record.headers)))
    if answer is None:
        return None
    status = "completed" if answer.is_completed else "failed"
    return Failed(
        id=answer.request_id,
        run=answer.run,
        reason=UNREADABLE,
        message=f"The request is {status}, but its outcome cannot be read here ({why}). It is in the results topic.",
    )


def _of_this_version(name: str, value: bytes) -> tuple[str, bytes]:
    if name != names.CE_TYPE:
        return name, value
    kind = value.decode(errors="replace").rpartition(".v")[0]
    return name, next((each.encode() for each in _TYPES if each.rpartition(".v")[0] == kind), value)
