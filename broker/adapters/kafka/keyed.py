"""A topic followed for the records of chosen keys: only the partitions that can hold them are read.

One consumer without a group follows a *home* partition in any case, and any other one from the moment in which a key
that belongs there is followed until a minute after the last of them. A gateway chooses its ids so that they belong to
its home, so it reads a twelfth of the results, whatever other gateways and services are sent.

A partition that is added changes the partition of every key. From then on all partitions are read, the old ones from a
minute back, until the process ends: the outcome of a request that was sent before may be in any of two.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.connection import DENIED, KafkaConnection, denied
from headrace.broker.adapters.kafka.consumer import close_consumer, opened_consumer, start_consumer
from headrace.broker.adapters.kafka.read_back import partitions_of
from headrace.broker.adapters.kafka.watch import TopicNow, TopicWatch
from headrace.broker.client_ports import Follower, Home, StoredRecord
from headrace.broker.errors import Disconnected, HeadraceError, Unreachable
from headrace.broker.tasks import ended
from headrace.schemas.record import Record, present

LINGER_S: Final = 60.0
_GROWN_BACK_S: Final = 60.0
_POLL_MS: Final = 1_000
_RECORDS_A_POLL: Final = 500
_AFTER_ERROR_S: Final = 0.5


class Passage(Protocol):
    """Observer of all that passes, whatever its key."""

    def begin(self, offsets: dict[int, int], *, anew: bool = False, count: int | None = None) -> None:
        """Take note that these partitions are followed from these offsets on."""

    def leave(self, partition: int) -> None:
        """Take note that this partition is followed no longer."""

    def passed(self, record: ConsumerRecord) -> None:
        """Take note of a record."""


class KafkaKeyedLog:
    """A `headrace.broker.client_ports.KeyedLog` on aiokafka. It connects at the first use."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topic: str,
        passage: Passage | None = None,
        choose: Callable[[int], int] = random.randrange,
    ) -> None:
        """`choose` picks the home among that many partitions."""
        self._connection = connection
        self._topic = topic
        self._passage = passage
        self._choose = choose
        self._home: int | None = None
        self._count = 0
        self._grown = False
        self._followers: dict[bytes, list[Follower]] = {}
        self._place_of: dict[bytes, int] = {}  # of each followed key: its hash costs some 18 µs
        self._followed: set[int] = set()
        self._idle_since: dict[int, float] = {}
        self._covering: dict[int, asyncio.Future[None]] = {}
        self._wake = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._running: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._watch = TopicWatch(topic, connection)

    # ------------------------------------------------------------------ for callers

    async def home(self, *, connect_s: float) -> Home:
        """See `KeyedLog.home`."""
        await self._follow(asyncio.get_running_loop().time() + connect_s)
        assert self._home is not None  # noqa: S101 — programmer error: set when the topic is first followed
        return Home(self._home, self._count)

    def partition_of(self, key: bytes) -> int:
        """See `KeyedLog.partition_of`."""
        return partitions_of(key, [self._count])[0]

    @asynccontextmanager
    async def following(self, key: bytes, follower: Follower, *, connect_s: float) -> AsyncIterator[None]:
        """See `KeyedLog.following`."""
        until_s = asyncio.get_running_loop().time() + connect_s
        self._followers.setdefault(key, []).append(follower)
        try:
            await self._follow(until_s)
            await self._cover(self._known_place(key), until_s)
            yield
        finally:
            self._followers[key].remove(follower)
            if not self._followers[key]:
                del self._followers[key]
                self._place_of.pop(key, None)

    def _known_place(self, key: bytes) -> int:
        """Return the partition of a followed key, computed once for each number of partitions."""
        place = self._place_of.get(key)
        if place is None:
            place = self._place_of[key] = self.partition_of(key)
        return place

    async def _cover(self, place: int, until_s: float) -> None:
        if place in self._followed:
            return
        covered = self._covering.setdefault(place, asyncio.get_running_loop().create_future())
        self._wake.set()
        try:
            async with asyncio.timeout_at(until_s):
                await asyncio.shield(covered)
        except TimeoutError:
            place_name = f"partition {place} of {self._topic}"
            raise Unreachable(f"Kafka at {self._connection.bootstrap_servers} does not open {place_name}.") from None

    async def close(self) -> None:
        """See `KeyedLog.close`."""
        if self._running is not None:
            await ended(self._running)
        await self._close_consumer()  # a task that is cancelled before its first step runs no `finally`
        for covered in self._covering.values():
            covered.cancel()

    async def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)

    # ------------------------------------------------------------------ the consumer

    async def _follow(self, until_s: float) -> None:
        if self._is_running:
            return
        try:
            async with asyncio.timeout_at(until_s):  # of many that wait, each has its own time, not the sum of all
                await self._starting.acquire()
        except TimeoutError:
            raise Unreachable(f"Kafka at {self._connection.bootstrap_servers} is not reached in time.") from None
        try:
            if not self._is_running:
                self._consumer = await opened_consumer(self._connection, self._begin, until_s)
                self._running = asyncio.create_task(self._run(self._consumer), name=f"follow {self._topic}")
        finally:
            self._starting.release()

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        """Follow the home and the partitions of the keys that wait already, from their ends."""
        await start_consumer(consumer)
        now = await self._watch.first(consumer)
        self._counts(now)
        self._followed, self._grown = set(), False
        if self._home is None or self._home >= self._count:
            self._home = self._choose(self._count)
        self._watch.reads(now)
        await self._assign(consumer, self._wanted(), anew=True)

    def _counts(self, now: TopicNow) -> None:
        """Take up the number of partitions, on which the place of each key depends."""
        if self._count != len(now.partitions):
            self._count = len(now.partitions)
            self._place_of.clear()

    def _wanted(self) -> set[int]:
        """Return the partitions to follow now."""
        if self._grown:
            return set(range(self._count))
        needed = {self._home or 0, *map(self._known_place, self._followers)}
        now_s = time.monotonic()
        for place in self._followed - needed:
            self._idle_since.setdefault(place, now_s)
        for place in needed:
            self._idle_since.pop(place, None)
        return needed | {place for place, since_s in self._idle_since.items() if now_s - since_s < LINGER_S}

    async def _assign(
        self, consumer: AIOKafkaConsumer, wanted: set[int], *, anew: bool = False, back_s: float | None = None
    ) -> None:
        """Follow these partitions: those kept from their positions, the others from their ends or `back_s` before."""
        kept, left = set() if anew else self._followed & wanted, self._followed - wanted
        self._followed = self._followed & wanted  # at once: a wait that begins meanwhile must not rely on the others
        positions = {place: await consumer.position(place) for place in self._places(kept)}
        added = self._places(wanted - kept)
        begin = await self._starts(consumer, added, back_s)
        consumer.assign([*positions, *begin])
        for place, offset in (positions | begin).items():  # no await in between: assign() forgot every position
            consumer.seek(place, offset)
        self._followed = wanted
        for number in left:
            self._idle_since.pop(number, None)
        if self._passage is not None:
            for number in left:
                self._passage.leave(number)
            offsets = {place.partition: offset for place, offset in begin.items()}
            self._passage.begin(offsets, anew=anew, count=self._count)
        for number in wanted & self._covering.keys():
            covered = self._covering.pop(number)
            if not covered.done():
                covered.set_result(None)

    async def _starts(
        self, consumer: AIOKafkaConsumer, added: list[KafkaPartition], back_s: float | None
    ) -> dict[KafkaPartition, int]:
        if not added:
            return {}
        ends: dict[KafkaPartition, int] = await consumer.end_offsets(added)
        if back_s is None:
            return ends
        since_ms = max(0, time.time_ns() // 1_000_000 - round(back_s * 1_000))
        found = await consumer.offsets_for_times(dict.fromkeys(added, since_ms))
        return {place: end if found[place] is None else found[place].offset for place, end in ends.items()}

    def _places(self, numbers: Iterable[int]) -> list[KafkaPartition]:
        return [KafkaPartition(self._topic, number) for number in sorted(numbers)]

    # ------------------------------------------------------------------ the loop

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        try:
            reason = await self._followed_until_it_fails(consumer)
        finally:
            await self._close_consumer()
        self._fail(reason)  # last, so that a wait that begins later finds this task done, and opens anew

    async def _followed_until_it_fails(self, consumer: AIOKafkaConsumer) -> HeadraceError:
        while True:
            try:
                await self._look_again(consumer)
                self._wake.clear()
                if (wanted := self._wanted()) != self._followed:
                    await self._assign(consumer, wanted)
                records = await self._poll(consumer)
            except DENIED as reason:
                return denied(reason, self._connection, right="READ")
            except (KafkaError, OSError):
                await asyncio.sleep(_AFTER_ERROR_S)
            except Exception as error:  # noqa: BLE001 — aiokafka raises any kind of exception for a batch that it cannot unpack
                return Disconnected(f"The topic {self._topic} can no longer be followed ({type(error).__name__}).")
            else:
                for record in records:
                    self._deliver(record)

    async def _look_again(self, consumer: AIOKafkaConsumer) -> None:
        """Take up partitions that were added since, or another topic of the same name."""
        now: TopicNow | None = await self._watch.again(consumer)
        if now is None:
            return
        anew = self._watch.is_new(now)
        if anew or len(now.partitions) > self._count:
            self._counts(now)
            self._grown = True
            await self._assign(consumer, set(range(self._count)), anew=anew, back_s=_GROWN_BACK_S)
        self._watch.reads(now)

    async def _poll(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
        """Return what comes next; nothing once another partition is wanted."""
        polling = asyncio.create_task(consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL))
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({polling, waking}, return_when=asyncio.FIRST_COMPLETED)
            if not polling.done():
                return []
            got = polling.result()
        except OffsetOutOfRangeError as reason:  # retention overtook us, or the topic was made anew and is shorter
            for place, start in (await consumer.beginning_offsets(list(reason.args[0]))).items():
                consumer.seek(place, start)
                if self._passage is not None:
                    self._passage.begin({place.partition: start}, count=self._count)
            return []
        finally:
            await ended(polling, waking)
        return [record for records in got.values() for record in records]

    def _deliver(self, record: ConsumerRecord) -> None:
        if self._passage is not None:
            self._passage.passed(record)
        followers = self._followers.get(record.key or b"")
        if not followers:
            return
        kept = Record(record.key, record.value, present(record.headers))
        stored = StoredRecord(self._topic, record.partition, record.offset, record.timestamp, kept)
        for follower in tuple(followers):
            follower.deliver(stored)

    def _fail(self, reason: HeadraceError) -> None:
        self._followed = set()
        for covered in self._covering.values():
            if not covered.done():
                covered.set_exception(reason)
                covered.exception()  # the caller may be gone
        self._covering.clear()
        for follower in [each for followers in self._followers.values() for each in followers]:
            follower.fail(reason)
