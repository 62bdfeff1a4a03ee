"""Topics read from any position, for readers that know where their records are.

A consumer of aiokafka has one position in each partition. Here each read is a fetch of its own, so any number of
readers share one connection, and one that is at the end learns it at once instead of waiting for the next record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.fetch import fetched_packed, in_thread
from headrace.broker.adapters.kafka.fetched_batches import FetchedBatches
from headrace.broker.adapters.kafka.read_back import partitions_of
from headrace.broker.adapters.kafka.submit import KafkaSubmit
from headrace.broker.adapters.kafka.watch import topic_now
from headrace.broker.batch_ports import RecordStretch
from headrace.broker.client_ports import Appended, StoredRecord
from headrace.broker.errors import LogUnavailable, PositionGone
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.schemas.record import Record

_T = TypeVar("_T")
_TRIES: Final = 4
_RETRY_FIRST_S: Final = 0.1
"""A partition's leader may have moved: the first error makes aiokafka look it up."""
_WITHIN_S: Final = 20.0
_RECORDS_A_TAKE: Final = 500


class KafkaSeekable:
    """See `headrace.broker.batch_ports.SeekableLog`."""

    def __init__(self, connection: KafkaConnection) -> None:
        """It connects at first use."""
        self._connection = connection
        self._submit = KafkaSubmit(connection)
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def ends(self, topic: str) -> dict[int, int]:
        """See `SeekableLog.ends`."""
        return await self._tried(partial(self._ends, topic, AIOKafkaConsumer.end_offsets))

    async def begins(self, topic: str) -> dict[int, int]:
        """See `SeekableLog.begins`."""
        return await self._tried(partial(self._ends, topic, AIOKafkaConsumer.beginning_offsets))

    async def _ends(
        self, topic: str, ask: Callable[[AIOKafkaConsumer, list[KafkaPartition]], Awaitable[dict[KafkaPartition, int]]]
    ) -> dict[int, int]:
        consumer = await self._started()
        now = await topic_now(consumer._client, topic, self._connection)  # noqa: SLF001  # no public way
        found = await ask(consumer, [KafkaPartition(topic, number) for number in now.partitions])
        return {place.partition: offset for place, offset in found.items()}

    async def read(self, topic: str, partition: int, offset: int) -> RecordStretch:
        """See `SeekableLog.read`."""
        return await self._tried(partial(self._read, KafkaPartition(topic, partition), offset))

    async def _read(self, place: KafkaPartition, offset: int) -> RecordStretch:
        consumer = await self._started()
        try:
            packed = await fetched_packed(consumer, place, offset)
        except OffsetOutOfRangeError as reason:
            raise PositionGone(f"{place.topic}/{place.partition} does not hold offset {offset}.") from reason
        try:
            records = await in_thread(consumer, partial(_unpacked, packed))
        except (MemoryError, OSError) as reason:
            raise LogUnavailable(f"There is no memory to unpack {place.topic}/{place.partition}.") from reason
        stored = [
            StoredRecord(place.topic, place.partition, one.offset, one.timestamp_ms, one.record) for one in records
        ]
        return RecordStretch(stored, max(offset, packed.end))

    async def append(self, topic: str, partition: int, record: Record, *, timeout_s: float) -> Appended:
        """See `SeekableLog.append`."""
        pending = await self._submit.begin(topic, record, timeout_s=timeout_s, partition=partition)
        return await pending.wait(timeout_s=timeout_s)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """See `SeekableLog.partition_of`."""
        return partitions_of(key, (partitions,))[0]

    async def _tried(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask Kafka, and again where the answer is an error that another look may mend."""
        async with kafka_errors_explained(self._connection, right="READ"):
            try:
                async with asyncio.timeout(_WITHIN_S):
                    for pause in range(_TRIES - 1):
                        try:
                            return await ask()
                        except KafkaError as reason:
                            if not reason.retriable or isinstance(reason, KafkaConnectionError):
                                raise
                            await asyncio.sleep(_RETRY_FIRST_S * 2**pause)
                    return await ask()
            except TimeoutError:
                raise LogUnavailable(f"Kafka did not answer within {_WITHIN_S:g} s.") from None

    async def _started(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = make_consumer(self._connection)
                try:
                    await start_consumer(consumer)
                except BaseException:
                    await close_consumer(consumer)
                    raise
                self._consumer = consumer
            return self._consumer

    async def close(self) -> None:
        """See `SeekableLog.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
        await self._submit.close()


def _unpacked(packed: FetchedBatches) -> list[Fetched]:
    """Unpack all that was fetched; a range that is lost is left out."""
    found: list[Fetched] = []
    while packed.upcoming(_RECORDS_A_TAKE) is not None:
        some = packed.take(_RECORDS_A_TAKE)
        if not isinstance(some, UnreadableRange):
            found += some
    return found
