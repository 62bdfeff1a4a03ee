"""Outcomes and dead letters as a plain `read_committed` consumer sees them come, and how long no outcome came."""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace.schemas import headers as names
from tests.hostile.sowing import is_hostile


@dataclass
class Reader:
    """Every record of a topic, from offset 0, while it is entered, as a plain `read_committed` consumer sees it.

    Attributes:
        troubles: What the consumer itself could not do; a user's consumer would see these.
    """

    bootstrap_servers: str
    topic: str
    partitions: int
    troubles: list[str] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read(), name=f"reader of {self.topic}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            group_id=None,
            fetch_max_wait_ms=100,
            request_timeout_ms=4_000,
            metadata_max_age_ms=10_000,
        )
        await consumer.start()
        try:
            places = [TopicPartition(self.topic, number) for number in range(self.partitions)]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, 0)
            while True:
                try:
                    got = await consumer.getmany(timeout_ms=200)
                except KafkaError as error:
                    self.troubles.append(f"{type(error).__name__}: {error}")
                    continue
                for records in got.values():
                    for record in records:
                        self.note(record)
        finally:
            stopping = asyncio.ensure_future(consumer.stop())
            await asyncio.wait({stopping}, timeout=3)

    def note(self, record: Any) -> None:
        """A record that came."""
        raise NotImplementedError


@dataclass
class Letters(Reader):
    """The dead letters.

    Attributes:
        origins: How many there are of each record, by its position: `topic/partition/offset`.
    """

    origins: Counter[str] = field(default_factory=Counter)

    def note(self, record: Any) -> None:
        """A dead letter."""
        self.origins[dict(record.headers)[names.ORIGIN].decode()] += 1


@dataclass
class Outcomes(Reader):
    """The results.

    Attributes:
        counts: How often each (id, run) was answered, those of hostile records included.
        hostile: How many there are of each (id, status) of hostile records, which nothing below counts.
        said: The last outcome of each id, without its answer.
        arrivals: When outcomes came, monotonic seconds.
        terms: The term of each, in the same order.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    hostile: Counter[tuple[str, str]] = field(default_factory=Counter)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    terms: list[int] = field(default_factory=list)

    def note(self, record: Any) -> None:
        """An outcome."""
        outcome = json.loads(record.value)
        self.counts[outcome["id"], outcome["run"]] += 1
        if is_hostile(outcome["id"]):
            self.hostile[outcome["id"], outcome["status"]] += 1
            return
        self.said[outcome["id"]] = {
            name: outcome.get(name) for name in ("status", "reason", "lane", "term", "attempts", "message")
        }
        self.arrivals.append(time.monotonic())
        self.terms.append(outcome["term"])

    def longest_pause(self, begin_s: float, end_s: float) -> tuple[float, float]:
        """The longest time without an outcome in that stretch: how long, and when it ended, from its beginning on."""
        within = [begin_s, *(at_s for at_s in self.arrivals if begin_s < at_s < end_s), end_s]
        return max(((after - before, after - begin_s) for before, after in pairwise(within)), default=(0.0, 0.0))

    async def until(self, answered: int, within_s: float) -> None:
        """Wait for so many ids."""
        async with asyncio.timeout(within_s):
            while len(self.said) < answered:
                await asyncio.sleep(0.05)
