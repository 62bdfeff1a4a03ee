"""CloudEvents in binary mode: the attributes that every record of ours carries as headers, and compact JSON.

Kafka protocol binding 1.0.2; the value is the unchanged data.
"""

import json
from datetime import datetime
from typing import Any

from headrace.schemas import headers as names
from headrace.schemas.instants import to_wire


def json_bytes(value: Any) -> bytes:
    """Encode as compact UTF-8 JSON.

    Raises:
        ValueError, TypeError, RecursionError: JSON cannot represent the value.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def event_headers(event_type: str, event_id: str, subject: str, time: datetime, source: str) -> list[tuple[str, bytes]]:
    """Return the headers of an event about the request `subject`, in a list that the caller may extend."""
    return [
        (names.CE_SPECVERSION, names.SPECVERSION.encode()),
        (names.CE_ID, event_id.encode()),
        (names.CE_SOURCE, source.encode()),
        (names.CE_TYPE, event_type.encode()),
        (names.CE_TIME, to_wire(time).encode()),
        (names.CE_SUBJECT, subject.encode()),
        (names.CONTENT_TYPE, names.JSON),
    ]
