"""Size in bytes of a record as written for the retrier, which decides whether the record may be parked.

A RetryableFailure holds the request as JSON encoded anew, and the record's key and headers as JSON text and base64. So
it can be larger than the record: 500 KB of `1e15,` become 1.9 MB, and a control character of a key six bytes. A failure
that was sized by its source once failed every transaction that contained it.
"""

from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest

GROWTH_MAX = 4
"""Largest growth of JSON that is encoded anew: the worst is `1e15,`, 5 bytes that become 19."""
_ESCAPED_MAX = 6
_HEADER_BYTES = 40
_RECORD_BYTES = 256


def parked_weight(record: Record, content: object, *, exact_above: int) -> int:
    """Weigh a record; its request is encoded for that only if it could weigh more than `exact_above`."""
    named = ((_escaped(name.encode()), len(value or b"")) for name, value in record.headers)  # a value may be null
    beside = sum(name + 4 * (-(-size // 3)) + _HEADER_BYTES for name, size in named)
    beside += _escaped(record.key or b"") + _RECORD_BYTES
    value = len(record.value or b"")
    if isinstance(content, DecodedRequest) and value * GROWTH_MAX + beside > exact_above:
        value = max(value, _written(content))
    return value + beside


def _written(content: DecodedRequest) -> int:
    return len(json_bytes(content.request.model_dump(mode="json", exclude_unset=True)))


def _escaped(text: bytes) -> int:
    """Return its size in bytes in a JSON string, or as base64."""
    plain = text.isascii() and text.decode("ascii").isprintable() and not any(mark in text for mark in b'"\\')
    return len(text) if plain else _ESCAPED_MAX * len(text)
