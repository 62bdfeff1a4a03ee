"""Ranges of a topic of a `MemoryKafka`: `headrace.broker.range_ports` without aiokafka, with its behaviour."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from headrace.broker.errors import Unreachable
from headrace.broker.ports import UnreadableRange
from headrace.broker.range_ports import OffsetRange, RangePiece, RangeRecord, TopicRanges
from headrace.broker.testing.client_answers import reached
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_log import PartitionLog

_PIECE_RECORDS: Final = 100


class MemoryRanges:
    """See `headrace.broker.range_ports.RangeLog`."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._is_open = False

    @property
    def _logs(self) -> list[PartitionLog]:
        return self._link.kafka.logs(self._topic)

    async def open(self) -> None:
        """See `RangeLog.open`."""
        await reached(self._link)
        self._link.kafka.logs(self._topic)
        self._is_open = True

    async def ranges(self, since: datetime, until: datetime | None) -> TopicRanges:
        """See `RangeLog.ranges`."""
        await self._reached()
        ranges, oldest_ms = list[OffsetRange](), list[int]()
        for number, log in enumerate(self._logs):
            first = _first_since(log, since)
            if first is None:
                continue
            offset, timestamp_ms = first
            behind = None if until is None else _first_since(log, until)
            end = log.stable_end if behind is None else min(behind[0], log.stable_end)
            if offset < end:
                ranges.append(OffsetRange(number, offset, end))
            if offset == log.start > 0:
                oldest_ms.append(timestamp_ms)
        back_to = datetime.fromtimestamp(max(oldest_ms) / 1_000, UTC) if oldest_ms else None
        return TopicRanges(tuple(ranges), back_to, any(0 < log.start == log.stable_end for log in self._logs))

    async def read(self, part: OffsetRange) -> AsyncIterator[RangePiece]:
        """See `RangeLog.read`."""
        at = part.first
        while at < part.end:
            await self._reached()
            got, behind = self._logs[part.partition].read(at, _PIECE_RECORDS)
            at = min(behind, part.end)
            if isinstance(got, UnreadableRange):
                yield RangePiece((), at, 0 if got.removed else min(got.last + 1, part.end) - got.first)
                continue
            records = [
                RangeRecord(each.timestamp_ms, each.record.key, each.record.value, each.record.headers)
                for each in got
                if each.offset < part.end
            ]
            yield RangePiece(records, at)

    async def _reached(self) -> None:
        if not self._is_open:
            raise Unreachable("The reader is not connected: open it first.")
        await reached(self._link)

    async def close(self) -> None:
        """See `RangeLog.close`."""
        self._is_open = False


def _first_since(log: PartitionLog, since: datetime) -> tuple[int, int] | None:
    """Return offset and timestamp of the first record not before an instant, as Kafka looks it up."""
    since_ms = int(since.timestamp() * 1_000)
    readable = range(log.start, log.stable_end)
    return next(((at, log.slots[at].at_ms) for at in readable if log.slots[at].at_ms >= since_ms), None)
