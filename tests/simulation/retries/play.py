"""The real retrier on a Kafka in memory, in virtual time: many failures, due at random over an hour, and fresh work."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition, TransactionLog
from headrace.broker.testing.kafka_doors import MemoryTransactions
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.schemas.codec import encode_failure
from headrace.schemas.failure import FailureKind, RetryableFailure, key_fields
from headrace.schemas.headers import FAILURE
from headrace.schemas.record import Record
from headrace.schemas.topics import requests_topic
from tests.unit.consumers.rig import FAILURES, LANES, NAME, PREFIX, WALL, Process, World
from tests.unit.service.rig import until

SHARES = (0.1, 0.3, 0.6)
"""Of the lanes in their order, of retries and fresh work alike."""
PARTITIONS = 6
COMMIT_TAKES_S = 0.02
FEED_EVERY_S = 0.5
DEFAULT = RetryBudgetRules(share=0.2, floor_per_s=10)


@dataclass(slots=True)
class Played:
    """What became of it.

    Attributes:
        late_ms: By lane, how much later than due each was committed there, as they came.
        backwards: How many came after one of their lane that was due later.
        back: How often each came back, by where its failure stands.
        term: Of the last retrier.
        processor_s: Of this process, the doubles included.
    """

    late_ms: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    backwards: int = 0
    back: Counter[str] = field(default_factory=Counter)
    term: int = 0
    processor_s: float = 0


class Noting(Process):
    """A retrier whose commits are noted."""

    def __init__(
        self, world: World, owner: str, dues: Mapping[str, int], played: Played, rules: RetryBudgetRules
    ) -> None:
        self._dues, self._played = dues, played
        super().__init__(world, owner, retry_budget=rules)

    def make_producer(self) -> TransactionLog:
        return _Noted(self, self._dues, self._played)


class _Noted(MemoryTransactions):
    def __init__(self, process: Process, dues: Mapping[str, int], played: Played) -> None:
        super().__init__(process.link, transactional_id=NAME)
        self._clock, self._dues, self._played = process.world.clock, dues, played
        self._latest: Counter[str] = Counter()

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        written = await super().transact(records, offsets)
        now_ms, played = self._clock.utc_ms(), self._played
        for each in records:
            place, lane = dict(each.record.headers)[FAILURE].decode(), each.topic.rpartition(".")[2]
            due_ms = self._dues[place]
            played.back[place] += 1
            played.late_ms[lane].append(now_ms - due_ms)
            played.backwards += due_ms < self._latest[lane]
            self._latest[lane] = max(self._latest[lane], due_ms)
        return written


async def play(failures: int, *, over_s: float, fresh_per_s: float, retry_budget: RetryBudgetRules = DEFAULT) -> Played:
    """Until all are back."""
    dice, world, played = random.Random(8), World(partitions=PARTITIONS), Played()
    world.kafka.commit_takes_s = COMMIT_TAKES_S
    dues = dict(_parked(world, dice, over_s) for _ in range(failures))
    process = Noting(world, "a", dues, played, retry_budget)
    began_s = time.process_time()
    feeding = asyncio.create_task(_feed(world, fresh_per_s))
    process.start()
    await until(lambda: len(played.back) >= failures, over_s + 10 * failures)
    await asyncio.sleep(5)
    feeding.cancel()
    played.term, played.processor_s = process.health.term, time.process_time() - began_s
    await process.end()
    return played


def _parked(world: World, dice: random.Random, over_s: float) -> tuple[str, int]:
    """Where it stands, and when it is due: nothing before the retrier surely leads."""
    due = world.clock.utc_now() + timedelta(seconds=dice.uniform(10, 10 + over_s))
    number = world.kafka.partition_for(FAILURES, Record(dice.randbytes(8), None))
    failure = RetryableFailure(
        id=dice.randbytes(8).hex(),
        kind=FailureKind.OVERLOADED,
        attempt=1,
        not_before=due,
        lane=dice.choices(LANES, SHARES)[0],
        submitted_at=WALL - timedelta(hours=1),
        request={"body": {"model": "m", "messages": [{"role": "user", "content": "Write to this lead. " * 20}]}},
        **key_fields(dice.randbytes(1)),
    )
    offset = world.kafka.append(FAILURES, encode_failure(failure, time=world.clock.utc_now()), partition=number)
    return f"{FAILURES}/{number}/{offset}", int(due.timestamp() * 1_000)


async def _feed(world: World, fresh_per_s: float) -> None:
    """Fresh requests, shared among the lanes as retries are."""
    owed = dict.fromkeys(LANES, 0.0)
    while True:
        await asyncio.sleep(FEED_EVERY_S)
        for lane, share in zip(LANES, SHARES, strict=True):
            owed[lane] += fresh_per_s * share * FEED_EVERY_S
            while owed[lane] >= 1:
                owed[lane] -= 1
                world.kafka.append(requests_topic(PREFIX, lane), Record(None, b"{}"))
