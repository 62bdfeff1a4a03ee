"""A prefix of Kafka topics as the contract suites see it: our doors, and a hand on the server's side."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Protocol

from headrace.broker.on_demand_ports import OnDemandLog
from headrace.broker.ports import (
    Coordinators,
    Fetched,
    LaneLog,
    LedgerLog,
    OffsetStore,
    Outgoing,
    TransactionLog,
    UnreadableRange,
)
from headrace.broker.status_ports import TotalsLog
from headrace.schemas.record import Record

PARTITIONS = 2
"""Of the lane; the ledger has one, the results topic too."""


class Stranger(Protocol):
    """Somebody else's transaction on the lane: the retrier's."""

    async def write(self, partition: int, *values: bytes) -> None: ...

    async def commit(self) -> None: ...

    async def abort(self) -> None: ...


class KafkaWorld(Protocol):
    """One prefix, with the topics `lane_topic`, `ledger_topic`, `results_topic` and `totals_topic`, empty at first."""

    lane_topic: str
    ledger_topic: str
    results_topic: str
    totals_topic: str

    def producer(self) -> TransactionLog:
        """One more producer of the same transactional id."""

    def offsets(self) -> OffsetStore: ...

    def lane(self) -> OnDemandLog: ...

    def missing_lane(self) -> LaneLog:
        """The lane of a topic that does not exist."""

    def ledger(self) -> LedgerLog: ...

    def totals(self) -> TotalsLog: ...

    def missing_totals(self) -> TotalsLog:
        """That of a topic that does not exist."""

    def coordinators(self) -> Coordinators:
        """Those of the transactional id and the group of `producer` and `offsets`."""

    def stranger(self) -> Stranger: ...

    async def append(self, partition: int, *records: Record) -> None:
        """What a plain producer writes to the lane."""

    async def trim(self, partition: int, before: int) -> None:
        """What retention does to the lane."""

    async def trim_ledger(self, before: int) -> None:
        """What retention does to the ledger."""

    async def add_partition(self) -> None:
        """One more partition of the lane."""

    async def results(self) -> list[Record]:
        """All a `read_committed` reader sees of the results topic."""


def values(*texts: str) -> list[Record]:
    return [Record(None, text.encode()) for text in texts]


def outgoing(topic: str, *texts: str) -> list[Outgoing]:
    return [Outgoing(topic, record) for record in values(*texts)]


async def taken(log: LaneLog, partition: int, count: int, *, at_most: int = 50) -> list[Fetched]:
    """So many records of a partition, as a caller gets them: wait, take, and again."""
    got: list[Fetched] = []
    async with asyncio.timeout(30):
        while len(got) < count:
            some = await log.take(partition, min(at_most, count - len(got)))
            assert not isinstance(some, UnreadableRange)
            got.extend(some)
            if not some:
                await log.wait([partition], 200)
    return got


async def read(log: LedgerLog, count: int) -> list[bytes]:
    """So many lines, and whatever else stands before the end. A commit is readable only a moment after it returned."""
    rows: list[bytes] = []
    async with asyncio.timeout(30):
        while len(rows) < count or not await log.at_end():
            rows.extend(row.value for row in await log.read(200))
    return rows


def texts(records: Sequence[Fetched]) -> list[str]:
    return [(fetched.record.value or b"").decode() for fetched in records]


def bare(record: Record) -> Record:
    """A record whose headers are a tuple, whatever a client made of them."""
    return dataclasses.replace(record, headers=tuple(record.headers))
