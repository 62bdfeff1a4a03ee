"""Outcomes for a waiting producer: the results topic followed from its end, and searched back for an earlier answer.

One consumer without a group serves all waits of a client. It is started before the first request is submitted, so no
outcome can slip between submitting and following. It checks the topic repeatedly (`watch`): an outcome may be in a
partition that was added since.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.connection import DENIED, KafkaConnection, denied
from headrace.broker.adapters.kafka.consumer import close_consumer, opened_consumer, start_consumer
from headrace.broker.adapters.kafka.read_back import ReadBack, answer_or_earlier, outcome_in
from headrace.broker.adapters.kafka.watch import TopicWatch, read_all
from headrace.broker.errors import Disconnected, HeadraceError
from headrace.broker.tasks import ended
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome

_POLL_MS = 1_000
_RECORDS_A_POLL = 500
_AFTER_ERROR_S = 0.5


class KafkaAnswers:
    """The results topic, followed for a client's waits."""

    def __init__(self, connection: KafkaConnection, *, topic: str, read_back_s: float) -> None:
        """It connects at the first wait; earlier outcomes are searched for in the last `read_back_s`."""
        self._connection = connection
        self._topic = topic
        self._waiting: dict[bytes, dict[asyncio.Future[Outcome], Expectation]] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._following: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._watch = TopicWatch(topic, connection)
        self._back = ReadBack(connection, topic=topic, window_s=read_back_s)

    @asynccontextmanager
    async def waiting(self, expected: Expectation, *, connect_s: float) -> AsyncIterator["asyncio.Future[Outcome]"]:
        """Yield a future that is resolved by the first outcome of the request published from now on.

        Raises:
            MissingTopic: There is no results topic.
            Unreachable: Kafka could not be reached within `connect_s`.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        key = expected.id.encode()
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, {})[answer] = expected
        try:
            await self._follow(asyncio.get_running_loop().time() + connect_s)
            yield answer
        finally:
            answer.cancel()
            waits = self._waiting[key]
            del waits[answer]
            if not waits:
                del self._waiting[key]

    async def _follow(self, until_s: float) -> None:
        async with self._starting:
            if self._following is None or self._following.done():
                self._consumer = await opened_consumer(self._connection, self._at_the_end, until_s)
                self._following = asyncio.create_task(self._run(self._consumer), name="follow results")

    async def _at_the_end(self, consumer: AIOKafkaConsumer) -> None:
        await start_consumer(consumer)
        now = await self._watch.first(consumer)
        places = [KafkaPartition(self._topic, number) for number in now.partitions]
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        for place, end in ends.items():
            consumer.seek(place, end)
        self._watch.reads(now)
        self._back.begin({place.partition: end for place, end in ends.items()}, anew=True)

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        try:
            reason = await self._followed(consumer)
        finally:
            await self._close_consumer()
        self._fail(reason)  # last, so that a wait that begins later finds this task done, and opens anew

    async def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)

    async def _followed(self, consumer: AIOKafkaConsumer) -> HeadraceError:
        """Follow the results; return the reason for the end."""
        while True:
            try:
                await self._look_again(consumer)
                records = await self._poll(consumer)
            except DENIED as reason:
                return denied(reason, self._connection, right="READ")
            except (KafkaError, OSError):
                await asyncio.sleep(_AFTER_ERROR_S)
            except Exception as error:  # noqa: BLE001 — aiokafka raises any kind of exception for a batch that it cannot unpack
                told = f"The results can no longer be followed ({type(error).__name__}): ask again with the same id."
                return Disconnected(told)
            else:
                for record in records:
                    self._back.passed(record)
                    self._resolve(record)

    async def _look_again(self, consumer: AIOKafkaConsumer) -> None:
        """Take up partitions that were added since, or another topic of the same name."""
        now = await self._watch.again(consumer)
        if now is None:
            return
        anew = self._watch.is_new(now)
        added = await read_all(consumer, self._topic, now, anew=anew)
        self._watch.reads(now)
        self._back.begin(added, anew=anew)

    async def _poll(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
        try:
            got = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
        except OffsetOutOfRangeError as reason:  # retention overtook us, or the topic was made anew and is shorter
            for place, start in (await consumer.beginning_offsets(list(reason.args[0]))).items():
                consumer.seek(place, start)
                self._back.begin({place.partition: start})
            return []
        return [record for records in got.values() for record in records]

    def _resolve(self, record: ConsumerRecord) -> None:
        waits = self._waiting.get(record.key or b"")
        outcome = outcome_in(record) if waits else None
        if outcome is None:
            return
        for answer, expected in (waits or {}).items():
            if not answer.done() and expected.concerns(outcome):
                answer.set_result(outcome)

    def _fail(self, reason: HeadraceError) -> None:
        for answer in [answer for waits in self._waiting.values() for answer in waits]:
            if not answer.done():
                answer.set_exception(reason)

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        """Return the awaited answer or an earlier outcome of the id, whichever is there first.

        Call it inside `waiting`, so that nothing is missed between what is read back and what is followed.
        """
        return await answer_or_earlier(self._back, request_id, answer, accepts)

    async def close(self) -> None:
        """Stop following, and cancel the remaining waits."""
        if self._following is not None:
            await ended(self._following)
        await self._close_consumer()  # a task that is cancelled before its first step runs no `finally`
        await self._back.close()
        for answer in [answer for waits in self._waiting.values() for answer in waits]:
            answer.cancel()
