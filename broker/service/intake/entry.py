"""Reading of one record: decoded, priced and weighed independently of all others.

An exception raised by a record, of whatever kind, ends that record and nothing else: it is Failed (`crashed`) if its id
is known, a dead letter in any case, and a line of the log has the trace. Without this, a defect that one record
triggers would end each leader in turn, since the record would be the first one of every term.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, Protocol

from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import Candidate, Garbage, Source
from headrace.broker.service.containment import ContainmentReporter
from headrace.broker.service.intake.pricer import DEFECT
from headrace.broker.service.intake.weight import RECORD_BYTES, Weight, weigh
from headrace.broker.service.offload import Offload
from headrace.broker.service.payloads import Content
from headrace.schemas.record import Record
from headrace.schemas.request_codec import Undecodable

OFFLOADED_ABOVE_BYTES: Final = 64 * 1024
"""Smaller values are decoded in the event loop, in some 0.3 ms: handing them to a thread and back takes about as
long."""


class Reader(Protocol):
    """Decoder of one topic's records; never raises for any bytes, unless it has a defect."""

    def read(
        self, lane: str, record: Record, submitted_at: datetime, /
    ) -> tuple[Content, Candidate | Garbage | CancelRecord]:
        """Return the record's content, and what the core must know of it."""

    def unread(self, record: Record, /) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record that ended two terms, without reading its value."""

    def defect(self, record: Record, /) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record for which `read` raised."""


class Read(NamedTuple):
    """Result of reading one record."""

    content: Content
    known: Candidate | Garbage | CancelRecord
    weight: Weight


class Entry:
    """Reads the records of one topic."""

    def __init__(self, reader: Reader, offload: Offload, contained: ContainmentReporter) -> None:
        """`offload` reads large values; `contained` reports exceptions."""
        self._reader = reader
        self._offload = offload
        self._contained = contained

    async def read(self, source: Source, record: Record, submitted_at: datetime) -> Read:
        """Read a record. Never raises, except when cancelled; suspends only for a large one."""
        lane = source.partition.lane
        try:
            work: Callable[[], Read] = partial(self._read, lane, record, submitted_at)
            return await self._offload(work) if is_large(record) else work()
        except Exception as error:  # noqa: BLE001 — a defect that one record shows must not end the others' process
            self._contained("read", error, lane=lane, partition=source.partition.number, offset=source.offset)
            return self._defect(record)

    def unread(self, record: Record) -> Read:
        """Return the result for a record that must not be decoded any more."""
        with contextlib.suppress(Exception):  # a defect here, too, must end nothing but the record
            content, known = self._reader.unread(record)
            return Read(content, known, weigh(record, content))
        return self._defect(record)

    def _read(self, lane: str, record: Record, submitted_at: datetime) -> Read:
        content, known = self._reader.read(lane, record, submitted_at)
        return Read(content, known, weigh(record, content))

    def _defect(self, record: Record) -> Read:
        """Return what is left to report of a record that raised an exception."""
        size = len(record.value or b"") + len(record.key or b"")
        content, known = Undecodable(DEFECT), Garbage(None, DEFECT, "crashed")
        with contextlib.suppress(Exception):  # the same defect may strike again here
            content, known = self._reader.defect(record)
        return Read(content, known, Weight(size, size + RECORD_BYTES))


def is_large(record: Record) -> bool:
    """Whether decoding the record takes long enough to be offloaded."""
    return len(record.value or b"") > OFFLOADED_ABOVE_BYTES
