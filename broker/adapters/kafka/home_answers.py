"""Outcomes for the waits of a gateway: read from its home partition, and from others only while an id there is awaited.

Otherwise as `outcomes`: the topic is followed before the request is sent, and searched back for an id that may have
been answered already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.keyed import KafkaKeyedLog
from headrace.broker.adapters.kafka.read_back import ReadBack, answer_or_earlier
from headrace.broker.client_ports import Home, StoredRecord
from headrace.broker.errors import HeadraceError
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome
from headrace.schemas.unreadable import read_outcome


class _Wait:
    """Follower of one id, for one wait."""

    def __init__(self, expected: Expectation, answer: "asyncio.Future[Outcome]") -> None:
        self._expected = expected
        self._answer = answer

    def deliver(self, record: StoredRecord) -> None:
        outcome = None if self._answer.done() else read_outcome(record.record)
        if outcome is not None and self._expected.concerns(outcome):
            self._answer.set_result(outcome)

    def fail(self, reason: HeadraceError) -> None:
        if not self._answer.done():
            self._answer.set_exception(reason)
            self._answer.exception()  # the wait may be gone


class KafkaHomeAnswers:
    """A `headrace.broker.client_ports.HomeAnswers` on aiokafka."""

    def __init__(self, connection: KafkaConnection, *, topic: str, read_back_s: float) -> None:
        """It connects at the first use; earlier outcomes are searched for in the last `read_back_s`."""
        self._back = ReadBack(connection, topic=topic, window_s=read_back_s)
        self._log = KafkaKeyedLog(connection, topic=topic, passage=self._back)
        self._answers: set[asyncio.Future[Outcome]] = set()

    async def home(self, *, connect_s: float) -> Home:
        """See `KeyedLog.home`."""
        return await self._log.home(connect_s=connect_s)

    def partition_of(self, key: bytes) -> int:
        """See `KeyedLog.partition_of`."""
        return self._log.partition_of(key)

    @asynccontextmanager
    async def waiting(self, expected: Expectation, *, connect_s: float) -> AsyncIterator["asyncio.Future[Outcome]"]:
        """See `AnswerLog.waiting`."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        try:
            async with self._log.following(expected.id.encode(), _Wait(expected, answer), connect_s=connect_s):
                yield answer
        finally:
            self._answers.discard(answer)
            answer.cancel()

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        """See `AnswerLog.or_earlier`; call it inside `waiting`."""
        return await answer_or_earlier(self._back, request_id, answer, accepts)

    async def earlier(self, request_id: str, *, connect_s: float) -> Outcome | None:
        """See `HomeAnswers.earlier`."""
        async with self.waiting(Expectation(request_id), connect_s=connect_s) as answer:
            found = await self._back.find(request_id)
            return answer.result() if found is None and answer.done() else found

    async def close(self) -> None:
        """Stop following, and cancel the remaining waits."""
        await self._log.close()
        await self._back.close()
        for answer in tuple(self._answers):
            answer.cancel()
