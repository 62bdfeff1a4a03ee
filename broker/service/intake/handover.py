"""Hand-over of a fetched record to the core, as `Taken` or as `Lost`.

Reading a record and handing it over are two steps: what is read with caution is handed over only once the ledger no
longer names it. Other tasks run while many or large records are read, and the term may end meanwhile.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from headrace.broker.core.events import Lost, Taken
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import Candidate, LanePartition, Source
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.entry import Entry, Read
from headrace.broker.service.payloads import Payload
from headrace.schemas.record import Record

READ_AT_ONCE_BYTES: Final = 64 * 1024
"""Bytes of values read in a row before the event loop serves answers and timers. Counting the tokens of this many bytes
takes up to 0.1 s (a run of one letter), and of a take of 50 such records longer than the lease lasts."""
NO_TIMESTAMP: Final = -1
STAMPED_AHEAD_MAX_MS: Final = 86_400_000
"""No timestamp further ahead of now is believed, however wrong our clock is; Kafka accepts up to an hour ahead."""

_log = structlog.get_logger("intake")


class Handover:
    """Hand-over of one topic's records."""

    def __init__(self, topic: str, entry: Entry, driver: Driver) -> None:
        """`entry` reads a record; `driver` takes it to the core."""
        self._topic = topic
        self._entry = entry
        self._driver = driver
        self._read_bytes = 0  # since the loop last served other tasks

    async def read(self, source: Source, fetched: Fetched) -> Callable[[], None]:
        """Read a record; return the callback that hands it over. Other tasks run meanwhile, and the term may end."""
        if self._read_bytes >= READ_AT_ONCE_BYTES:
            self._read_bytes = 0
            await asyncio.sleep(0)
        self._read_bytes += len(fetched.record.value or b"")
        submitted_at = self._submitted_at(fetched.timestamp_ms)
        cargo = self._cargo(source, fetched.record, submitted_at)
        read = await self._entry.read(source, fetched.record, submitted_at)
        return partial(self._post, cargo, read, fetched)

    def give_unread(self, source: Source, fetched: Fetched) -> None:
        """Hand over a record that is not decoded any more, since two terms have died of decoding it."""
        place = source.partition
        _log.error("record_crashed", lane=place.lane, partition=place.number, offset=source.offset)
        cargo = self._cargo(source, fetched.record, self._submitted_at(fetched.timestamp_ms))
        self._post(cargo, self._entry.unread(fetched.record), fetched)

    def lose(
        self, place: LanePartition, offset: int, *, first: int = 0, removed: bool = True, crashed: bool = False
    ) -> None:
        """Report that the records below `offset` are unreadable: removed by retention, in a corrupt batch, or fatal.

        `first`: the offset of the first of them, if what stands before it is known to have been handed over.
        """
        cargo = self._cargo(Source(place, offset), Record(None, None), self._driver.clock.utc_now())
        self._driver.post(Lost(self._driver.hold.put(cargo), place, offset, removed, crashed, first))

    def lose_batch(self, place: LanePartition, batch: UnreadableRange) -> None:
        """Report a range of offsets that cannot be read."""
        _log.error("batch_unreadable", lane=place.lane, partition=place.number, first=batch.first, last=batch.last)
        # below a range that retention removed nothing can be read any more, also what was read once and not handed over
        self.lose(place, batch.last + 1, first=0 if batch.removed else batch.first, removed=batch.removed)

    def _post(self, cargo: Payload, read: Read, fetched: Fetched) -> None:
        known, cargo.content = read.known, read.content
        if isinstance(known, Candidate):
            cargo.limit = known.limit
        if isinstance(known, CancelRecord):
            known = replace(known, at_ms=self._stamped_ms(fetched.timestamp_ms, known.at_ms))
        number, timestamp_ms = self._driver.hold.put(cargo), max(NO_TIMESTAMP, fetched.timestamp_ms)
        self._driver.post(Taken(number, cargo.source, timestamp_ms, read.weight.written, known, read.weight.held))

    def _submitted_at(self, timestamp_ms: int) -> datetime:
        """Return the record's own timestamp, which its producer may have set to anything; never the future."""
        now = self._driver.clock.utc_now()
        if not 0 <= timestamp_ms < now.timestamp() * 1_000:
            return now
        return datetime.fromtimestamp(timestamp_ms / 1_000, UTC)

    def _stamped_ms(self, timestamp_ms: int, else_ms: int) -> int:
        """Return the time that orders cancels and requests: timestamps unchanged, as our own clock may be wrong."""
        latest_ms = self._driver.clock.utc_ms() + STAMPED_AHEAD_MAX_MS
        return min(timestamp_ms, latest_ms) if timestamp_ms >= 0 else else_ms

    def _cargo(self, source: Source, record: Record, submitted_at: datetime) -> Payload:
        clock = self._driver.clock
        return Payload(
            source=source,
            topic=self._topic,
            record=record,
            content=None,
            submitted_at=submitted_at,
            taken_at=clock.utc_now(),
            taken_ms=clock.now_ms(),
        )
