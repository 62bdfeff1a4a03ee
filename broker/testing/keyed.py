"""Doors of a gateway to a `MemoryKafka`: a topic followed for single keys, and outcomes of a home partition."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.broker.client_ports import Follower, Home, StoredRecord
from headrace.broker.tasks import ended
from headrace.broker.testing.client_answers import MemoryAnswers, reached, read
from headrace.broker.testing.kafka import KafkaLink
from headrace.schemas.outcome import Outcome
from headrace.schemas.record import Record

HOME = 0


class MemoryKeyedLog:
    """See `headrace.broker.client_ports.KeyedLog`; its home is the first partition."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._followers: dict[bytes, list[Follower]] = {}
        self._next: dict[int, int] = {}
        self._running: asyncio.Task[None] | None = None

    async def home(self, *, connect_s: float) -> Home:
        """See `KeyedLog.home`."""
        await reached(self._link, connect_s)
        return Home(HOME, len(self._link.kafka.logs(self._topic)))

    def partition_of(self, key: bytes) -> int:
        """See `KeyedLog.partition_of`."""
        return self._link.kafka.partition_for(self._topic, Record(key, None))

    @asynccontextmanager
    async def following(self, key: bytes, follower: Follower, *, connect_s: float) -> AsyncIterator[None]:
        """See `KeyedLog.following`."""
        await self.home(connect_s=connect_s)
        if self._running is None:
            self._next = {number: log.end for number, log in enumerate(self._link.kafka.logs(self._topic))}
            self._running = asyncio.create_task(self._run(), name=f"follow {self._topic}")
        self._followers.setdefault(key, []).append(follower)
        try:
            yield
        finally:
            self._followers[key].remove(follower)
            if not self._followers[key]:
                del self._followers[key]

    async def _run(self) -> None:
        while True:
            if self._link.is_up and self._topic in self._link.kafka.topic_names():
                self._deliver()
            await self._link.changed()

    def _deliver(self) -> None:
        for number, log in enumerate(self._link.kafka.logs(self._topic)):
            got, self._next[number] = read(log, self._next.get(number, log.start))
            for fetched in got:
                record = fetched.record
                stored = StoredRecord(self._topic, number, fetched.offset, fetched.timestamp_ms, record)
                for follower in tuple(self._followers.get(record.key or b"", ())):
                    follower.deliver(stored)

    async def close(self) -> None:
        """See `KeyedLog.close`."""
        if self._running is not None:
            await ended(self._running)


class MemoryHomeAnswers(MemoryAnswers):
    """See `headrace.broker.client_ports.HomeAnswers`."""

    async def home(self, *, connect_s: float) -> Home:
        """See `KeyedLog.home`."""
        await reached(self._link, connect_s)
        return Home(HOME, len(self._link.kafka.logs(self._topic)))

    def partition_of(self, key: bytes) -> int:
        """See `KeyedLog.partition_of`."""
        return self._link.kafka.partition_for(self._topic, Record(key, None))

    async def earlier(self, request_id: str, *, connect_s: float) -> Outcome | None:
        """See `HomeAnswers.earlier`."""
        await reached(self._link, connect_s)
        return self.last_of(request_id)
