"""Outcomes for a producer that waits: the results topic followed from its end, and read back for an id answered before.

One consumer without a group serves all waits of a client. It is started before the first request is submitted, so no
outcome can slip between submitting and following.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.partitioner import DefaultPartitioner

from broker.adapters.kafka_connection import DENIED, KafkaConnection, kafka_errors_explained
from broker.adapters.kafka_lanes import close_consumer, make_consumer
from broker.errors import HeadraceError, MissingTopic, RightsError, Unreachable
from schemas.codec import WireError, decode_outcome
from schemas.outcome import Outcome

_POLL_MS = 1_000
_RECORDS_A_POLL = 500
_AFTER_ERROR_S = 0.5
_READING_BACK_MAX = 2
"""An hour of a busy results partition is a lot to read; more than two of them at once starve the rest."""


def partition_of(key: bytes, partitions: Iterable[int]) -> int:
    """Where Kafka's default partitioner (murmur2) puts a key; every producer in use agrees on it."""
    numbers = sorted(partitions)
    return int(DefaultPartitioner()(key, numbers, numbers))


class KafkaAnswers:
    """The results topic, as a client that waits sees it."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """Nothing is connected before the first wait."""
        self._connection = connection
        self._topic = topic
        self._waiting: dict[bytes, set[asyncio.Future[Outcome]]] = {}
        self._places: list[KafkaPartition] = []
        self._following: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._reading_back = asyncio.Semaphore(_READING_BACK_MAX)

    @asynccontextmanager
    async def waiting(self, request_id: str) -> AsyncIterator["asyncio.Future[Outcome]"]:
        """A future that the first outcome of this id published from now on resolves.

        Raises:
            MissingTopic: There is no results topic.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        key = request_id.encode()
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(answer)
        try:
            await self._follow()
            yield answer
        finally:
            answer.cancel()
            waits = self._waiting[key]
            waits.discard(answer)
            if not waits:
                del self._waiting[key]

    async def _follow(self) -> None:
        async with self._starting:
            if self._following is None or self._following.done():
                consumer = await self._opened()
                self._following = asyncio.create_task(self._run(consumer), name="follow results")

    async def _opened(self) -> AIOKafkaConsumer:
        """A consumer at the end of every partition of the results; tries until its caller's deadline."""
        while True:
            consumer = make_consumer(self._connection)
            try:
                async with kafka_errors_explained(self._connection):
                    await self._at_the_end(consumer)
            except Unreachable:
                await close_consumer(consumer)
                await asyncio.sleep(_AFTER_ERROR_S)
            except BaseException:
                await close_consumer(consumer)
                raise
            else:
                return consumer

    async def _at_the_end(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001  # the public way asks by name
        numbers = cluster.partitions_for_topic(self._topic)
        if not numbers:
            raise MissingTopic(self._topic)
        self._places = [KafkaPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(self._places)
        for place, end in (await consumer.end_offsets(self._places)).items():
            consumer.seek(place, end)

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                try:
                    records = await _poll(consumer)
                except DENIED:
                    self._fail(RightsError(f"Kafka does not let this user read {self._topic}: it needs READ on it."))
                    return
                except (KafkaError, OSError):
                    await asyncio.sleep(_AFTER_ERROR_S)
                else:
                    for record in records:
                        self._resolve(record)
        finally:
            await close_consumer(consumer)

    def _resolve(self, record: ConsumerRecord) -> None:
        waits = self._waiting.get(record.key or b"")
        outcome = _outcome(record) if waits else None
        if outcome is None:
            return
        for answer in waits or ():
            if not answer.done():
                answer.set_result(outcome)

    def _fail(self, reason: HeadraceError) -> None:
        for answer in [answer for waits in self._waiting.values() for answer in waits]:
            if not answer.done():
                answer.set_exception(reason)

    async def answered_before(self, request_id: str, *, since_ms: int) -> Outcome | None:
        """The outcome of the latest run of this id, among those published since that wall clock instant; or None.

        To be asked inside `waiting`, so that between what is read back here and what is followed nothing is missed.
        """
        async with self._reading_back, kafka_errors_explained(self._connection):
            consumer = make_consumer(self._connection)
            try:
                await consumer.start()
                key = request_id.encode()
                place = KafkaPartition(self._topic, partition_of(key, [place.partition for place in self._places]))
                consumer.assign([place])
                return await _read_back(consumer, place, key, since_ms)
            finally:
                await close_consumer(consumer)

    async def close(self) -> None:
        """Stop following; waits that are left are cancelled."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        for answer in [answer for waits in self._waiting.values() for answer in waits]:
            answer.cancel()


async def _poll(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
    try:
        got = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
    except OffsetOutOfRangeError as reason:  # retention overtook us
        for place, start in (await consumer.beginning_offsets(list(reason.args[0]))).items():
            consumer.seek(place, start)
        return []
    return [record for records in got.values() for record in records]


async def _read_back(consumer: AIOKafkaConsumer, place: KafkaPartition, key: bytes, since_ms: int) -> Outcome | None:
    end = (await consumer.end_offsets([place]))[place]
    start = (await consumer.offsets_for_times({place: since_ms}))[place]
    if start is None:
        return None
    consumer.seek(place, start.offset)
    latest: Outcome | None = None
    while await consumer.position(place) < end:
        got = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
        for record in got.get(place, ()):
            outcome = _outcome(record) if record.key == key else None
            if outcome is not None and (latest is None or outcome.run >= latest.run):
                latest = outcome
    return latest


def _outcome(record: ConsumerRecord) -> Outcome | None:
    with contextlib.suppress(WireError):
        return decode_outcome(record.value, record.headers)
    return None
