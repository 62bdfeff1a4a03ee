"""Whole retriers on doubles, in the running loop's virtual time."""

import asyncio
import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.ports import RetryDoors, TransactionLog
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.clock_check import ByTheLeader
from headrace.broker.service.leadership.lease_only import Elected, KafkaWatch
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryCoordinators, MemoryLane, MemoryOffsets, MemoryTransactions
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from headrace.consumers.retries.retrier import Retrier
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.consumers.retries.rules import RetrierRules
from headrace.schemas import topics
from headrace.schemas.codec import encode_failure
from headrace.schemas.failure import FailureKind, RetryableFailure, header_fields, key_fields
from headrace.schemas.instants import to_wire
from headrace.schemas.record import Record
from tests.unit.service.rig import until

PREFIX = "t"
NAME = f"{PREFIX}.retrier"
FAILURES = topics.failures_topic(PREFIX)
LANES = ("urgent", "standard", "bulk")
PLENTY = RetryBudgetRules(share=1.0, floor_per_s=10_000)
WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)


class World:
    """One Kafka, one Redis."""

    def __init__(self, *, partitions: int = 2) -> None:
        loop = asyncio.get_running_loop()
        self.clock = WallClock(loop.time, lambda: WALL)
        self.kafka = MemoryKafka(self.clock.utc_ms)
        self.leases = MemoryLeaseStore(self.clock.utc_ms)
        for lane in LANES:
            self.kafka.create(topics.requests_topic(PREFIX, lane), 2)
        self.kafka.create(FAILURES, partitions)
        self.kafka.create(topics.dead_letters_topic(PREFIX))

    def dispatchers_lease(self, token: str) -> MemoryLease:
        return MemoryLease(self.leases, f"headrace:cluster:{PREFIX}.dispatcher", ttl_ms=2_000, token=token)

    async def dispatcher_leads(self, *, off_s: float = 0, role: str = "leader", status: str | None = None) -> None:
        """Its status, as it leaves one each second, by a clock that is off by so much."""
        told = {"at": to_wire(self.clock.utc_now() + timedelta(seconds=off_s)), "role": role}
        await self.dispatchers_lease("d").publish_status(json.dumps(told) if status is None else status)

    def park(self, request_id: str, due_in_s: float, lane: str = "bulk", *, at_ms: int | None = None) -> datetime:
        """What the dispatcher writes; returns when it is due."""
        due = self.clock.utc_now() + timedelta(seconds=due_in_s)
        failure = RetryableFailure(
            id=request_id,
            kind=FailureKind.RATE_LIMITED,
            attempt=1,
            not_before=due,
            lane=lane,
            submitted_at=WALL - timedelta(hours=1),
            request={"id": request_id, "body": {"model": "m"}},
            headers=header_fields((("x", b"y"),)),
            **key_fields(b"acme"),
        )
        self.kafka.append(FAILURES, encode_failure(failure, time=self.clock.utc_now()), at_ms=at_ms)
        return failure.not_before

    def back(self, lane: str = "bulk") -> list[str]:
        """The ids on a lane, as often as they stand there."""
        committed = self.kafka.committed(topics.requests_topic(PREFIX, lane))
        return [json.loads(fetched.record.value or b"")["id"] for fetched in committed]

    def all_back(self) -> Counter[str]:
        return Counter(name for lane in LANES for name in self.back(lane))

    def dead_letters(self) -> list[Record]:
        return [fetched.record for fetched in self.kafka.committed(topics.dead_letters_topic(PREFIX))]


class Counted:
    """A `RetryCounter`."""

    def __init__(self) -> None:
        self.lanes: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.transactions: Counter[str] = Counter()
        self.contained_steps: Counter[str] = Counter()

    def put_back(self, lane: str) -> None:
        self.lanes[lane] += 1

    def dead_letter(self, reason: str) -> None:
        self.letters[reason] += 1

    def transaction(self, result: str, seconds: float) -> None:
        self.transactions[result] += 1

    def contained(self, step: str) -> None:
        self.contained_steps[step] += 1


class Process:
    """One retrier without its web server."""

    def __init__(
        self,
        world: World,
        owner: str,
        *,
        held_bytes_max: int = 1_000_000,
        from_start: bool = False,
        lanes: tuple[str, ...] = LANES,
        recommit_every_ms: int = 3_600_000,
        clock_error_s: float = 0,
        retry_budget: RetryBudgetRules = PLENTY,
        watch_type: type[KafkaWatch] = KafkaWatch,
    ) -> None:
        self.world, self.owner = world, owner
        error = timedelta(seconds=clock_error_s)
        self.clock = WallClock(asyncio.get_running_loop().time, lambda: world.clock.utc_now() + error)
        self.link, self.health, self.counted = KafkaLink(world.kafka), Health(), Counted()
        times = LeaseTimes()
        self.lease = MemoryLease(world.leases, f"headrace:cluster:{NAME}", ttl_ms=times.ttl_ms, token=owner)
        self.elected = Elected(
            self.lease,
            watch_type(MemoryLane(self.link, topic=FAILURES), MemoryCoordinators(self.link)),
            clock=self.clock,
            timekeeper=ByTheLeader(self.clock, world.dispatchers_lease(owner)),
            health=self.health,
            times=times,
            owner=owner,
            dice=random.Random(owner).random,
        )
        self.lanes = {lane: MemoryLane(self.link, topic=topics.requests_topic(PREFIX, lane)) for lane in lanes}
        self.doors = RetryDoors(
            failures=MemoryLane(self.link, topic=FAILURES),
            again=MemoryLane(self.link, topic=FAILURES),
            lanes=self.lanes,
            offsets=MemoryOffsets(self.link, group=NAME),
            make_producer=self.make_producer,
        )
        rules = RetrierRules(PREFIX, lanes, 1_000_000, held_bytes_max, retry_budget, from_start, recommit_every_ms)
        self.retrier = Retrier(self.doors, rules, self.counted, self.clock)
        self.task: asyncio.Task[None] | None = None

    def make_producer(self) -> TransactionLog:
        return MemoryTransactions(self.link, transactional_id=NAME)

    def start(self) -> "Process":
        self.task = asyncio.create_task(self.elected.run(self.retrier), name=self.owner)
        return self

    async def end(self) -> None:
        """Leave in peace."""
        assert self.task is not None
        self.elected.leave()
        await asyncio.wait_for(self.task, 20)

    async def kill(self) -> None:
        """As SIGKILL would: nothing is released, what is open stays open."""
        assert self.task is not None
        self.lease.is_cut = True
        self.link.cut()
        self.task.cancel()
        await asyncio.wait({self.task})


async def leading(world: World, owner: str = "a", **options: object) -> Process:
    process = Process(world, owner, **options).start()  # type: ignore[arg-type] # the options are the constructor's
    await until(lambda: process.health.role == "leader")
    return process
