"""Outcomes for a producer that waits: the results topic followed from its end, and read back for an id answered before.

One consumer without a group serves all waits of a client. It is started before the first request is submitted, so no
outcome can slip between submitting and following.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.partitioner import DefaultPartitioner

from broker.adapters.kafka_connection import DENIED, KafkaConnection, denied, kafka_errors_explained
from broker.adapters.kafka_consumer import close_consumer, make_consumer, start_consumer
from broker.adapters.kafka_rights import why_unseen
from broker.errors import HeadraceError, Unreachable
from broker.tasks import ended
from schemas.codec import WireError, decode_outcome
from schemas.outcome import Outcome

READ_BACK_S = 3_600
"""How far back to look for an outcome of an id that was submitted before: the default dedupe window."""
_POLL_MS = 1_000
_RECORDS_A_POLL = 500
_AFTER_ERROR_S = 0.5


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
        self._asked: dict[bytes, asyncio.Future[Outcome | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, request_id: str, *, connect_s: float) -> AsyncIterator["asyncio.Future[Outcome]"]:
        """A future that the first outcome of this id published from now on resolves.

        Raises:
            MissingTopic: There is no results topic.
            Unreachable: Kafka could not be reached within `connect_s`.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        key = request_id.encode()
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(answer)
        try:
            await self._follow(asyncio.get_running_loop().time() + connect_s)
            yield answer
        finally:
            answer.cancel()
            waits = self._waiting[key]
            waits.discard(answer)
            if not waits:
                del self._waiting[key]

    async def _follow(self, until_s: float) -> None:
        async with self._starting:
            if self._following is None or self._following.done():
                consumer = await self._opened(until_s)
                self._following = asyncio.create_task(self._run(consumer), name="follow results")

    async def _opened(self, until_s: float) -> AIOKafkaConsumer:
        """A consumer at the end of every partition of the results."""
        while True:
            consumer = make_consumer(self._connection)
            try:
                async with kafka_errors_explained(self._connection, right="READ"):
                    await self._at_the_end(consumer)
            except Unreachable:
                await close_consumer(consumer)
                if asyncio.get_running_loop().time() + _AFTER_ERROR_S > until_s:
                    raise
                await asyncio.sleep(_AFTER_ERROR_S)
            except BaseException:
                await close_consumer(consumer)
                raise
            else:
                return consumer

    async def _at_the_end(self, consumer: AIOKafkaConsumer) -> None:
        await start_consumer(consumer)
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001  # the public way asks by name
        numbers = cluster.partitions_for_topic(self._topic)
        if not numbers:
            raise await why_unseen(consumer._client, self._topic, self._connection)  # noqa: SLF001  # as above
        self._places = [KafkaPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(self._places)
        for place, end in (await consumer.end_offsets(self._places)).items():
            consumer.seek(place, end)

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                try:
                    records = await _poll(consumer)
                except DENIED as reason:
                    self._fail(denied(reason, self._connection, right="READ"))
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

    async def answered_before(self, request_id: str) -> Outcome | None:
        """The outcome of the latest run of this id, among those published in the last hour; or None.

        To be asked inside `waiting`, so that between what is read back here and what is followed nothing is missed.
        One pass over the topic serves everybody who asked before it began: an hour of it is a lot to read.

        Raises:
            Unreachable, RightsError: Kafka does not let us read, or answers with an error.
        """
        key = request_id.encode()
        if key not in self._asked:
            self._asked[key] = asyncio.get_running_loop().create_future()
        found = self._asked[key]
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_back(), name="read results back")
        return await asyncio.shield(found)

    async def or_earlier(self, request_id: str, answer: "asyncio.Future[Outcome]") -> Outcome:
        """The answer that is waited for, or the outcome of the last hour, whichever is there first."""
        reading = asyncio.create_task(self.answered_before(request_id), name=f"read back {request_id}")
        waits: set[asyncio.Future[Any]] = {answer, reading}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            # What cannot be read back is waited for: the outcome may still come, and the caller's deadline holds.
            unread = answer.done() or reading.cancelled() or reading.exception() is not None
            earlier = None if unread else reading.result()
            return earlier if earlier is not None else await answer
        finally:
            await ended(reading)

    async def _read_back(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                earlier = await self._one_pass(set(asked))
            except BaseException as reason:
                for found in asked.values():
                    if isinstance(reason, HeadraceError):
                        found.set_exception(reason)
                        found.exception()  # whoever asked may be gone
                    else:
                        found.cancel()
                if not isinstance(reason, HeadraceError):
                    raise
            else:
                for key, found in asked.items():
                    found.set_result(earlier.get(key))

    async def _one_pass(self, keys: set[bytes]) -> dict[bytes, Outcome]:
        async with kafka_errors_explained(self._connection, right="READ"):
            consumer = make_consumer(self._connection)
            try:
                await start_consumer(consumer)
                numbers = [place.partition for place in self._places]
                places = [
                    KafkaPartition(self._topic, number) for number in {partition_of(key, numbers) for key in keys}
                ]
                return await _latest(consumer, places, keys)
            finally:
                await close_consumer(consumer)

    async def close(self) -> None:
        """Stop following; waits that are left are cancelled."""
        for task in (self._following, self._reading):
            if task is not None:
                await ended(task)
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


async def _latest(consumer: AIOKafkaConsumer, places: list[KafkaPartition], keys: set[bytes]) -> dict[bytes, Outcome]:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    since_ms = time.time_ns() // 1_000_000 - READ_BACK_S * 1_000
    starts = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
    for place in places:
        consumer.seek(place, ends[place] if starts[place] is None else starts[place].offset)
    latest: dict[bytes, Outcome] = {}
    while any([await consumer.position(place) < ends[place] for place in places]):
        for record in await _poll(consumer):
            outcome = _outcome(record) if record.key in keys else None
            if outcome is not None and (record.key not in latest or outcome.run >= latest[record.key].run):
                latest[record.key] = outcome
    return latest


def _outcome(record: ConsumerRecord) -> Outcome | None:
    with contextlib.suppress(WireError):
        return decode_outcome(record.value, record.headers)
    return None
