"""The door to the ledger: one partition, read in order, committed rows only."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_consumer import close_consumer, make_consumer, start_consumer
from broker.errors import LogUnavailable, MissingTopic, PositionGone
from broker.ports import LedgerRow

_ROWS_A_READ = 2_000


class KafkaLedger:
    """A `LedgerLog` on aiokafka."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """Nothing is connected before `open`."""
        self._connection = connection
        self._place = KafkaPartition(topic, 0)
        self._consumer: AIOKafkaConsumer | None = None

    async def open(self, from_wall_ms: int) -> None:
        """See `broker.ports.LedgerLog.open`.

        Raises:
            MissingTopic: There is no ledger.
            LogUnavailable: Kafka does not answer.
        """
        consumer = make_consumer(self._connection)
        try:
            await start_consumer(consumer)
            await self._check_there(consumer)
            consumer.assign([self._place])
            found = (await consumer.offsets_for_times({self._place: max(0, from_wall_ms)})).get(self._place)
            ends = await consumer.end_offsets([self._place])
            consumer.seek(self._place, ends[self._place] if found is None else found.offset)
        except BaseException as error:  # whoever is cancelled meanwhile leaves nothing open
            await close_consumer(consumer)
            if isinstance(error, KafkaError | OSError):
                raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {error}.") from error
            raise
        self._consumer = consumer

    async def _check_there(self, consumer: AIOKafkaConsumer) -> None:
        if self._place.topic not in await consumer.topics():
            raise MissingTopic(self._place.topic)

    def seek(self, offset: int) -> None:
        """See `broker.ports.LedgerLog.seek`."""
        self._opened().seek(self._place, offset)

    async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
        """See `broker.ports.LedgerLog.read`."""
        consumer = self._opened()
        try:
            got = await consumer.getmany(self._place, timeout_ms=timeout_ms, max_records=_ROWS_A_READ)
        except OffsetOutOfRangeError as error:
            raise PositionGone(f"The ledger {self._place.topic} does not hold what comes next: {error}.") from error
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {error}.") from error
        rows = got.get(self._place, ())
        return [LedgerRow(row.offset, row.timestamp, row.value) for row in rows if row.value is not None]

    async def at_end(self) -> bool:
        """See `broker.ports.LedgerLog.at_end`."""
        consumer = self._opened()
        try:
            ends = await consumer.end_offsets([self._place])
            return bool(await consumer.position(self._place) >= ends[self._place])
        except (KafkaError, OSError) as error:
            raise LogUnavailable(f"The ledger {self._place.topic} cannot be read: {error}.") from error

    def _opened(self) -> AIOKafkaConsumer:
        assert self._consumer is not None  # noqa: S101 — programmer error: read before open
        return self._consumer

    async def close(self) -> None:
        """See `broker.ports.LedgerLog.close`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
