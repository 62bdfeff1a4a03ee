"""Records of the topic `calls`: a call was opened, or its answer was received. No I/O.

The key is the digest of the call's content, so that all of one content are in one partition, in order.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from headrace.schemas.headers import CE_TYPE, CONTENT_TYPE, JSON
from headrace.schemas.record import Record

TYPE_CALL: Final = "headrace.gateway.call.v1"
Event = Literal["opened", "received"]
_EVENTS: Final[frozenset[Event]] = frozenset(get_args(Event))
_VALUE_BYTES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One event of one call."""

    digest: str
    call_id: str
    event: Event


def content_digest(key_name: str, endpoint: str, body: Mapping[str, Any]) -> str:
    """Return the 32 hex digits that equal calls have in common; `body` is as the client sent it, `stream` included."""
    canonical = json.dumps([key_name, endpoint, body], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def encoded(record: CallRecord) -> Record:
    """Write a record."""
    value = json.dumps({"id": record.call_id, "event": record.event}, separators=(",", ":"))
    return Record(record.digest.encode(), value.encode(), ((CE_TYPE, TYPE_CALL.encode()), (CONTENT_TYPE, JSON)))


def decoded(record: Record) -> CallRecord | None:
    """Read a record; None for anything else that may stand in the topic, such as one of a later release."""
    if record.key is None or record.value is None or len(record.value) > _VALUE_BYTES_MAX:
        return None
    try:
        told = json.loads(record.value)
        digest = record.key.decode("ascii")
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    call_id, event = told.get("id"), told.get("event")
    if not isinstance(call_id, str) or not isinstance(event, str) or event not in _EVENTS:
        return None
    return CallRecord(digest, call_id, event)
