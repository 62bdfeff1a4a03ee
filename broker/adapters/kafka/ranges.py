"""Reader of ranges of one topic, as fast as Python can: whole batches, of which only values and timestamps are taken.

A consumer of aiokafka unpacks compressed batches twice, since they are checked before, and makes a slow object of each
record. Here the next fetch is under way while the records of the last one are worked on, and a batch is parsed once
(`headrace.broker.adapters.kafka.quick_records`).

No group, nothing committed, `read_committed`. A range may begin within a transaction: a fetch names the aborted
transactions that reach into it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.batches import ReadableBatch
from headrace.broker.adapters.kafka.connection import DENIED, KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.fetch import fetched_range
from headrace.broker.adapters.kafka.quick_records import records_of
from headrace.broker.adapters.kafka.watch import topic_now
from headrace.broker.errors import LogUnavailable, Unreachable
from headrace.broker.range_ports import LONE_MS, LOOK_UPS_MAX, OffsetRange, RangePiece, RangeRecord, TopicRanges
from headrace.broker.tasks import ended

_FETCH_BYTES: Final = 1024 * 1024
_PIECE_RECORDS: Final = 250
"""Records between two turns of the event loop, which receives the next fetch meanwhile."""
_AWAY_MAX_S: Final = 20.0
_PAUSE_S: Final = 0.2

_Fetched = tuple[Sequence[ReadableBatch], int]


class KafkaRanges:
    """See `headrace.broker.range_ports.RangeLog`."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """It connects at `open`."""
        self._connection = connection
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._numbers: tuple[int, ...] = ()

    async def open(self) -> None:
        """See `RangeLog.open`."""
        consumer = make_consumer(self._connection)
        try:
            async with kafka_errors_explained(self._connection, right="READ"):
                await start_consumer(consumer)
                now = await topic_now(consumer._client, self._topic, self._connection)  # noqa: SLF001  # no public way
        except BaseException:
            await close_consumer(consumer)
            raise
        self._consumer, self._numbers = consumer, now.partitions

    async def ranges(self, since: datetime, until: datetime | None) -> TopicRanges:
        """See `RangeLog.ranges`."""
        consumer = self._opened()
        places = [KafkaPartition(self._topic, number) for number in self._numbers]
        async with kafka_errors_explained(self._connection, right="READ"):
            begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            firsts = await consumer.offsets_for_times(dict.fromkeys(places, _ms(since)))
            behind = {} if until is None else await self._behind(places, _ms(until))
        ranges, removed_ms, oldest_ms, goes_back = list[OffsetRange](), list[int](), list[int](), False
        for place in places:
            first, begin, end = firsts[place], begins[place], ends[place]
            if first is None:
                goes_back = goes_back or begin < end
                continue
            end = min(behind.get(place, end), end)
            if first.offset < end:
                ranges.append(OffsetRange(place.partition, first.offset, end))
            goes_back = goes_back or first.offset > begin
            oldest_ms.append(first.timestamp)
            if first.offset == begin > 0:
                removed_ms.append(first.timestamp)
        begins_at = None if goes_back else _instant(min(oldest_ms, default=None))
        is_emptied = any(0 < begins[place] == ends[place] for place in places)
        return TopicRanges(tuple(ranges), _instant(max(removed_ms, default=None)), begins_at, is_emptied)

    async def _behind(self, places: Sequence[KafkaPartition], until_ms: int) -> dict[KafkaPartition, int]:
        """Return the offsets at which the ranges end; see `RangeLog.ranges`."""
        behind, asked = dict[KafkaPartition, int](), dict.fromkeys(places, until_ms)
        for _ in range(LOOK_UPS_MAX):
            found = await self._opened().offsets_for_times(asked) if asked else {}
            lone = dict[KafkaPartition, int]()
            for place, first in found.items():
                behind.pop(place, None)
                if first is not None:
                    behind[place] = first.offset
                    if first.timestamp - asked[place] > LONE_MS:
                        lone[place] = first.timestamp + 1
            asked = lone
        return {place: offset for place, offset in behind.items() if place not in asked}

    async def read(self, part: OffsetRange) -> AsyncIterator[RangePiece]:
        """See `RangeLog.read`."""
        at, wanted = part.first, range(part.first, part.end)
        coming = self._begin(part.partition, at)
        try:
            while at < part.end:
                async with kafka_errors_explained(self._connection, right="READ"):
                    batches, end = await coming
                if end <= at and not batches:
                    return  # nothing more is readable, although there was at the start: the topic was made anew
                at = end
                if at < part.end:
                    coming = self._begin(part.partition, at)
                for piece in _pieces(batches, wanted, min(at, part.end)):
                    yield piece
                    await asyncio.sleep(0)
        finally:
            await ended(coming)

    def _begin(self, partition: int, offset: int) -> "asyncio.Task[_Fetched]":
        name = f"fetch {self._topic}/{partition}"
        return asyncio.create_task(self._fetched(KafkaPartition(self._topic, partition), offset), name=name)

    async def _fetched(self, place: KafkaPartition, offset: int) -> _Fetched:
        consumer, loop = self._opened(), asyncio.get_running_loop()
        until_s = loop.time() + _AWAY_MAX_S
        while True:
            try:
                return await fetched_range(consumer, place, offset, bytes_max=_FETCH_BYTES)
            except DENIED:
                raise
            except OffsetOutOfRangeError:  # retention was faster, or the topic was made anew
                begin = (await consumer.beginning_offsets([place]))[place]
                return (), max(begin, offset)
            except (KafkaError, OSError, LogUnavailable) as error:
                if loop.time() > until_s:
                    at = self._connection.bootstrap_servers
                    raise Unreachable(f"Kafka at {at} sends nothing of {self._topic} any more: try again.") from error
                await asyncio.sleep(_PAUSE_S)

    def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Unreachable("The reader is not connected: open it first.")
        return self._consumer

    async def close(self) -> None:
        """See `RangeLog.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)


def _pieces(batches: Sequence[ReadableBatch], wanted: range, end: int) -> Iterator[RangePiece]:
    """Yield the wanted records of these batches, some hundreds at a time; the last piece ends at `end`."""
    records, lost = list[RangeRecord](), 0
    for batch in batches:
        if batch.offsets.start >= wanted.stop:
            break
        found = records_of(batch, wanted)
        records.extend(found.records)
        lost += found.lost
        if len(records) >= _PIECE_RECORDS:
            yield RangePiece(records, found.position, lost)
            records, lost = [], 0
    yield RangePiece(records, end, lost)


def _ms(instant: datetime) -> int:
    return max(0, int(instant.timestamp() * 1_000))


def _instant(timestamp_ms: int | None) -> datetime | None:
    return None if timestamp_ms is None else datetime.fromtimestamp(timestamp_ms / 1_000, UTC)
