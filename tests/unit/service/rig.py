"""Whole dispatchers on doubles, composed by hand, in the running loop's virtual time."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import Addressee
from headrace.broker.ports import LedgerLog, OffsetStore, TokenCounter, TransactionLog, UpstreamApi
from headrace.broker.price_ports import PriceList
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.containment import said
from headrace.broker.service.core_config import dispatch_rules
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.broker.service.spending.totals_topic import TotalsTopic
from headrace.broker.service.wiring import DispatcherDoors, assemble
from headrace.broker.settings.whole import Settings
from headrace.broker.spending.book import SpendingBook
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import (
    MemoryChunks,
    MemoryCoordinators,
    MemoryLane,
    MemoryLedger,
    MemoryOffsets,
    MemoryReplyTopics,
    MemoryTransactions,
)
from headrace.broker.testing.lease import MemoryBoard, MemoryLease, MemoryLeaseStore
from headrace.broker.testing.prices import MemoryPrices
from headrace.broker.testing.totals_door import MemoryTotals
from headrace.broker.testing.upstream import Script, ScriptedUpstream
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerRecord, decode_ledger
from headrace.schemas.record import Record

PREFIX = "t"
NAME = f"{PREFIX}.dispatcher"
WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)
MODEL = "gpt-4o-mini"


def settings_of(**groups: Any) -> Settings:
    plenty = {"tokens_per_minute": 600_000_000, "requests_per_minute": 600_000_000}
    return Settings(**({"kafka": {"topic_prefix": PREFIX}, "limits": {MODEL: plenty}} | groups))


def request(request_id: str, **fields: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Write to {request_id}"}]}
    return {"id": request_id, "body": body, **fields}


def grants_of(clock: WallClock, *, every_run: bool = False) -> Grants:
    """Grants without a key: no run but a first submission is believed, or every one."""
    letters = MemoryLane(KafkaLink(MemoryKafka(clock.utc_ms)), topic=topics.dead_letters_topic(PREFIX))
    return Grants(
        letters, clock, retention_ms=1, window_ms=4, secret=lambda size: b"s" * size, knows=lambda *_: every_run
    )


def proof_of(clock: WallClock, *, proved: bool = False) -> Proof:
    """What is known of the base URL; nothing, unless it is `proved`."""
    return Proof(Addressee(proved=proved), "https://api.openai.com/v1", clock, window_ms=4)


def bookkeeping_of(kafka: MemoryKafka, clock: WallClock) -> Bookkeeping:
    """The sums over outcomes; nothing is written before its topic is looked at."""
    topic = TotalsTopic(MemoryReplyTopics(KafkaLink(kafka)), topics.totals_topic(PREFIX), clock, said)
    numbers = count()
    book = SpendingBook(lambda: f"series-{next(numbers)}")
    return Bookkeeping(book, topic, counted=lambda _: None, observed=said)


class World:
    """One Kafka, one Redis, one OpenAI."""

    def __init__(self, *, latency_s: float = 1.0, script: Script | None = None, partitions: int = 2) -> None:
        loop = asyncio.get_running_loop()
        self.clock = WallClock(loop.time, lambda: WALL)
        self.kafka = MemoryKafka(self.clock.utc_ms)
        self.leases = MemoryLeaseStore(self.clock.utc_ms)
        self.upstream = ScriptedUpstream(latency_s=latency_s, script=script)
        self.partitions = partitions
        for lane in ("urgent", "standard", "bulk"):
            self.kafka.create(topics.requests_topic(PREFIX, lane), partitions)
        for topic in (topics.results_topic(PREFIX), topics.failures_topic(PREFIX), topics.dead_letters_topic(PREFIX)):
            self.kafka.create(topic, 2)
        self.kafka.create(topics.chunks_topic(PREFIX), 2)
        self.kafka.create(topics.ledger_topic(PREFIX))
        self.kafka.create(topics.control_topic(PREFIX))

    def submit(self, request_id: str, lane: str = "urgent", partition: int | None = None, **fields: Any) -> int:
        value = json.dumps(request(request_id, **fields)).encode()
        return self.kafka.append(topics.requests_topic(PREFIX, lane), Record(None, value), partition=partition)

    def cancel(self, request_id: str) -> int:
        value = json.dumps({"type": "cancel", "id": request_id}).encode()
        return self.kafka.append(topics.control_topic(PREFIX), Record(request_id.encode(), value))

    def outcomes(self) -> list[dict[str, Any]]:
        committed = self.kafka.committed(topics.results_topic(PREFIX))
        return [json.loads(fetched.record.value or b"") for fetched in committed]

    def counts(self) -> Counter[tuple[str, int]]:
        return Counter((outcome["id"], outcome["run"]) for outcome in self.outcomes())

    def dead_letters(self) -> list[Record]:
        return [fetched.record for fetched in self.kafka.committed(topics.dead_letters_topic(PREFIX))]

    def ledger(self) -> list[LedgerRecord]:
        committed = self.kafka.committed(topics.ledger_topic(PREFIX))
        return [decode_ledger(fetched.record.value or b"") for fetched in committed]

    def claims(self) -> list[tuple[int, str]]:
        return [(line.term, line.owner) for line in self.ledger() if line.kind.value == "claim"]

    def lease_key(self) -> str:
        return f"headrace:cluster:{NAME}"

    def holder(self) -> str | None:
        entry = self.leases.get(self.lease_key())
        return entry[0] if entry else None


class Process:
    """One dispatcher without its web server."""

    lease_type = MemoryLease
    lane_type = MemoryLane
    chunks_type = MemoryChunks
    replies_type = MemoryReplyTopics
    dice_type = random.Random

    def __init__(
        self, world: World, owner: str, *, settings: Settings | None = None, from_start: frozenset[str] = frozenset()
    ) -> None:
        self.world, self.owner = world, owner
        self.settings = settings or settings_of()
        self.link = KafkaLink(world.kafka)
        self.clock = world.clock
        self.dice = self.dice_type(owner)
        ttl_ms = dispatch_rules(self.settings).lease.ttl_ms
        self.lease = self.lease_type(world.leases, world.lease_key(), ttl_ms=ttl_ms, token=owner)
        self.chunks = self.chunks_type(self.link, topic=topics.chunks_topic(PREFIX))
        self.replies = self.replies_type(self.link)
        doors = DispatcherDoors(
            upstream=self.upstream(),
            lease=self.lease,
            ledger=self.ledger(),
            coordinators=MemoryCoordinators(self.link),
            offsets=self.offsets(),
            lane=self.lane,
            make_producer=self.producer,
            chunks=self.chunks,
            replies=self.replies,
            totals=MemoryTotals(self.link, topic=topics.totals_topic(PREFIX)),
            counter=self.counter(),
            board=MemoryBoard(world.leases, world.lease_key(), f"headrace:cluster:{PREFIX}.retrier"),
            prices=self.prices(),
        )
        made = assemble(
            self.settings, doors, clock=self.clock, owner=owner, dice=self.dice.random, from_start=from_start
        )
        self.dispatcher, self.core, self.driver, self.hold = made.dispatcher, made.core, made.driver, made.hold
        self.intakes, self.follower, self.promotion, self.leadership = (
            made.intakes,
            made.follower,
            made.promotion,
            made.leadership,
        )
        self.meter, self.telemetry, self.health = made.meter, made.telemetry, made.health
        self.status, self.whereabouts = made.status, made.whereabouts
        self.tasks: list[asyncio.Task[None]] = []

    def upstream(self) -> UpstreamApi:
        return self.world.upstream

    def producer(self) -> TransactionLog:
        return MemoryTransactions(self.link, transactional_id=NAME)

    def ledger(self) -> LedgerLog:
        return MemoryLedger(self.link, topic=topics.ledger_topic(PREFIX))

    def offsets(self) -> OffsetStore:
        return MemoryOffsets(self.link, group=NAME)

    def lane(self, topic: str) -> MemoryLane:
        return self.lane_type(self.link, topic=topic)

    def counter(self) -> TokenCounter:
        return RoughCounter()

    def prices(self) -> PriceList | None:
        return MemoryPrices()

    def start(self) -> "Process":
        self.tasks = [
            asyncio.create_task(self.driver.run(), name=f"{self.owner} driver"),
            asyncio.create_task(self.leadership.run(), name=f"{self.owner} leadership"),
        ]
        return self

    @property
    def leading(self) -> asyncio.Task[None]:
        return self.tasks[1]

    async def kill(self) -> None:
        """As SIGKILL: nothing of it reaches anybody any more."""
        self.die()
        await asyncio.wait(self.tasks)

    def die(self) -> None:
        """The same from within."""
        self.link.cut()
        self.lease.is_cut = True
        for task in self.tasks:
            task.cancel()

    async def end(self) -> None:
        """Leave in peace, and fail the test with whatever ended it before."""
        self.leadership.leave()
        await asyncio.wait({self.leading}, timeout=60)
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        for task in self.tasks:
            if not task.cancelled():
                task.result()

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        found = self.meter._registry.get_sample_value(name, dict(labels or {}))
        return 0.0 if found is None else found


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> float:
    """Wait in virtual time; how long it took, to 0.03 s or half a per cent.

    To look every 0.03 s took half of the turns of a loop in which an idle dispatcher waits for an hour.
    """
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    while not condition():
        waited_s = loop.time() - begun_s
        assert waited_s <= within_s, f"not within {within_s} s"
        await asyncio.sleep(max(0.03, min(waited_s / 200, within_s - waited_s)))
    return loop.time() - begun_s


async def led(process: Process, within_s: float = 30.0) -> float:
    return await until(lambda: process.health.role == "leader", within_s)


async def warmed(world: World) -> None:
    """One request first: until it has been answered, nobody knows how full the bucket is, and calls go out singly."""
    before = len(world.outcomes())
    world.submit("warm")
    await until(lambda: len(world.outcomes()) == before + 1)


async def feed(world: World) -> None:
    """A bad record every few milliseconds: each is settled in a transaction, without a call."""
    while True:
        world.submit(f"x{world.clock.now_ms()}", stream=True)
        await asyncio.sleep(0.02)


async def standing_by(process: Process) -> None:
    await until(lambda: process.health.role == "standby" and process.health.kafka_ready)


async def loaded(world: World, count: int, lane: str = "standard") -> None:
    """So many calls in flight."""
    await warmed(world)
    for number in range(count):
        world.submit(f"r{number}", lane)
    await until(lambda: world.upstream.inflight == count)
