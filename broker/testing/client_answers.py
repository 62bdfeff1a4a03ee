"""The results topic of a `MemoryKafka` for a waiting producer, and helpers shared by all readers there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headrace.broker.errors import Unreachable
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.tasks import ended
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_log import PartitionLog
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome, sent_as
from headrace.schemas.unreadable import read_outcome

_RECORDS_A_FETCH = 200


class MemoryAnswers:
    """See `headrace.broker.client_ports.AnswerLog`."""

    def __init__(self, link: KafkaLink, *, topic: str, read_back_s: float) -> None:
        self._link = link
        self._topic = topic
        self._read_back_s = read_back_s
        self._waiting: dict[str, dict[asyncio.Future[Outcome], Expectation]] = {}
        self._next: dict[int, int] = {}
        self._topic_id = ""
        self._following: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, expected: Expectation, *, connect_s: float) -> AsyncIterator["asyncio.Future[Outcome]"]:
        """See `AnswerLog.waiting`."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(expected.id, {})[answer] = expected
        try:
            await self._follow(connect_s)
            yield answer
        finally:
            answer.cancel()
            del self._waiting[expected.id][answer]
            if not self._waiting[expected.id]:
                del self._waiting[expected.id]

    async def _follow(self, connect_s: float) -> None:
        await reached(self._link, connect_s)
        logs = self._link.kafka.logs(self._topic)
        if self._following is None or self._following.done():  # closed: the next wait opens anew, as the real one
            self._next = {number: log.end for number, log in enumerate(logs)}
            self._topic_id = self._link.kafka.topic_id(self._topic)
            self._following = asyncio.create_task(self._run(), name="follow results")

    async def _run(self) -> None:
        while True:
            if self._link.is_up and self._topic in self._link.kafka.topic_names():
                self._look_again()
                for number, log in enumerate(self._link.kafka.logs(self._topic)):
                    got, self._next[number] = read(log, self._next[number])
                    for fetched in got:
                        self._resolve(fetched)
            await self._link.changed()

    def _look_again(self) -> None:
        """Read added partitions from their first records, and so a topic that was made anew."""
        topic_id = self._link.kafka.topic_id(self._topic)
        if topic_id != self._topic_id:
            self._topic_id = topic_id
            self._next.clear()
        for number, log in enumerate(self._link.kafka.logs(self._topic)):
            self._next.setdefault(number, log.start)

    def _resolve(self, fetched: Fetched) -> None:
        outcome = read_outcome(fetched.record)
        if outcome is None:
            return
        for answer, expected in self._waiting.get(sent_as(outcome), {}).items():
            if not answer.done() and expected.concerns(outcome):
                answer.set_result(outcome)

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        """See `AnswerLog.or_earlier`."""
        last = self.last_of(request_id)
        return last if last is not None and accepts(last) else await answer

    def last_of(self, request_id: str) -> Outcome | None:
        """Return the outcome of an id within the window, of its latest run."""
        since_ms = self._link.kafka.utc_ms() - self._read_back_s * 1_000
        found = [
            outcome
            for fetched in self._link.kafka.committed(self._topic)
            if fetched.timestamp_ms >= since_ms
            and (outcome := read_outcome(fetched.record))
            and outcome.id == request_id
        ]
        return max(reversed(found), key=lambda outcome: outcome.run, default=None)

    async def close(self) -> None:
        """See `AnswerLog.close`."""
        if self._following is not None:
            await ended(self._following)
        for answer in [answer for waits in self._waiting.values() for answer in waits]:
            answer.cancel()


async def reached(link: KafkaLink, within_s: float | None = None) -> None:
    """Return once Kafka answers.

    Raises:
        Unreachable: It did not in time.
    """
    try:
        await link.reach(within_s)
    except TimeoutError as reason:
        raise Unreachable("Kafka does not answer: it is away.") from reason


def read(log: PartitionLog, position: int) -> tuple[list[Fetched], int]:
    """Read the records at `position`; return them with the next position, past everything a reader never sees."""
    got, after = log.read(position, _RECORDS_A_FETCH)
    if isinstance(got, UnreadableRange):
        return [], after
    behind, _ = log.read(after, 1)
    return got, after if behind else max(after, log.stable_end)
