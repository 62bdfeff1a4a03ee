"""Single read of one of our topics, from its beginning or a time to where it ended when the scan was opened.

It serves searches, not services that follow. No group, nothing committed, `read_committed`. It holds at most a
fetch of each partition, however long the topic is. Two kinds of silence must be told apart from a slow Kafka: a
consumer gets no error when the cluster is away, and none when it lacks the right to read. So a scan that waits in vain
queries its rights, which must be answered, and gives up when only the records fail to arrive.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import OffsetOutOfRangeError

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained, user_of
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.rights import seen
from headrace.broker.adapters.kafka.watch import topic_now
from headrace.broker.client_ports import StoredRecord
from headrace.broker.errors import RightsError, Unreachable
from headrace.schemas.record import Record, present

_WAIT_MS = 500
_RECORDS_A_TAKE = 500
_SILENCE_MAX_S = 20.0
_ANSWER_S = 10.0


class KafkaScan:
    """Scan of one topic; `partitions` are known once it is open.

    Attributes:
        partitions: Those of the topic, ascending.
        offsets: Number of offsets to go through; markers and aborted records count.
        firsts, ends: Where it begins and ends in each partition.
    """

    def __init__(self, connection: KafkaConnection, *, topic: str, since: datetime | None = None) -> None:
        """It connects at `open`; `since` is compared with Kafka's timestamps."""
        self.partitions: tuple[int, ...] = ()
        self.offsets = 0
        self.firsts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self._connection = connection
        self._topic = topic
        self._since = since
        self._consumer: AIOKafkaConsumer | None = None
        self._begins: dict[int, int] = {}
        self._left: dict[int, int] = {}

    @property
    def offsets_done(self) -> int:
        """Number of `offsets` already passed."""
        return self.offsets - sum(self._left.values())

    async def open(self) -> None:
        """Connect, and note where every partition begins and ends.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        consumer = make_consumer(self._connection)
        try:
            async with kafka_errors_explained(self._connection, right="READ"):
                await start_consumer(consumer)
                now = await topic_now(consumer._client, self._topic, self._connection)  # noqa: SLF001  # no public way
                await self._take_places(consumer, now.partitions)
        except BaseException:
            await close_consumer(consumer)
            raise
        self._consumer = consumer

    async def _take_places(self, consumer: AIOKafkaConsumer, numbers: Sequence[int]) -> None:
        places = [KafkaPartition(self._topic, number) for number in numbers]
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        first = dict(begins)
        if self._since is not None:
            since_ms = max(0, int(self._since.timestamp() * 1_000))
            found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
            first = {place: ends[place] if found[place] is None else found[place].offset for place in places}
        consumer.assign(places)
        self._begins = {place.partition: begins[place] for place in places}
        self.firsts = {place.partition: first[place] for place in places}
        self.ends = {place.partition: ends[place] for place in places}
        self.partitions = tuple(numbers)
        self._seek(consumer, self.firsts)  # no await in between: assign() has forgotten every position

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """Continue from the given offsets, one in each partition."""
        self._seek(self._opened(), offsets)

    def _seek(self, consumer: AIOKafkaConsumer, offsets: Mapping[int, int]) -> None:
        for number, offset in offsets.items():
            consumer.seek(KafkaPartition(self._topic, number), offset)
        self._left = {number: max(0, self.ends[number] - offset) for number, offset in offsets.items()}
        self.offsets = sum(self._left.values())

    async def take(self, partition: int) -> Sequence[StoredRecord]:
        """Return the next records of a partition; none: its end is reached, and stays reached.

        Raises:
            RightsError: Kafka does not let us read.
            Unreachable: Kafka is away.
        """
        place, end = KafkaPartition(self._topic, partition), self.ends[partition]
        consumer, silent_s = self._opened(), 0.0
        async with kafka_errors_explained(self._connection, right="READ"):
            while self._left[partition] and (at := await consumer.position(place)) < end:
                records = await self._fetched(consumer, place)
                if records:
                    self._left[partition] = max(0, end - records[-1].offset - 1)
                    return [_standing(record) for record in records if record.offset < end]
                if await consumer.position(place) == at:
                    silent_s += _WAIT_MS / 1_000
                    await self._why_silent(silent_s)
        self._left[partition] = 0
        return ()

    async def _fetched(self, consumer: AIOKafkaConsumer, place: KafkaPartition) -> list[ConsumerRecord]:
        try:
            got = await consumer.getmany(place, timeout_ms=_WAIT_MS, max_records=_RECORDS_A_TAKE)
        except OffsetOutOfRangeError:  # retention was faster
            consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
            return []
        return list(got.get(place, ()))

    async def _why_silent(self, silent_s: float) -> None:
        """Query whether Kafka answers and lets us read, and raise if not; keep waiting for a slow one."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                allowed = (await seen(self._connection, [self._topic])).allowed.get(self._topic)
        except TimeoutError:
            raise Unreachable(
                f"Kafka at {self._connection.bootstrap_servers} does not answer any more: try again."
            ) from None
        if allowed is not None and "READ" not in allowed:
            raise RightsError(
                f"Kafka does not allow {user_of(self._connection)} to read the topic {self._topic}: grant READ on it."
            )
        if silent_s >= _SILENCE_MAX_S:
            raise Unreachable(f"Kafka answers, and sends nothing of {self._topic}: a partition's leader may be away.")

    async def at(self, partition: int, offset: int) -> StoredRecord | None:
        """Return the record at exactly that offset, or None if a committed reader sees none there."""
        if not self._begins.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        self._opened().seek(KafkaPartition(self._topic, partition), offset)
        self._left[partition] = self.ends[partition] - offset
        first = next(iter(await self.take(partition)), None)
        return first if first is not None and first.offset == offset else None

    def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Unreachable("The scan is not connected: open it first.")
        return self._consumer

    async def close(self) -> None:
        """Close the connection; never hangs."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)


def _standing(record: ConsumerRecord) -> StoredRecord:
    content = Record(record.key, record.value, present(record.headers))
    return StoredRecord(record.topic, record.partition, record.offset, record.timestamp, content)
