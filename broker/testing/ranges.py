"""Ranges of a topic of a `MemoryKafka`: `headrace.broker.range_ports` without aiokafka, with its behaviour."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from headrace.broker.errors import Unreachable
from headrace.broker.ports import UnreadableRange
from headrace.broker.range_ports import LONE_MS, LOOK_UPS_MAX, OffsetRange, RangePiece, RangeRecord, TopicRanges
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
        ranges, removed_ms, oldest_ms, goes_back = list[OffsetRange](), list[int](), list[int](), False
        for number, log in enumerate(self._logs):
            first = _first_since(log, _ms(since))
            if first is None:
                goes_back = goes_back or log.start < log.stable_end
                continue
            offset, timestamp_ms = first
            end = log.stable_end if until is None else _behind(log, _ms(until))
            if offset < end:
                ranges.append(OffsetRange(number, offset, end))
            goes_back = goes_back or offset > log.start
            oldest_ms.append(timestamp_ms)
            if offset == log.start > 0:
                removed_ms.append(timestamp_ms)
        begins_at = None if goes_back else _instant(min(oldest_ms, default=None))
        is_emptied = any(0 < log.start == log.stable_end for log in self._logs)
        return TopicRanges(tuple(ranges), _instant(max(removed_ms, default=None)), begins_at, is_emptied)

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


def _first_since(log: PartitionLog, since_ms: int) -> tuple[int, int] | None:
    """Return offset and timestamp of the first record not before an instant, as Kafka looks it up."""
    readable = range(log.start, log.stable_end)
    return next(((at, log.slots[at].at_ms) for at in readable if log.slots[at].at_ms >= since_ms), None)


def _behind(log: PartitionLog, until_ms: int) -> int:
    """Return where a range ends; see `RangeLog.ranges`."""
    for _ in range(LOOK_UPS_MAX):
        first = _first_since(log, until_ms)
        if first is None:
            break
        if first[1] - until_ms <= LONE_MS:
            return first[0]
        until_ms = first[1] + 1
    return log.stable_end


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000)


def _instant(timestamp_ms: int | None) -> datetime | None:
    return None if timestamp_ms is None else datetime.fromtimestamp(timestamp_ms / 1_000, UTC)
