"""Weight of a record: in memory while it is held, and on the wire when it is written again."""

from typing import Final, NamedTuple

from headrace.broker.service.payloads import Content
from headrace.broker.service.publishing.parked_weight import parked_weight
from headrace.schemas.bounded_json import held_bytes
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest

RECORD_BYTES: Final = 3_500
"""Memory of a taken record beside its bytes and its decoded fields: ticket, cargo, candidate, prices and indexes."""

EXACT_ABOVE_BYTES: Final = 256 * 1024
"""A record is encoded to find its exact weight only if its rewritten form may outgrow this: one above 64 KiB, which a
thread reads."""


class Weight(NamedTuple):
    """Bytes `written` as a RetryableFailure or a dead letter, and bytes `held` in memory until it is settled."""

    written: int
    held: int


def weigh(record: Record, content: Content | None) -> Weight:
    """Weigh a record together with its decoded content, if any."""
    value = len(record.value or b"")
    beside = record.bytes_max - value
    decoded = 0
    if isinstance(content, DecodedRequest):
        request = content.request
        decoded = sum(map(held_bytes, (request.body, request.metadata, request.model_extra)))
    written = parked_weight(record, content, exact_above=EXACT_ABOVE_BYTES)
    return Weight(written, value + beside + decoded + RECORD_BYTES)
