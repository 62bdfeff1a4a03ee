"""A Kafka in memory with dead letters in it, and replays on it, in the running loop's virtual time."""

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from headrace.broker.clock import WallClock
from headrace.broker.ports import OffsetStore, TransactionLog
from headrace.broker.testing.client_doors import MemoryClientDoors, MemoryScan
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryOffsets, MemoryTransactions
from headrace.consumers.replays.doors import ReplayDoors
from headrace.consumers.replays.job import ReplayRequest, transactional_id_of
from headrace.consumers.replays.replay import Replay, ReplayReceipt, ReplayRules, ReplayTally
from headrace.consumers.replays.verdicts import Lane
from headrace.schemas import topics
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.request_codec import DecodedRequest, decode_request

PREFIX = "t"
LETTERS = topics.dead_letters_topic(PREFIX)
RESULTS = topics.results_topic(PREFIX)
LANES = {"urgent": Lane(timedelta(hours=1), 900_000), "bulk": Lane(timedelta(days=5), 900_000)}
WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)
PARTITIONS = 3
EVERYTHING = ReplayRequest()


class Seen:
    """A `ReplayObserver`."""

    def __init__(self) -> None:
        self.receipts: list[ReplayReceipt] = []
        self.looked: list[tuple[int, int]] = []

    def looks(self, done: int, total: int) -> None:
        self.looked.append((done, total))

    def puts_back(self, receipts: Sequence[ReplayReceipt], tally: ReplayTally) -> None:
        self.receipts += receipts


class World:
    """One Kafka."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = WallClock(loop.time, lambda: WALL)
        self.kafka = MemoryKafka(self.clock.utc_ms)
        for lane in LANES:
            self.kafka.create(topics.requests_topic(PREFIX, lane), 2)
        self.kafka.create(LETTERS, PARTITIONS)
        self.kafka.create(RESULTS, 2)
        self.link = KafkaLink(self.kafka)
        self._numbers = 0

    def bury(
        self,
        request_id: str,
        *,
        ago_s: float = 60,
        lane: str = "bulk",
        partition: int | None = None,
        value: bytes | None = None,
        padding: int = 0,
        **fields: Any,
    ) -> int:
        """A dead letter, written when it failed; partitions take turns. Returns its offset."""
        failed_at = self.clock.utc_now() - timedelta(seconds=ago_s)
        body = {
            "id": request_id,
            "tenant": "acme",
            "body": {"model": "gpt-4o-mini", "messages": []},
            "metadata": {"x": "x" * padding},
        }
        told: dict[str, Any] = {"reason": "exhausted", "attempts": 8, "run": 0, "max_bytes": 1_000_000}
        self._numbers += 1
        record = encode_dead_letter(
            b"acme",
            json.dumps(body).encode() if value is None else value,
            (),
            origin=(topics.requests_topic(PREFIX, lane), 0, self._numbers),
            failed_at=failed_at,
            **(told | fields),
        )
        number = self._numbers % PARTITIONS if partition is None else partition
        return self.kafka.append(LETTERS, record, partition=number, at_ms=round(failed_at.timestamp() * 1_000))

    def answer(self, request_id: str, run: int, *, status: str = "completed", ago_s: float = 0) -> None:
        """What the dispatcher publishes."""
        at = self.clock.utc_now() - timedelta(seconds=ago_s)
        outcome = (
            Completed(id=request_id, run=run, response={})
            if status == "completed"
            else Failed(id=request_id, run=run, reason="exhausted", message="No.")
        )
        self.kafka.append(RESULTS, encode_outcome(outcome, time=at), at_ms=round(at.timestamp() * 1_000))

    def replay(self, asked: ReplayRequest = EVERYTHING, *, per_s: float = 50, **rules: Any) -> "Run":
        return Run(self, asked, ReplayRules(PREFIX, LANES, per_s=per_s, **rules))

    def back(self, *lanes: str) -> list[DecodedRequest]:
        """What a reader of the lanes finds."""
        found = [
            decode_request(each.record.value, each.record.headers)
            for lane in lanes or LANES
            for each in self.kafka.committed(topics.requests_topic(PREFIX, lane))
        ]
        assert all(isinstance(each, DecodedRequest) for each in found)
        return [each for each in found if isinstance(each, DecodedRequest)]

    def counts(self) -> Counter[tuple[str, int]]:
        return Counter((each.request.id, each.run) for each in self.back())

    def ids(self, *lanes: str) -> list[str]:
        return sorted(each.request.id for each in self.back(*lanes))


class Waiting:
    """A door that takes its time before and after whatever it is asked, as one to a real server does."""

    def __init__(self, door: object) -> None:
        self._door = door

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._door, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def waited(*positional: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            answer = await found(*positional, **named)
            await asyncio.sleep(0)
            return answer

        return waited


class WaitingClients(MemoryClientDoors):
    """Scans that wait."""

    def scan(self, topic: str, *, since: datetime | None) -> MemoryScan:
        return cast("MemoryScan", Waiting(super().scan(topic, since=since)))


class Run:
    """One process that replays, on a link of its own."""

    def __init__(self, world: World, asked: ReplayRequest, rules: ReplayRules) -> None:
        self.link, self.seen = KafkaLink(world.kafka), Seen()
        self.producers = 0

        def producer_of(group: str) -> TransactionLog:
            self.producers += 1
            made = MemoryTransactions(self.link, transactional_id=transactional_id_of(PREFIX), group=group)
            return cast("TransactionLog", Waiting(made))

        doors = ReplayDoors(
            clients=WaitingClients(world.kafka, self.link),
            offsets_of=lambda group: cast("OffsetStore", Waiting(MemoryOffsets(self.link, group=group))),
            producer_of=producer_of,
        )
        self.work = Replay(doors, asked, rules, clock=world.clock, watcher=self.seen)

    async def __call__(self, *, dry: bool = False) -> ReplayTally:
        """To its end."""
        await self.work.open(dry=dry)
        try:
            return await self.work.run()
        finally:
            await self.work.close()


def buried(world: World, number: int, *, prefix: str = "lead") -> list[str]:
    """So many, the oldest first."""
    names = [f"{prefix}-{each}" for each in range(number)]
    for place, name in enumerate(names):
        world.bury(name, ago_s=3_000 - place)
    return names


async def killed_at(run: Run, step: int) -> bool:
    """Let it go on until it has waited so many times, then kill it there; True if it came to its end before."""
    return await _Killed(run, step)


class _Killed:
    """Drives a run by hand, from one await to the next."""

    def __init__(self, run: Run, step: int) -> None:
        self._run = run
        self._step = step

    def __await__(self) -> Generator[Any, Any, bool]:
        going = self._run().__await__()
        waits = next(going)
        for _ in range(self._step - 1):
            waits = yield from _on(going, waits)
            if waits is _ENDED:
                return True
        self._run.link.cut()  # as by SIGKILL: nothing that it does on its way out reaches Kafka
        with suppress(asyncio.CancelledError):
            waits = going.throw(asyncio.CancelledError())
            while waits is not _ENDED:
                waits = yield from _on(going, waits)
        return False


_ENDED = object()


def _on(going: Generator[Any, Any, Any], waits: Any) -> Generator[Any, Any, Any]:
    """To the next await; what the loop throws meanwhile, as a time-out does, is thrown on."""
    thrown: asyncio.CancelledError | None = None
    try:
        yield waits
    except asyncio.CancelledError as error:
        thrown = error
    try:
        return next(going) if thrown is None else going.throw(thrown)
    except StopIteration:
        return _ENDED
