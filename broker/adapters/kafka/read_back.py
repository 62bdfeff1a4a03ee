"""Search of the dedupe window for outcomes by id, for a client with an id that may be answered already.

The results topic has no index by key, and an hour of it is gigabytes at 500 outcomes a second. So one search serves all
ids that are waited for. It reads backwards in slices from where the client began to follow the topic, only in the
partitions that can hold the ids, and only while one of them is still waited for. Keys that it has passed are remembered
(`key_index`), and so are those of later records. Each record is therefore read back at most once, however many ids are
searched. A value is decoded only where its key is one of those searched.

A key belongs to the partition of its hash *by the number of partitions at that time*. Where partitions may have been
added within the window, the partitions by every former number are searched as well.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.partitioner import murmur2

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.key_index import KeyIndex
from headrace.broker.errors import HeadraceError
from headrace.broker.tasks import ended
from headrace.schemas.outcome import Outcome
from headrace.schemas.record import Record, present
from headrace.schemas.unreadable import read_outcome

READ_BACK_AFTER_S: Final = 1.0
"""Time to wait for the outcome before searching for an earlier one: most ids are submitted for the first time."""
MARGIN_S: Final = 60.0
"""Extra time searched before the window, because the dispatcher's window goes by its ledger's clock."""
_SLICE_FIRST, _SLICE_MAX = 2_000, 16_000
_POSITIVE: Final = 0x7FFF_FFFF
_POLL_MS = 1_000
_RECORDS_A_POLL = 500


def partitions_of(key: bytes, counts: Iterable[int]) -> list[int]:
    """List a key's partitions for each partition count, by Kafka's default partitioner (murmur2), as producers do."""
    hashed = murmur2(key) & _POSITIVE
    return list(dict.fromkeys(hashed % count for count in counts))


@dataclass(frozen=True, slots=True)
class _Window:
    """Offset at which the window begins in each partition, and the lowest number of partitions within the window."""

    floors: dict[int, int]
    fewest: int

    def places_of(self, key: bytes) -> list[int]:
        """List the partitions that may hold a key, the present one first."""
        return partitions_of(key, range(len(self.floors), self.fewest - 1, -1))


@dataclass(frozen=True, slots=True)
class _Sought:
    """Keys searched in one partition, and the outcomes found so far.

    `ranks` holds run and offset of each outcome found here, because slices are read from the end.
    """

    keys: set[bytes]
    found: dict[bytes, Outcome]
    ranks: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    @property
    def left(self) -> set[bytes]:
        """The keys not found yet."""
        return self.keys - self.found.keys()

    def observe(self, record: ConsumerRecord) -> None:
        """Keep the outcome of the latest run, and within one run the last; skip an outcome of another id."""
        outcome = outcome_in(record) if record.key in self.keys else None
        if outcome is None or outcome.id.encode() != record.key:
            return
        rank = outcome.run, record.offset
        if record.key not in self.found or rank > self.ranks[record.key]:
            self.found[record.key], self.ranks[record.key] = outcome, rank


class ReadBack:
    """Backwards search of the results topic. Its follower reports through `begin` and `passed`.

    Attributes:
        records_read: Number of records read back.
    """

    def __init__(self, connection: KafkaConnection, *, topic: str, window_s: float) -> None:
        """It connects at the first search."""
        self.records_read = 0
        self._connection = connection
        self._topic = topic
        self._window_s = window_s + MARGIN_S
        self._index = KeyIndex()
        self._partitions: tuple[int, ...] = ()
        self._window: _Window | None = None
        self._wanted: Counter[bytes] = Counter()
        self._asked: dict[bytes, asyncio.Future[Outcome | None]] = {}
        self._searching: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ following

    def begin(self, offsets: dict[int, int], *, anew: bool = False, count: int | None = None) -> None:
        """Note that the topic is followed from these offsets; `anew`: in these partitions only, forgetting the rest.

        `count` is the number of the topic's partitions; without it, all that were named are followed.
        """
        if offsets:
            self._window = None
        if anew:
            self._index.clear()
        for number, offset in offsets.items():
            self._index.begin(number, offset)
        known = max([*offsets, *(() if anew else self._partitions)], default=-1) + 1
        self._partitions = tuple(range(known if count is None else count))

    def leave(self, partition: int) -> None:
        """Note that this partition is followed no longer."""
        self._index.leave(partition)

    def passed(self, record: ConsumerRecord) -> None:
        """Add a followed record to the index."""
        self._index.add(record.partition, record.offset, record.key or b"")

    def knows(self, request_id: str) -> bool:
        """Whether a record of this id is in the index, so that a search finds it at once."""
        key = request_id.encode()
        return any(self._index.find(number, key) for number in self._partitions)

    # ------------------------------------------------------------------ searching

    async def find(self, request_id: str) -> Outcome | None:
        """Return the outcome of this id's latest run within the window, or None.

        Raises:
            Unreachable, RightsError: Kafka does not let us read, or answers with an error.
        """
        key = request_id.encode()
        if self._is_searched(key):
            return None
        if key not in self._asked:
            self._asked[key] = asyncio.get_running_loop().create_future()
        found = self._asked[key]
        self._wanted[key] += 1
        if self._searching is None or self._searching.done():
            self._searching = asyncio.create_task(self._run(), name="read results back")
        try:
            return await asyncio.shield(found)
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._wanted[key]

    def _is_searched(self, key: bytes) -> bool:
        """Whether the index covers the whole window in all partitions that may hold the key, without such a key.

        The window as last looked up suffices: its beginning can only have moved forward since.
        """
        if self._window is None or len(self._window.floors) != len(self._partitions):
            return False
        floors = {number: self._window.floors[number] for number in self._window.places_of(key)}
        lows = {number: self._index.low(number) for number in floors}
        covered = all(low is not None and low <= floors[number] for number, low in lows.items())
        return covered and not any(self._index.find(number, key) for number in floors)

    async def _run(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                found = await self._search(tuple(asked))
            except BaseException as reason:
                for future in asked.values():
                    if isinstance(reason, HeadraceError):
                        future.set_exception(reason)
                        future.exception()  # the task that asked may be gone
                    else:
                        future.cancel()
                if not isinstance(reason, HeadraceError):
                    raise
            else:
                for key, future in asked.items():
                    future.set_result(found.get(key))

    async def _search(self, keys: Sequence[bytes]) -> dict[bytes, Outcome]:
        async with kafka_errors_explained(self._connection, right="READ"):
            consumer = make_consumer(self._connection)
            try:
                await start_consumer(consumer)
                self._window = await self._looked_up(consumer)
                return await self._backwards(consumer, self._window, keys)
            finally:
                await close_consumer(consumer)

    async def _looked_up(self, consumer: AIOKafkaConsumer) -> _Window:
        places = [KafkaPartition(self._topic, number) for number in self._partitions]
        since_ms = time.time_ns() // 1_000_000 - round(self._window_s * 1_000)
        begins = await consumer.beginning_offsets(places)
        oldest = await consumer.offsets_for_times(dict.fromkeys(places, 0))
        young = await consumer.offsets_for_times(dict.fromkeys(places, max(0, since_ms)))
        floors: dict[int, int] = {}
        fewest = 1
        for place in places:
            first, low = oldest[place], self._index.low(place.partition)
            floors[place.partition] = (low or 0) if young[place] is None else young[place].offset
            if begins[place] > 0 or (first is not None and first.timestamp <= since_ms):
                fewest = max(fewest, place.partition + 1)  # the partition is older than the window
        return _Window(floors, fewest)

    async def _backwards(
        self, consumer: AIOKafkaConsumer, window: _Window, keys: Sequence[bytes]
    ) -> dict[bytes, Outcome]:
        """Search the keys' partitions by today's number of partitions first, then those by former numbers."""
        places = {key: window.places_of(key) for key in keys}
        found: dict[bytes, Outcome] = {}
        for turn in range(max(map(len, places.values()), default=0)):
            left = {key: each[turn] for key, each in places.items() if key not in found and turn < len(each)}
            for number in dict.fromkeys(left.values()):
                sought = _Sought({key for key, at in left.items() if at == number}, found)
                await self._in_partition(consumer, KafkaPartition(self._topic, number), window, sought)
        return found

    async def _in_partition(
        self, consumer: AIOKafkaConsumer, place: KafkaPartition, window: _Window, sought: "_Sought"
    ) -> None:
        number, index = place.partition, self._index
        for key in sought.keys:
            for offset in index.find(number, key):
                async for record in _between(consumer, place, offset, offset + 1):
                    sought.observe(record)
        size, at = _SLICE_FIRST, index.low(number)
        if (
            at is None
        ):  # not followed: a key's place by a former number of partitions, all of it older than the follower
            at = (await consumer.end_offsets([place]))[place]
        while at > window.floors[number] and any(self._wanted[key] for key in sought.left):
            low = max(window.floors[number], at - size)
            passed: list[tuple[int, bytes]] = []
            async for record in _between(consumer, place, low, at):
                passed.append((record.offset, record.key or b""))
                sought.observe(record)
            self.records_read += len(passed)
            if index.low(number) == at:  # else the topic was made anew meanwhile, or the index is full
                index.add_before(number, low, passed)
            at, size = low, min(2 * size, _SLICE_MAX)

    async def close(self) -> None:
        """Cancel the searches."""
        if self._searching is not None:
            await ended(self._searching)


async def answer_or_earlier(
    back: ReadBack, request_id: str, answer: "asyncio.Future[Outcome]", accepts: Callable[[Outcome], bool]
) -> Outcome:
    """Return the awaited answer or an earlier outcome of the id, whichever is there first.

    `answer` must be followed already, so that nothing is missed between what is read back and what is followed.
    """
    if not back.knows(request_id):
        await asyncio.wait({answer}, timeout=READ_BACK_AFTER_S)
    if answer.done():
        return await answer
    reading = asyncio.create_task(back.find(request_id), name=f"read back {request_id}")
    waits: set[asyncio.Future[Any]] = {answer, reading}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        # A failed search falls back to waiting: the outcome may still come, and the caller's deadline holds.
        unread = answer.done() or reading.cancelled() or reading.exception() is not None
        earlier = None if unread else reading.result()
        return earlier if earlier is not None and accepts(earlier) else await answer
    finally:
        await ended(reading)


async def _between(
    consumer: AIOKafkaConsumer, place: KafkaPartition, low: int, high: int
) -> AsyncIterator[ConsumerRecord]:
    """Yield a partition's records from `low` up to `high`, as far as they can still be read."""
    consumer.assign([place])
    consumer.seek(place, low)
    while (at := await consumer.position(place)) < high:
        try:
            got = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
        except OffsetOutOfRangeError:  # retention was faster, or the topic was made anew and is shorter
            begin = (await consumer.beginning_offsets([place]))[place]
            if begin <= at:
                return
            consumer.seek(place, begin)
            continue
        if not got and (await consumer.end_offsets([place]))[place] < high:
            return
        for record in got.get(place, ()):
            if record.offset < high:
                yield record


def outcome_in(record: ConsumerRecord) -> Outcome | None:
    """Decode the outcome of a results record; one that cannot be read is a Failed (`unreadable`)."""
    return read_outcome(Record(record.key, record.value, present(record.headers)))
