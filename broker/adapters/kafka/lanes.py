"""Reader of a lane's records: one consumer a lane, no group, every position set by seek.

It works around these defects of aiokafka (each was seen on a real Kafka):

- `getmany()` over several partitions loses the records of the good ones when one raises; so records are taken from one
  partition a call.
- a second `assign()` forgets all positions; so every position is set again with no await in between.
- `pause()` throws away what was fetched; so a partition that must not be read now is not polled. Only those read on
  demand are paused, before anything is fetched from them: their batches are fetched here, and unpacked when taken.
- an error names no partition, and is gone with the call that raised it: after an error from a wait for several
  partitions, each is polled by itself, all at the same time, until the error recurs and identifies its partition.
  Polled one after the other, half a second each, a batch that cannot be unpacked held up the other partitions of a
  quiet lane for up to three seconds.
- one record that it cannot read makes it give up the whole batch; that batch is read record by record (`batches`). If a
  fetch has batches before that one, a call for several records gets only the error: in doubt, one record is requested
  at a time.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.broker.adapters.kafka.batches import Pieces
from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of, words_of
from headrace.broker.adapters.kafka.consumer import close_consumer, limit_prefetch, make_consumer, start_consumer
from headrace.broker.adapters.kafka.fetch import fetched_batch
from headrace.broker.adapters.kafka.on_demand import OnDemand
from headrace.broker.adapters.kafka.watch import TopicWatch
from headrace.broker.errors import LogUnavailable, MissingTopic, RightsError, Unreachable
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.tasks import ended
from headrace.schemas.record import Record, present

_log = structlog.get_logger("lanes")

_DOUBT_WAIT_MS = 500
_TRIES_BEFORE_ISOLATION = 3


class KafkaLane:
    """An `OnDemandLog` on aiokafka."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """It connects at the first request."""
        self._connection = connection
        self._watch = TopicWatch(topic, connection)
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[int, int] = {}
        self._early: dict[int, list[ConsumerRecord]] = {}
        self._apart: dict[int, Pieces] = {}  # pieces of batches read record by record, not taken yet
        self._on_demand = OnDemand()
        self._doubts: dict[int, int] = {}  # partitions that hold something undecodable, and failed tries of each
        self._errors: dict[int, Exception] = {}  # raised while a partition was polled by itself, for its next `take`
        self._is_in_doubt = False  # an error has come from one of several partitions

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = make_consumer(self._connection)
            try:
                await start_consumer(consumer)
            except (KafkaError, OSError) as error:
                raise LogUnavailable(f"Lane topic {self._topic} cannot be reached: {words_of(error)}.") from error
            self._consumer = consumer
        return self._consumer

    @property
    def topic_id(self) -> str | None:
        """See `headrace.broker.ports.LaneLog`."""
        return self._watch.topic_id

    async def partitions(self) -> list[int]:
        """See `headrace.broker.ports.LaneLog.partitions`."""
        consumer = await self._open()
        with _translated(self._topic):
            try:
                now = await self._watch.first(consumer)
            except RightsError as hidden:
                raise MissingTopic(self._topic, hidden_from=user_of(self._connection)) from hidden
            except Unreachable as error:
                raise LogUnavailable(str(error)) from error
        self._watch.reads(now)
        return list(now.partitions)

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """See `headrace.broker.ports.LaneLog.bounds`."""
        consumer = await self._open()
        places = [KafkaPartition(self._topic, number) for number in partitions]
        with _translated(self._topic):
            starts = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
        return {place.partition: (starts[place], ends[place]) for place in places}

    async def first_timestamp_ms(self, partition: int) -> int | None:
        """See `headrace.broker.ports.LaneLog.first_timestamp_ms`."""
        consumer = await self._open()
        place = KafkaPartition(self._topic, partition)
        with _translated(self._topic):
            found = (await consumer.offsets_for_times({place: 0})).get(place)
        return None if found is None else int(found.timestamp)

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """See `headrace.broker.ports.LaneLog.timestamps_ms`.

        Of each partition one batch is fetched, and no other is unpacked: a batch behind it may end the process.
        """
        consumer = await self._open()
        found: dict[int, int] = {}
        for number, offset in offsets.items():
            place = KafkaPartition(self._topic, number)
            with contextlib.suppress(Exception):  # the failure is not explained here; `take` finds out why
                batch = await fetched_batch(consumer, place, offset, wait_ms=0)
                record = next((each for each in batch.found if isinstance(each, Fetched)), None) if batch else None
                if record is not None and record.offset == offset:
                    found[number] = record.timestamp_ms
        return found

    async def start(self, positions: Mapping[int, int], *, on_demand: Collection[int] = ()) -> None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.start`."""
        consumer = await self._open()
        limit_prefetch(consumer, len(positions))
        await self._on_demand.start(on_demand)
        consumer.assign([KafkaPartition(self._topic, number) for number in positions])
        if on_demand:
            consumer.pause(*(KafkaPartition(self._topic, number) for number in on_demand))
        for number, offset in positions.items():  # no await in between: assign() has forgotten every position
            self.rewind(number, offset)

    async def upcoming(self, partition: int, records_max: int) -> Upcoming | UnreadableRange | None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.upcoming`."""
        consumer, place = await self._open(), KafkaPartition(self._topic, partition)
        try:
            with _translated(self._topic, but=OffsetOutOfRangeError):
                upcoming = await self._on_demand.upcoming(consumer, place, self._next[partition], records_max)
        except OffsetOutOfRangeError:
            return await self._out_of_range(partition)
        if upcoming is not None:
            self._next[partition] = upcoming.offsets[0] if upcoming.offsets else upcoming.batch_end
        return upcoming

    def read_ahead(self, partition: int) -> None:
        """See `headrace.broker.on_demand_ports.OnDemandLog.read_ahead`."""
        assert self._consumer is not None  # noqa: S101 — programmer error: not started
        self.rewind(partition, self._next[partition])
        self._on_demand.end(partition)
        self._consumer.resume(KafkaPartition(self._topic, partition))

    def rewind(self, partition: int, offset: int) -> None:
        """See `headrace.broker.ports.LaneLog.rewind`."""
        assert self._consumer is not None  # noqa: S101 — programmer error: rewind before start
        self._consumer.seek(KafkaPartition(self._topic, partition), offset)
        self._next[partition] = offset
        self._on_demand.move(partition, offset)
        self._early.pop(partition, None)
        self._apart.pop(partition, None)
        self._errors.pop(partition, None)

    def position(self, partition: int) -> int:
        """See `headrace.broker.ports.LaneLog.position`."""
        return self._next[partition]

    def is_at_end(self, partition: int) -> bool:
        """See `headrace.broker.ports.LaneLog.is_at_end`."""
        known = self._apart.keys() | self._errors.keys() | self._doubts.keys()
        if self._consumer is None or self._early.get(partition) or partition in known:
            return False
        return self._has_read_all(self._consumer, partition)

    async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
        """See `headrace.broker.ports.LaneLog.wait`.

        The record that ends the wait is kept for its partition's next `take`.
        """
        consumer = await self._open()
        if any(number in self._apart or number in self._errors for number in partitions):
            return
        if self._is_in_doubt or not self._doubts.keys().isdisjoint(partitions):
            await self._ask_each(consumer, partitions, timeout_ms)
            return
        places = [KafkaPartition(self._topic, number) for number in partitions]
        try:
            got = await consumer.getmany(*places, timeout_ms=timeout_ms, max_records=1)
        except Exception:  # noqa: BLE001 — as in `take`, which finds its partition
            got = {}
            self._is_in_doubt = True
            for number in partitions:
                self.rewind(number, self._next[number])
        for place, records in got.items():
            self._early.setdefault(place.partition, []).extend(records)

    async def _ask_each(self, consumer: AIOKafkaConsumer, partitions: Sequence[int], timeout_ms: int) -> None:
        """Wait for the first partition that has a record or an error, and attribute it."""
        asking = [
            asyncio.create_task(self._ask(consumer, number, timeout_ms), name=f"{self._topic}/{number} in doubt")
            for number in partitions
        ]
        try:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await ended(*asking)
        if self._errors or all(self._has_read_all(consumer, number) for number in partitions):
            self._is_in_doubt = False  # the error's partition is known, or none raises any more

    async def _ask(self, consumer: AIOKafkaConsumer, partition: int, timeout_ms: int) -> None:
        """Keep the result for the partition's next `take`; cancelling it loses nothing, since aiokafka waits first."""
        try:
            got = await consumer.getmany(KafkaPartition(self._topic, partition), timeout_ms=timeout_ms, max_records=1)
        except Exception as error:  # noqa: BLE001 — as in `take`, which gets it
            self._errors[partition] = error
            return
        for records in got.values():
            self._early.setdefault(partition, []).extend(records)

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        """See `headrace.broker.ports.LaneLog.take`."""
        consumer = await self._open()
        if partition in self._on_demand:
            announced, position = await self._on_demand.take(consumer, partition, records_max)
            self._next[partition] = self._next[partition] if position is None else position
            return announced
        if partition in self._apart:
            return self._taken_apart(partition, records_max)
        if (error := self._errors.pop(partition, None)) is not None:
            return await self._failed(partition, records_max, error)
        if partition in self._doubts and self._has_read_all(consumer, partition):
            del self._doubts[partition]  # Kafka raised it briefly, not a record: a right was missing
        if partition in self._doubts:
            return await self._one_by_one(consumer, partition, records_max)
        place = KafkaPartition(self._topic, partition)
        try:
            records = self._early.pop(partition, [])
            if not records:
                records = (await consumer.getmany(place, timeout_ms=0, max_records=records_max)).get(place, [])
        except asyncio.CancelledError:
            self.rewind(partition, self._next[partition])
            raise
        except Exception as raised:  # noqa: BLE001 — unpacking raises whatever zlib, Python and aiokafka's C raise
            return await self._failed(partition, records_max, raised)
        return await self._taken(consumer, partition, records)

    def _has_read_all(self, consumer: AIOKafkaConsumer, partition: int) -> bool:
        """Whether the last fetch showed that no readable record is left; sends no request.

        Half a second without a record does not show that: a broken batch may take longer to arrive again.
        """
        end = consumer.last_stable_offset(KafkaPartition(self._topic, partition))
        return end is not None and self._next[partition] >= end

    async def _one_by_one(
        self, consumer: AIOKafkaConsumer, partition: int, records_max: int
    ) -> Sequence[Fetched] | UnreadableRange:
        """Read the records before a batch that raises, within one fetch."""
        place, records = KafkaPartition(self._topic, partition), self._early.pop(partition, [])
        try:
            while len(records) < records_max:
                timeout_ms = 0 if records else _DOUBT_WAIT_MS
                got = (await consumer.getmany(place, timeout_ms=timeout_ms, max_records=1)).get(place, [])
                if not got:
                    if records:
                        del self._doubts[partition]  # the whole fetch was read
                    break
                records.extend(got)
        except asyncio.CancelledError:
            self.rewind(partition, self._next[partition])
            raise
        except Exception as raised:  # noqa: BLE001 — as in `take`
            if not records:
                return await self._failed(partition, records_max, raised)
            self.rewind(partition, records[-1].offset + 1)  # the next call meets the batch first
        return await self._taken(consumer, partition, records)

    async def _taken(
        self, consumer: AIOKafkaConsumer, partition: int, records: Sequence[ConsumerRecord]
    ) -> list[Fetched]:
        if records:
            self._next[partition] = records[-1].offset + 1
        else:  # the client skips markers and aborted records silently
            position = await consumer.position(KafkaPartition(self._topic, partition))
            self._next[partition] = max(self._next[partition], position)
        return [_fetched(record) for record in records]

    async def _failed(self, partition: int, records_max: int, error: Exception) -> Sequence[Fetched] | UnreadableRange:
        self.rewind(partition, self._next[partition])
        if isinstance(error, OffsetOutOfRangeError):
            self._doubts.pop(partition, None)
            return await self._out_of_range(partition)
        tries = self._doubts.get(partition, 0) + 1
        self._doubts[partition] = tries
        if tries < _TRIES_BEFORE_ISOLATION:
            await asyncio.sleep(0.05 * tries)
            return []
        del self._doubts[partition]
        kind, place = type(error).__name__, f"{self._topic}/{partition}/{self._next[partition]}"
        _log.warning("batch_read_apart", place=place, error=kind)  # its text may quote what could not be read
        try:
            await self._read_apart(partition)
            return self._taken_apart(partition, records_max)
        except (KafkaError, OSError) as again:
            raise LogUnavailable(f"{self._topic}/{partition} cannot be read: {kind}; {again}.") from error
        except Exception as again:  # noqa: BLE001 — a defect here must not end the lane's reader
            raise LogUnavailable(f"{place} cannot be read: {kind}; {type(again).__name__}.") from error

    async def _out_of_range(self, partition: int) -> UnreadableRange:
        """Report a range that retention removed before it was read."""
        first = self._next[partition]
        start, end = (await self.bounds([partition]))[partition]
        if first >= start:
            raise LogUnavailable(
                f"{self._topic}/{partition} ends at {end}, before offset {first}: check whether "
                "the topic was recreated."
            )
        self.rewind(partition, start)
        return UnreadableRange(first, start - 1, removed=True)

    async def _read_apart(self, partition: int) -> None:
        """Read the batch that aiokafka gave up, record by record, and keep the pieces for the next calls of `take`."""
        first, consumer = self._next[partition], await self._open()
        pieces = await fetched_batch(consumer, KafkaPartition(self._topic, partition), first)
        if pieces is not None:
            self.rewind(partition, pieces.next_offset)  # so that the records after it are fetched meanwhile
            self._next[partition] = pieces.position
            self._apart[partition] = pieces

    def _taken_apart(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        """Return pieces that were read record by record and not taken yet."""
        pieces = self._apart.get(partition)
        if pieces is None:
            return []
        got = pieces.take(records_max)
        self._next[partition] = pieces.position
        if not pieces.found:
            del self._apart[partition]
        return got

    async def close(self) -> None:
        """See `headrace.broker.ports.LaneLog.close`."""
        await self._on_demand.close()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)


def _fetched(record: ConsumerRecord) -> Fetched:
    return Fetched(record.offset, record.timestamp, Record(record.key, record.value, present(record.headers)))


class _translated(contextlib.AbstractContextManager[None]):  # noqa: N801 — reads as a verb where it is used
    """Translation of Kafka's errors into ours."""

    def __init__(self, topic: str, *, but: type[KafkaError] | tuple[()] = ()) -> None:
        self._topic = topic
        self._but = but

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KafkaError | OSError | TimeoutError) and not isinstance(error, self._but):
            raise LogUnavailable(f"Lane topic {self._topic} cannot be reached: {words_of(error)}.") from error
