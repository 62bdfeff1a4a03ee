"""Reader of the ledger: one partition, in order, committed lines only."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of, words_of
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.watch import TopicWatch
from headrace.broker.errors import LogUnavailable, MissingTopic, PositionGone, RightsError, Unreachable
from headrace.broker.ports import LedgerRow, LedgerStart

_ROWS_A_READ = 2_000
_LAST_LOOKED_FOR = 64
"""Number of offsets at the end searched first for the last row: they include markers and aborted records."""
_LAST_WITHIN_S, _LAST_WAIT_MS = 10.0, 200


class KafkaLedger:
    """A `LedgerLog` on aiokafka."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """It connects at `open`."""
        self._connection = connection
        self._place = KafkaPartition(topic, 0)
        self._watch = TopicWatch(topic, connection)
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def topic_id(self) -> str | None:
        """See `headrace.broker.ports.LedgerLog.topic_id`."""
        return self._watch.topic_id

    async def open(self, from_wall_ms: int, *, before_last_ms: int | None = None) -> LedgerStart:
        """See `headrace.broker.ports.LedgerLog.open`.

        Raises:
            MissingTopic: There is no ledger that this user may see.
            LogUnavailable: Kafka does not answer.
        """
        consumer = make_consumer(self._connection)
        try:
            await start_consumer(consumer)
            await self._check_there(consumer)
            consumer.assign([self._place])
            start = await self._found(consumer, from_wall_ms, before_last_ms)
        except BaseException as error:  # even when cancelled, leave nothing open
            await close_consumer(consumer)
            if isinstance(error, KafkaError | OSError | TimeoutError | Unreachable):
                raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {words_of(error)}.") from error
            raise
        self._consumer = consumer
        return start

    async def _found(self, consumer: AIOKafkaConsumer, from_ms: int, before_last_ms: int | None) -> LedgerStart:
        """Seek to where reading begins."""
        first = (await consumer.beginning_offsets([self._place]))[self._place]
        end = (await consumer.end_offsets([self._place]))[self._place]
        if before_last_ms is not None:
            last_ms = await self._last_ms(consumer, first, end)
            from_ms = from_ms if last_ms is None else min(from_ms, last_ms - before_last_ms)
        position = await self._at(consumer, from_ms, end)
        consumer.seek(self._place, position)
        is_first = position <= await self._at(consumer, 0, end)  # before it there may be a marker
        return LedgerStart(from_ms, is_first, first > 0, end)

    async def _at(self, consumer: AIOKafkaConsumer, from_ms: int, end: int) -> int:
        """Return the offset of the first record not older than `from_ms`; `end` if there is none."""
        found = (await consumer.offsets_for_times({self._place: max(0, from_ms)})).get(self._place)
        return end if found is None else int(found.offset)

    async def _last_ms(self, consumer: AIOKafkaConsumer, first: int, end: int) -> int | None:
        """Return Kafka's timestamp of the last row; None if there is none."""
        behind, looked_for = end, _LAST_LOOKED_FOR
        async with asyncio.timeout(_LAST_WITHIN_S):
            while behind > first:
                begin = max(first, behind - looked_for)
                last_ms: int | None = None
                consumer.seek(self._place, begin)
                while await consumer.position(self._place) < behind:
                    got = await consumer.getmany(self._place, timeout_ms=_LAST_WAIT_MS)
                    for row in got.get(self._place, ()):
                        last_ms = row.timestamp
                if last_ms is not None:
                    return last_ms
                behind, looked_for = begin, looked_for * 16
        return None

    async def _check_there(self, consumer: AIOKafkaConsumer) -> None:
        is_shown = self._place.topic in await consumer.topics()
        try:
            now = await self._watch.first(consumer)
        except RightsError as hidden:
            raise MissingTopic(self._place.topic, hidden_from=user_of(self._connection)) from hidden
        if not is_shown:  # one node does not know the topic yet
            raise MissingTopic(self._place.topic)
        self._watch.reads(now)

    def seek(self, offset: int) -> None:
        """See `headrace.broker.ports.LedgerLog.seek`."""
        self._opened().seek(self._place, offset)

    async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
        """See `headrace.broker.ports.LedgerLog.read`."""
        consumer = self._opened()
        try:
            got = await consumer.getmany(self._place, timeout_ms=timeout_ms, max_records=_ROWS_A_READ)
        except OffsetOutOfRangeError as error:
            next_gone = f"The ledger {self._place.topic} no longer holds the next record: {words_of(error)}."
            raise PositionGone(next_gone) from error
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {words_of(error)}.") from error
        rows = got.get(self._place, ())
        return [LedgerRow(row.offset, row.timestamp, row.value) for row in rows if row.value is not None]

    async def at_end(self) -> bool:
        """See `headrace.broker.ports.LedgerLog.at_end`."""
        consumer = self._opened()
        try:
            now = await self._watch.again(consumer)
            if now is not None:
                self._watch.reads(now)
            ends = await consumer.end_offsets([self._place])
            return bool(await consumer.position(self._place) >= ends[self._place])
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {words_of(error)}.") from error

    def _opened(self) -> AIOKafkaConsumer:
        assert self._consumer is not None  # noqa: S101 — programmer error: read before open
        return self._consumer

    async def close(self) -> None:
        """See `headrace.broker.ports.LedgerLog.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
