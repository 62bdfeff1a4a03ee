"""Runs of one batch that are killed at any await, and run side by side: each line comes back once all the same."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from headrace.broker.batch_ports import RecordStretch
from headrace.broker.client_ports import Appended, Pending
from headrace.broker.gateway.batches.batch_object import status_of
from headrace.broker.gateway.batches.catalogue import CatalogueFollower
from headrace.broker.gateway.batches.records import (
    BatchCancelAsked,
    BatchCreated,
    BatchFinished,
    ResultsPlace,
    StoredParts,
)
from headrace.broker.gateway.batches.run import BatchRun
from headrace.broker.gateway.batches.store import BatchStore, FoldedBatch
from headrace.broker.testing.batch_doors import MemoryBatchDoors
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.schemas.record import Record
from headrace.schemas.topics import batches_topic, results_topic
from tests.long_proofs import with_long
from tests.unit.gateway.batches.world import PREFIX, custom_ids, jsonl, numbered

pytestmark = [pytest.mark.slow, pytest.mark.virtual_time, pytest.mark.looptime]

LINES = 450
SEEDS = with_long(range(40), 2)
"""Of an even one a run is alone, of an odd one two are side by side."""
WORST = with_long([1, 0, *range(2, 40)], 1)
_T = TypeVar("_T")


@dataclass
class Lagging:
    """A process's doors with a lag before and after each effect: it may die before it, or before it learns of it."""

    link: KafkaLink
    dice: random.Random

    def __post_init__(self) -> None:
        doors = MemoryBatchDoors(self.link.kafka, self.link)
        self._log, self._submit = doors.seekable(), doors.submissions()

    async def _late(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        await asyncio.sleep(self.dice.uniform(0, 0.02))
        answer = await ask()
        await asyncio.sleep(self.dice.uniform(0, 0.02))
        return answer

    async def ends(self, topic: str) -> dict[int, int]:
        return await self._late(lambda: self._log.ends(topic))

    async def begins(self, topic: str) -> dict[int, int]:
        return await self._late(lambda: self._log.begins(topic))

    async def read(self, topic: str, partition: int, offset: int) -> RecordStretch:
        return await self._late(lambda: self._log.read(topic, partition, offset))

    async def append(self, topic: str, partition: int, record: Record, *, timeout_s: float) -> Appended:
        return await self._late(lambda: self._log.append(topic, partition, record, timeout_s=timeout_s))

    def partition_of(self, key: bytes, partitions: int) -> int:
        return self._log.partition_of(key, partitions)

    async def close(self) -> None: ...


@dataclass
class LaggingSubmit:
    """The lanes of such a process."""

    link: KafkaLink
    dice: random.Random

    def __post_init__(self) -> None:
        self._submit = MemoryBatchDoors(self.link.kafka, self.link).submissions()

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        return await self._submit.append(topic, record, timeout_s=timeout_s)

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        if self.dice.random() < 0.05:
            await asyncio.sleep(self.dice.uniform(0, 0.02))
        return await self._submit.begin(topic, record, timeout_s=timeout_s)

    async def check(self, topic: str) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Played:
    """One seed."""

    seed: int
    window_s: int = 86_400
    dice: random.Random = field(init=False)
    runs: list[tuple[asyncio.Task[None], KafkaLink]] = field(default_factory=list)
    leaders_killed: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    async def play(self, *, cancels: bool = False) -> "Seen":
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(MemoryBroker(latency_s=0.2))
            broker.kafka.create(batches_topic(PREFIX), 12)
            link = KafkaLink(broker.kafka)
            store = BatchStore(MemoryBatchDoors(broker.kafka, link).seekable(), PREFIX, lambda: now(broker))
            created = await begun(store, broker, self.window_s)
            stack.push_async_callback(self._kill_all)
            for _ in range(1 + self.seed % 2):  # alone, or two side by side
                self.start(broker, created)
            disturbances = self.dice.randint(2, 6)
            cancel_at = self.dice.randrange(disturbances) if cancels else None
            for number in range(disturbances):
                await asyncio.sleep(self.dice.uniform(0.02, 0.5))
                if number == cancel_at:
                    await store.append(created, BatchCancelAsked())
                else:
                    await self._disturb(broker, created)
            async with asyncio.timeout(3_000):
                follower = CatalogueFollower(store.log, store.topic)
                while (found := (await follower.refresh()).batch("acme", created.id)) is None or found.finished is None:
                    await asyncio.sleep(0.5)
                    if all(task.done() for task, _ in self.runs):
                        for task, _ in self.runs:
                            task.result()
            return await seen(store, created, found.finished, broker)

    async def _disturb(self, broker: MemoryBroker, created: BatchCreated) -> None:
        if self.dice.random() < 0.3:
            self.leaders_killed += 1
            await broker.crash()
        else:
            await kill(*self.runs.pop(self.dice.randrange(len(self.runs))))
            await asyncio.sleep(self.dice.choice((0, 1.5)))
            self.start(broker, created)

    def start(self, broker: MemoryBroker, created: BatchCreated) -> None:
        link = KafkaLink(broker.kafka)
        store = BatchStore(Lagging(link, self.dice), PREFIX, lambda: now(broker))
        run = BatchRun(store, LaggingSubmit(link, self.dice), PREFIX, created, broker.kafka.utc_ms)
        self.runs.append((asyncio.create_task(run.run()), link))

    async def _kill_all(self) -> None:
        for task, link in self.runs:
            await kill(task, link)


async def kill(task: asyncio.Task[None], link: KafkaLink) -> None:
    link.cut()
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def now(broker: MemoryBroker) -> datetime:
    return datetime.fromtimestamp(broker.kafka.utc_ms() / 1_000, UTC)


async def begun(store: BatchStore, broker: MemoryBroker, window_s: int) -> BatchCreated:
    content = jsonl(*numbered(LINES))
    offsets = [
        await store.append_part(1, "file-1", "acme", content[at : at + 20_000]) for at in range(0, len(content), 20_000)
    ]
    partition, start = await store.place_for_batch()
    ends = await store.log.ends(results_topic(PREFIX))
    now_s = int(now(broker).timestamp())
    created = BatchCreated(
        id="batch_1",
        tenant="acme",
        key="ada",
        lane="bulk",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        source=StoredParts(partition=1, offsets=tuple(offsets), size=len(content)),
        window="24h",
        created_s=now_s,
        expires_s=now_s + window_s,
        partition=partition,
        start=start,
        results=ResultsPlace(home=3, ends=tuple(ends.values())),
    )
    await store.list_in_catalogue(created)
    return created


@dataclass
class Seen:
    """What came back."""

    about: dict[str, Any]
    output: list[str]
    errors: list[str]
    calls: int
    calls_max: int
    completed: int


async def seen(store: BatchStore, created: BatchCreated, finished: BatchFinished, broker: MemoryBroker) -> Seen:
    async def whole(pieces: AsyncIterator[bytes]) -> bytes:
        return b"".join([piece async for piece in pieces])

    output = await whole(store.answers(created, finished.end, is_output=True))
    errors = await whole(store.answers(created, finished.end, is_output=False))
    assert (len(output), len(errors)) == (finished.output_bytes, finished.error_bytes)
    state = await FoldedBatch(store, created).refresh()
    assert status_of(state) == finished.batch["status"]
    calls = broker.calls_by_id
    completed = sum(outcome.status == "completed" for outcome in broker.outcomes)
    return Seen(
        finished.batch, custom_ids(output), custom_ids(errors), calls.total(), max(calls.values(), default=0), completed
    )


ALL = sorted(f"lead-{number}" for number in range(LINES))


def check(found: Seen) -> None:
    assert sorted(found.output + found.errors) == ALL
    counts = {"total": LINES, "completed": len(found.output), "failed": len(found.errors)}
    assert found.about["request_counts"] == counts


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_line_comes_back_once_whatever_dies(seed: int) -> None:
    played = Played(seed)
    found = await played.play()
    check(found)
    assert (found.about["status"], found.errors) == ("completed", [])
    assert found.calls_max <= 1 + played.leaders_killed, "a gateway that dies costs no call"


@pytest.mark.parametrize("seed", WORST)
async def test_a_batch_that_is_cancelled_meanwhile_keeps_what_was_answered(seed: int) -> None:
    played = Played(seed)
    found = await played.play(cancels=True)
    check(found)
    assert found.about["status"] in {"cancelled", "completed"}
    assert len(found.output) == found.completed, "an answer that was paid is handed out"


@pytest.mark.parametrize("seed", WORST)
async def test_a_batch_that_expires_meanwhile_keeps_what_was_answered(seed: int) -> None:
    found = await Played(seed, window_s=1 + seed % 3).play()
    check(found)
    assert found.about["status"] in {"expired", "completed"}
    assert len(found.output) == found.completed


@pytest.mark.parametrize("killed_after_s", with_long([0.2, 0.5, 0.1, 0.3, 0.4, 0.6], 2))
async def test_a_batch_that_rests_for_longer_than_the_dedupe_window_pays_no_line_twice(killed_after_s: float) -> None:
    played = Played(0)
    async with MemoryBroker(latency_s=0.01, settings={"dedupe": {"window_s": 60}}) as broker:
        broker.kafka.create(batches_topic(PREFIX), 12)
        link = KafkaLink(broker.kafka)
        store = BatchStore(MemoryBatchDoors(broker.kafka, link).seekable(), PREFIX, lambda: now(broker))
        created = await begun(store, broker, 86_400)
        played.start(broker, created)
        await asyncio.sleep(killed_after_s)
        await kill(*played.runs.pop())
        await asyncio.sleep(600)
        played.start(broker, created)
        async with asyncio.timeout(600):
            await played.runs[0][0]
        assert len(broker.calls_by_id) == LINES
        assert max(broker.calls_by_id.values()) == 1
