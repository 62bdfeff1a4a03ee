"""Reader of the totals topic: all of its partitions, committed records only, from an instant on."""

import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of, words_of
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.watch import TopicWatch
from headrace.broker.errors import LogUnavailable, MissingTopic, RightsError, Unreachable
from headrace.schemas.record import Record

_RECORDS_A_READ = 2_000
_FETCH_WAIT_MS = 1_000  # nothing waits for a sum, and a quiet topic costs one request a second
_SILENT_MAX_MS = 10_000  # ten answers in a row have not come


class KafkaTotals:
    """A `headrace.broker.status_ports.TotalsLog` on aiokafka."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """It connects at `open`."""
        self._connection = connection
        self._topic = topic
        self._watch = TopicWatch(topic, connection)
        self._consumer: AIOKafkaConsumer | None = None

    async def open(self, from_wall_ms: int) -> None:
        """See `headrace.broker.status_ports.TotalsLog.open`."""
        consumer = make_consumer(self._connection, fetch_wait_ms=_FETCH_WAIT_MS)
        try:
            await start_consumer(consumer)
            await self._begin(consumer, from_wall_ms)
        except BaseException as error:  # even when cancelled, leave nothing open
            await close_consumer(consumer)
            if isinstance(error, RightsError):
                raise MissingTopic(self._topic, hidden_from=user_of(self._connection)) from error
            if isinstance(error, KafkaError | OSError | TimeoutError | Unreachable):
                raise LogUnavailable(self._unreadable(error)) from error
            raise
        self._consumer = consumer

    async def _begin(self, consumer: AIOKafkaConsumer, from_wall_ms: int) -> None:
        now = await self._watch.first(consumer)
        places = [KafkaPartition(self._topic, number) for number in now.partitions]
        ends = await consumer.end_offsets(places)
        found = await consumer.offsets_for_times(dict.fromkeys(places, max(0, from_wall_ms)))
        consumer.assign(places)
        for place in places:  # no await in between: assign() has forgotten every position
            consumer.seek(place, ends[place] if found.get(place) is None else found[place].offset)
        self._watch.reads(now)

    async def read(self, timeout_ms: int) -> Sequence[Record]:
        """See `headrace.broker.status_ports.TotalsLog.read`."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 — programmer error: read before open
        now = await self._watch.again(consumer)
        if now is not None and self._watch.is_new(now):
            raise LogUnavailable(f"The topic {self._topic} was deleted and recreated.")
        try:
            got = await consumer.getmany(timeout_ms=timeout_ms, max_records=_RECORDS_A_READ)
        except (KafkaError, OSError) as error:
            raise LogUnavailable(self._unreadable(error)) from error
        return [Record(record.key, record.value) for records in got.values() for record in records]

    async def is_at_end(self) -> bool:
        """See `headrace.broker.status_ports.TotalsLog.is_at_end`."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 — programmer error: asked before open
        since_ms = time.time() * 1_000 - _SILENT_MAX_MS
        for place in consumer.assignment():
            end, answered_ms = consumer.last_stable_offset(place), consumer.last_poll_timestamp(place)
            if end is None or answered_ms is None or answered_ms < since_ms:
                return False
            if await consumer.position(place) < end:
                return False
        return True

    def _unreadable(self, error: BaseException) -> str:
        return f"The topic {self._topic} cannot be read: {words_of(error)}."

    async def close(self) -> None:
        """See `headrace.broker.status_ports.TotalsLog.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
