"""Reader of one of our topics for another service: committed records only, at least once for each consumer group.

Two faults of aiokafka and Kafka shape it. A group coordinator that is starting answers a query for stored offsets with
nothing, and aiokafka takes that for "none": it would start at the wrong end. So stored offsets are read through
`offsets`, which insists on a complete answer, and every position is set by a seek. And a consumer's `stop()` may raise
CancelledError or hang.

The topic may change meanwhile (`watch`). A group stores the topic's id beside each offset: an offset of a former topic
of the same name is meaningless for this one.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.consumer import close_consumer, start_consumer
from headrace.broker.adapters.kafka.offsets import KafkaOffsets
from headrace.broker.adapters.kafka.watch import TopicNow, TopicWatch, read_all
from headrace.broker.client_ports import Arrived, Start
from headrace.broker.errors import LogUnavailable, Unreachable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.tasks import set_within
from headrace.schemas.record import Record, present

_FETCH_WAIT_MS = 200
_METADATA_AGE_MS = 10_000
"""The leader of a group notices added partitions when it refreshes metadata, and assigns them only then."""
_RECORDS_A_FETCH = 200
_COMMIT_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.5
_LOOKS_FOR_PLACES_MAX = 120
_BODY_MAX_MS = 3_600_000
"""A loop body that takes longer than this for one record loses its partitions to another member of the group."""


class KafkaResults(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One topic, read by one member of a group, or by a reader without a group that commits nothing."""

    def __init__(self, connection: KafkaConnection, *, topic: str, group: str | None, start: Start) -> None:
        """It connects at `open`."""
        self._connection = connection
        self._topic = topic
        self._group = group
        self._start = start
        self._consumer: AIOKafkaConsumer | None = None
        self._buffer: deque[Arrived] = deque()
        self._handled: dict[int, int] = {}
        self._assignment = 0
        self._assigned = asyncio.Event()
        self._partitions_at_open: set[int] = set()
        self._partitions: tuple[int, ...] = ()
        self._next: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._watch = TopicWatch(topic, connection)

    async def open(self) -> None:
        """Connect, and wait until partitions are assigned and every position is set.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        consumer = self._made()
        try:
            async with kafka_errors_explained(self._connection, right="READ"):
                await start_consumer(consumer)
                now = await self._watch.first(consumer)
                self._consumer = consumer
                self._note(now)
                await self._take_places(consumer, now.partitions)
        except BaseException:
            self._consumer = None
            await close_consumer(consumer)
            raise

    def _note(self, now: TopicNow) -> None:
        """Note the topic that is read from now on; forget the offsets of one that was made anew, to read it whole."""
        if self._watch.is_new(now):
            self._next.clear()
            self._begun.clear()
            self._partitions_at_open.clear()
        elif not self._partitions:
            self._partitions_at_open = set(now.partitions)
        self._partitions = now.partitions
        self._watch.reads(now)

    @property
    def made_anew(self) -> int:
        """Number of times the topic was deleted and made anew while it was read."""
        return self._watch.made_anew

    def _made(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._connection.client_kwargs(),
            group_id=self._group,
            client_id="headrace-results",
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none" if self._group is None else "earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            metadata_max_age_ms=_METADATA_AGE_MS,
            max_poll_interval_ms=_BODY_MAX_MS,
            request_timeout_ms=10_000,
            retry_backoff_ms=50,
        )

    async def _take_places(self, consumer: AIOKafkaConsumer, numbers: Iterable[int]) -> None:
        if self._group is not None:
            consumer.subscribe([self._topic], listener=self)
            for _ in range(_LOOKS_FOR_PLACES_MAX):
                consumer._coordinator.check_errors()  # noqa: SLF001  # getmany would, and could drop records here
                if await set_within(self._assigned, _LOOK_AGAIN_S):
                    await self.commit()
                    return
            raise Unreachable(f"Kafka gives the group {self._group} no partitions: try again.")
        places = [KafkaPartition(self._topic, number) for number in numbers]
        consumer.assign(places)
        for place, offset in (await self._first_offsets(consumer, places)).items():
            # Noted at once: a reader from the end that reconnects must not skip records written while it was away.
            consumer.seek(place, self._next.setdefault(place.partition, offset))
        self._assigned.set()

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        """Commit handled records and forget the others; aiokafka calls this before a rebalance."""
        await self.commit()
        self._assigned.clear()
        self._assignment += 1
        self._buffer.clear()
        self._handled.clear()

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        """Set every position ourselves before any record passes; aiokafka calls this after a rebalance."""
        consumer, places, assignment = self._consumer, list(assigned), self._assignment
        while consumer is not None and self._assignment == assignment:
            with suppress(KafkaError, OSError, LogUnavailable):
                await self._go_to_stored(consumer, places)
                self._assigned.set()
                return
            await asyncio.sleep(_FETCH_WAIT_MS / 1_000)

    async def _go_to_stored(self, consumer: AIOKafkaConsumer, places: list[KafkaPartition]) -> None:
        if self._group is None or not places:
            return
        numbers = {place.partition for place in places}.union(self._partitions)
        asked = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        stored = await KafkaOffsets(self._connection, group=self._group).read(asked)
        known = {
            place.partition: found.offset for place, found in stored.items() if found.offset >= 0 and self._is_of(found)
        }
        fresh = [place for place in places if place.partition not in known]
        # A group with stored offsets (other partitions, or a former topic) is not new: partitions without one were
        # added since.
        has_read = any(found.offset >= 0 for found in stored.values())
        first = await self._first_offsets(consumer, fresh, from_start=has_read) if fresh else {}
        for place in places:
            if place.partition in known:
                consumer.seek(place, known[place.partition])
            else:
                # Stored at once: a group that starts at the end and leaves before the first record must not skip the
                # records written while it is away. Also remembered: it may not be stored before the next rebalance.
                begin = self._begun.setdefault(place.partition, first[place])
                consumer.seek(place, begin)
                self._handled[place.partition] = begin

    def _is_of(self, stored: StoredOffset) -> bool:
        """Whether an offset was stored for this topic; one without an id comes from a former release."""
        return not stored.metadata or self._watch.topic_id in {None, stored.metadata}

    async def _first_offsets(
        self, consumer: AIOKafkaConsumer, places: list[KafkaPartition], *, from_start: bool = False
    ) -> dict[KafkaPartition, int]:
        begin: dict[KafkaPartition, int] = await consumer.beginning_offsets(places)
        if self._start == "earliest" or from_start:
            return begin
        ends: dict[KafkaPartition, int] = await consumer.end_offsets(places)
        if isinstance(self._start, datetime):
            since_ms = max(0, int(self._start.timestamp() * 1_000))  # aiokafka takes no time before 1970
            found: Mapping[KafkaPartition, Any] = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
            first = {place: ends[place] if found[place] is None else found[place].offset for place in places}
        else:
            first = ends
        # A partition that was added since holds nothing older than this reader.
        return {
            place: first[place] if place.partition in self._partitions_at_open else begin[place] for place in places
        }

    async def next(self, *, timeout_ms: int) -> Arrived | None:
        """Return the next record, or None if none came in time.

        Raises:
            RightsError: Kafka does not let us read.
            Unreachable: Kafka answers with an error; `open` again.
        """
        loop = asyncio.get_running_loop()
        ends_s, left_ms = loop.time() + timeout_ms / 1_000, timeout_ms
        while not self._buffer:
            await self._fetch(left_ms)  # which may end early: after a rebalance, or when the topic was made anew
            left_ms = int((ends_s - loop.time()) * 1_000)
            if left_ms <= 0:
                break
        return self._buffer.popleft() if self._buffer else None

    @property
    def buffered(self) -> int:
        """Number of records that `next` can return without asking Kafka."""
        return len(self._buffer)

    async def _fetch(self, timeout_ms: int) -> None:
        if not self._assigned.is_set():
            await set_within(self._assigned, timeout_ms / 1_000)
            return
        consumer = self._opened()
        async with kafka_errors_explained(self._connection, right="READ"):
            now = await self._watch.again(consumer)
            if now is not None:
                await self._take_up(consumer, now)
            try:
                got = await consumer.getmany(timeout_ms=timeout_ms, max_records=_RECORDS_A_FETCH)
            except OffsetOutOfRangeError as reason:  # retention overtook a reader without a group
                for place, begin in (await consumer.beginning_offsets(list(reason.args[0]))).items():
                    consumer.seek(place, begin)
                return  # this also restarts a topic that was made anew and is shorter
        # `getmany` waits out a rebalance and returns records of the new partitions. aiokafka counts them as read:
        # dropped here, they are never fetched again. Before the positions are set they may be dropped: a seek follows.
        if self._assigned.is_set():
            for place, records in got.items():
                self._buffer.extend(self._arrived(record) for record in records)
                self._next[place.partition] = records[-1].offset + 1

    async def _take_up(self, consumer: AIOKafkaConsumer, now: TopicNow) -> None:
        """Take up the topic's changes. Each member of a group restarts its own partitions."""
        anew, assignment = self._watch.is_new(now), self._assignment
        begin: dict[KafkaPartition, int] = {}
        if self._group is None:
            await read_all(consumer, self._topic, now, anew=anew)
        elif anew:
            begin = await consumer.beginning_offsets(list(consumer.assignment()))
            if assignment != self._assignment or not self._assigned.is_set():
                return  # a rebalance has begun; the next check finds the same
            for place, offset in begin.items():
                consumer.seek(place, offset)
        if anew:
            self._assignment += 1  # records in hand come from another topic, and none of their offsets may be stored
            self._buffer.clear()
            self._handled = {place.partition: offset for place, offset in begin.items()}
        self._note(now)

    def _arrived(self, record: ConsumerRecord) -> Arrived:
        content = Record(record.key, record.value, present(record.headers))
        return Arrived(record.partition, record.offset, record.timestamp, content, self._assignment)

    def mark_handled(self, arrived: Arrived) -> None:
        """Let the next `commit` cover this record; no effect if its partition has been reassigned since."""
        if arrived.assignment == self._assignment:
            self._handled[arrived.partition] = arrived.offset + 1

    async def commit(self) -> None:
        """Store the group's progress. Offsets that fail to store now are stored later, or read again: at least once."""
        consumer, handled = self._consumer, dict(self._handled)
        if consumer is None or self._group is None or not handled:
            return
        known = self._watch.topic_id or ""
        offsets = {
            KafkaPartition(self._topic, number): OffsetAndMetadata(offset, known) for number, offset in handled.items()
        }
        with suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await consumer.commit(offsets)
            for number, offset in handled.items():
                if self._handled.get(number) == offset:
                    del self._handled[number]

    async def ends(self) -> dict[int, int]:
        """Return the end of every partition now, as a read_committed reader sees it."""
        consumer = self._opened()
        places = [KafkaPartition(self._topic, number) for number in self._partitions]
        async with kafka_errors_explained(self._connection, right="READ"):
            return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}

    async def is_past(self, ends: Mapping[int, int]) -> bool:
        """Whether nothing below these ends is left in our partitions, nor in the buffer."""
        if self._buffer or not self._assigned.is_set():
            return False
        consumer = self._opened()
        async with kafka_errors_explained(self._connection, right="READ"):
            places = [place for place in consumer.assignment() if place.partition in ends]
            return all([await consumer.position(place) >= ends[place.partition] for place in places])

    def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Unreachable("The reader is not connected: open it first.")
        return self._consumer

    async def close(self) -> None:
        """Commit what is handled and leave the group; never hangs."""
        await self.commit()
        consumer, self._consumer = self._consumer, None
        self._assignment += 1
        self._assigned.clear()
        self._buffer.clear()
        self._handled.clear()
        if consumer is not None:
            await close_consumer(consumer)
