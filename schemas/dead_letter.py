"""A record that is not retried automatically: its original bytes, and the reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Origin(NamedTuple):
    """Position of the original record; written as `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: key, value and headers are the original's, unchanged, unless the record was too long.

    Attributes:
        reason: A Failed's reason, or `undecodable`, `lost_by_retention`; of a service's own dead letters
            `handler_failed`, `handler_refused`.
        attempts: HTTP calls made.
        original_length: Bytes of the whole value, if `value` holds only its beginning.
        sha256: Of the whole value, in hex, if `value` holds only its beginning.
        grant: Token that lets a dispatcher trust the next run of its id (`headrace-grant`); older releases wrote none.
        message: What was wrong with this record, one sentence in our own words; empty in letters of older releases.
        error_type: Class of the exception, for an outcome that a service's own handler gave up.
    """

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    origin: Origin
    attempts: int
    run: int
    failed_at: datetime
    original_length: int | None = None
    sha256: str | None = None
    error_type: str | None = None
    grant: str | None = None
    message: str = ""
