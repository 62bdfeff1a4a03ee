"""Two releases that are too far apart: the older one cannot read what the newer has written, says so, and leads nobody.

The newer one is played: it writes the ledger, or the progress maps, in a form that this release does not know, and
reads its own. What was in flight and what was parked waits for it, and ends once.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import (
    LedgerLog,
    LedgerRow,
    OffsetStore,
    Outgoing,
    StoredOffset,
    TopicPartition,
    TransactionLog,
)
from headrace.broker.testing.kafka_doors import MemoryLedger, MemoryOffsets, MemoryTransactions
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas import topics
from headrace.schemas.codec import decode_failure, encode_retry
from headrace.schemas.dead_letter import Origin
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LEDGER, FAILURES = topics.ledger_topic(PREFIX), topics.failures_topic(PREFIX)


class LaterLedger(Process):
    """Writes lines of version 2."""

    def producer(self) -> TransactionLog:
        class Producer(MemoryTransactions):
            async def transact(
                self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
            ) -> Sequence[int]:
                return await super().transact(
                    [_later(each) if each.topic == LEDGER else each for each in records], offsets
                )

        return Producer(self.link, transactional_id=NAME)

    def ledger(self) -> LedgerLog:
        class Ledger(MemoryLedger):
            async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
                return [replace(row, value=_versioned(row.value, 1)) for row in await super().read(timeout_ms)]

        return Ledger(self.link, topic=LEDGER)


class LaterMaps(Process):
    """Writes maps of codec 2."""

    def producer(self) -> TransactionLog:
        class Producer(MemoryTransactions):
            async def transact(
                self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
            ) -> Sequence[int]:
                later = {place: _coded(stored, "hr1:", "hr2:") for place, stored in offsets.items()}
                return await super().transact(records, later)

        return Producer(self.link, transactional_id=NAME)

    def offsets(self) -> OffsetStore:
        class Offsets(MemoryOffsets):
            async def read(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
                found = await super().read(partitions)
                return {place: _coded(stored, "hr2:", "hr1:") for place, stored in found.items()}

        return Offsets(self.link, group=NAME)


def _later(outgoing: Outgoing) -> Outgoing:
    value = _versioned(outgoing.record.value or b"", 2)
    return replace(outgoing, record=replace(outgoing.record, value=value))


def _versioned(value: bytes, version: int) -> bytes:
    return json.dumps(json.loads(value) | {"v": version}).encode()


def _coded(stored: StoredOffset, before: str, after: str) -> StoredOffset:
    return replace(stored, metadata=stored.metadata.replace(before, after, 1))


def _shut(asked: Asked) -> Said | None:
    """The model of `parked` is used up for the day, at first."""
    message = "Rate limit reached on requests per day. Please try again in 7m12s."
    parks = asked.request_id == "parked" and asked.nth == 1
    return Said(429, {"error": {"message": message, "code": None, "type": "requests"}}) if parks else None


def put_back(world: World) -> None:
    """As the retrier does."""
    for number, log in enumerate(world.kafka.logs(FAILURES)):
        for fetched in log.committed():
            failure = decode_failure(fetched.record.value, fetched.record.headers)
            again = encode_retry(failure, Origin(FAILURES, number, fetched.offset))
            world.kafka.append(topics.requests_topic(PREFIX, failure.lane), again)


@pytest.mark.slow
@pytest.mark.parametrize("later", [LaterLedger, LaterMaps])
@pytest.mark.parametrize("stood_by", [True, False], ids=["it stood by", "it is started then"])
async def test_an_older_release_that_cannot_read_what_it_finds_leads_nobody_and_loses_nothing(
    later: type[Process], *, stood_by: bool
) -> None:
    world = World(latency_s=8.0, script=_shut)
    first = later(world, "later-1").start()
    await led(first)
    world.submit("done")
    await until(lambda: len(world.outcomes()) == 1)
    other = {"model": "gpt-4o", "messages": [{"role": "user", "content": "parks"}]}
    world.submit("parked", "bulk", body=other)
    await until(lambda: bool(world.kafka.committed(FAILURES)))
    older = Process(world, "older")
    if stood_by:
        older.start()
    for number in range(5):
        world.submit(f"flying-{number}")
    await until(lambda: world.upstream.inflight == 5)
    await asyncio.sleep(1)
    await first.kill()
    if not stood_by:
        older.start()
    before = dict(world.kafka.groups[NAME].stored)
    await until(older.leading.done, 10)
    with pytest.raises(ProgressUnreadable, match="release"):
        older.leading.result()
    older.tasks[0].cancel()
    assert world.kafka.groups[NAME].stored == before
    assert older.health.role != "leader"
    assert len(world.outcomes()) == 1
    second = later(world, "later-2").start()
    await led(second)
    put_back(world)
    await until(lambda: len(world.outcomes()) == 7)
    await asyncio.sleep(20)
    assert set(world.counts().values()) == {1}
    assert {outcome["status"] for outcome in world.outcomes()} == {"completed"}
    assert world.upstream.calls == {"done": 1, "parked": 2} | {f"flying-{number}": 2 for number in range(5)}
    await second.end()
