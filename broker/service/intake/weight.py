"""What a record weighs: of memory while it is here, and on the wire when it is written again."""

from typing import Final, NamedTuple

from broker.service.payloads import Content
from broker.service.publishing.parked_weight import parked_weight
from schemas.bounded_json import held_bytes
from schemas.record import Record
from schemas.request_codec import DecodedRequest

RECORD_BYTES: Final = 3_500
"""What a taken record holds beside its bytes and its decoded fields: ticket, cargo, candidate, prices and indexes."""

EXACT_ABOVE_BYTES: Final = 256 * 1024
"""Only a record that may outgrow this when it is written anew is written for its weight: one above 64 KiB, which a
thread reads."""


class Weight(NamedTuple):
    """`written` as a RetryableFailure or a dead letter, `held` in memory until it is settled; bytes."""

    written: int
    held: int


def weigh(record: Record, content: Content | None) -> Weight:
    """Weigh a record, and what was decoded of it if anything was."""
    value = len(record.value or b"")
    beside = record.bytes_max - value
    decoded = 0
    if isinstance(content, DecodedRequest):
        request = content.request
        decoded = sum(map(held_bytes, (request.body, request.metadata, request.model_extra)))
    written = parked_weight(record, content, exact_above=EXACT_ABOVE_BYTES)
    return Weight(written, value + beside + decoded + RECORD_BYTES)
