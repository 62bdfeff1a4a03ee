"""Taking records: one task a lane while this process leads, its partitions in turn; the control topic is read likewise.

It takes no more than the core has room for, and puts back what the core did not want yet. Nothing is ever paused: a
partition without room is simply not asked. A halted intake has returned everything it took, so that a new term starts
from the stored maps without a gap.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from broker.core.cancels import Cancel
from broker.core.events import Lost, PartitionFound, Taken
from broker.core.progress import PartitionProgress
from broker.core.register import Want
from broker.core.suspects import Caution
from broker.core.ticket import Candidate, Garbage, LanePartition, Source
from broker.errors import LogUnavailable, MissingTopic
from broker.ports import Fetched, LaneLog, Unreadable
from broker.service.cargo import Cargo, Content
from broker.service.driver import Driver
from broker.tasks import ended
from schemas.record import Record

RECORDS_A_TAKE = 50
IDLE_WAIT_MS = 1_000
"""How long a lane with room everywhere waits for its next record, which wakes it at once."""
CLOSED_WAIT_MS = 200
"""How long it waits before a partition without room is looked at again."""
PARTITIONS_LOOKED_UP_EVERY_MS = 30_000
RETRY_S = 0.5
NAMED_LOOKED_FOR = 5
"""How often a record that is named is looked for, before it is believed that none is there."""
NO_TIMESTAMP = -1
STAMPED_AHEAD_MAX_MS = 86_400_000
"""Nothing was sent later than this after now, whatever it says and however wrong our clock; Kafka lets pass an hour."""

_log = structlog.get_logger("intake")


class Reader(Protocol):
    """Knows what the records of a topic say; never raises for any bytes."""

    def read(
        self, lane: str, record: Record, submitted_at: datetime, /
    ) -> tuple[Content, Candidate | Garbage | Cancel]:
        """What stands in a record, and what the core must know of it."""

    def unread(self, record: Record, /) -> tuple[Content, Garbage]:
        """The same of a record that ended two dispatchers, without its value."""


class LaneIntake:
    """The records of one lane, or of the control topic, from Kafka to the core."""

    def __init__(self, lane: str, topic: str, log: LaneLog, driver: Driver, reader: Reader) -> None:
        """`log` is the lane's door; it is opened by the first question."""
        self.lane = lane
        self.topic = topic
        self.log = log
        self._driver = driver
        self._reader = reader
        self._task: asyncio.Task[None] | None = None
        self._turn = 0
        self._looked_up_ms = 0
        self._cautions: dict[int, Caution] = {}  # partitions read one record at a time, each named in the ledger
        self._full: dict[int, int] = {}  # partitions whose next record does not fit, and when they are asked again

    async def begin(self, positions: dict[int, int], cautions: Mapping[int, Caution] | None = None) -> None:
        """Take from these offsets on; the core has been promoted with progress that starts there.

        Partitions with a caution hold a record that may have ended former leaders.
        """
        await self.log.start(positions)
        self._cautions = dict(cautions or {})
        for number, caution in self._cautions.items():
            _log.warning("caution_begins", lane=self.lane, partition=number, until=caution.until, deaths=caution.deaths)
        self._looked_up_ms = self._driver.clock.now_ms()
        self._task = asyncio.create_task(self._run(sorted(positions)), name=f"intake {self.lane}")

    async def halt(self) -> None:
        """Stop taking; nothing is in between afterwards."""
        task, self._task = self._task, None
        if task is not None:
            await ended(task)

    def failure(self) -> BaseException | None:
        """What ended the task, if it ended by itself: a defect, never Kafka being away."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _run(self, partitions: list[int]) -> None:
        while True:
            try:
                took = await self._round(partitions)
                partitions = await self._look_up(partitions)
            except (LogUnavailable, MissingTopic) as error:
                _log.warning("lane_unreadable", lane=self.lane, reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if not took:
                await self._idle(partitions)

    async def _round(self, partitions: Sequence[int]) -> bool:
        """One turn over all partitions, each starting a place later than in the turn before."""
        self._turn += 1
        took_any = False
        for step in range(len(partitions)):
            partition = partitions[(self._turn + step) % len(partitions)]
            room = self._room(partition)
            if room <= 0:
                continue
            if partition in self._cautions:
                took = await self._took_with_caution(partition, self._cautions[partition])
            elif self._driver.cautious:
                async with self._driver.naming:  # who is named must not die of what is read elsewhere
                    await self._driver.name(None)
                    took = await self._took(partition, room)
            else:
                took = await self._took(partition, room)
            if took:
                took_any = True
                await asyncio.sleep(0)  # decoding is work: let answers and timers in between two partitions
        return took_any

    async def _took(self, partition: int, room: int) -> bool:
        return self._posted(partition, await self.log.take(partition, min(room, RECORDS_A_TAKE)))

    def _room(self, partition: int) -> int:
        """How many records the core would take from there now."""
        if self._driver.clock.now_ms() < self._full.get(partition, 0):
            return 0
        return self._driver.core.room(LanePartition(self.lane, partition))

    async def _idle(self, partitions: Sequence[int]) -> None:
        open_now = [one for one in partitions if self._room(one) > 0 and one not in self._cautions]
        if open_now:
            await self.log.wait(open_now, IDLE_WAIT_MS if len(open_now) == len(partitions) else CLOSED_WAIT_MS)
            return
        self._driver.room_changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_WAIT_MS / 1_000):
                await self._driver.room_changed.wait()

    async def _took_with_caution(self, partition: int, caution: Caution) -> bool:
        """One record, named in the ledger before Kafka's client unpacks it, and struck off once it is read."""
        place = LanePartition(self.lane, partition)
        offset = self.log.position(partition)
        while self._driver.core.want(Source(place, offset)) is Want.SKIP:
            offset += 1
        if offset >= caution.until:
            return self._end_caution(partition)
        if self._driver.core.want(Source(place, offset)) is Want.FULL:
            self._wait_for_room(partition)
            return False
        if offset != self.log.position(partition):  # else what was fetched already is not thrown away
            self.log.rewind(partition, offset)
        if not caution.may_take(offset):
            _log.error("record_crashed", lane=self.lane, partition=partition, offset=offset)
            self.log.rewind(partition, offset + 1)
            self.lose(partition, offset + 1, removed=False, crashed=True)
            return True
        if offset in caution.deaths:
            deaths = caution.deaths[offset]
            _log.warning("record_suspected", lane=self.lane, partition=partition, offset=offset, deaths=deaths)
        async with self._driver.naming:
            await self._driver.name(Source(place, offset))
            got = await self._named(partition)
            if isinstance(got, Unreadable) or not got:
                await self._driver.name(None)
                return self._posted(partition, got) if got else self._end_caution(partition)
            await self._read_named(Source(place, got[0].offset), got[0], decode=caution.may_decode(offset))
            return True

    async def _named(self, partition: int) -> Sequence[Fetched] | Unreadable:
        """The one record that is named; nothing if only markers stand there."""
        for _ in range(NAMED_LOOKED_FOR):
            got = await self.log.take(partition, 1)
            if got:
                return got
            await self.log.wait([partition], CLOSED_WAIT_MS)
        await self.log.bounds([partition])  # an answer: Kafka is there, and the record is not
        return []

    async def _read_named(self, source: Source, fetched: Fetched, *, decode: bool) -> None:
        want = self._driver.core.want(source)
        if want is Want.FULL:
            self.log.rewind(source.partition.number, fetched.offset)
            self._wait_for_room(source.partition.number)
        elif want is Want.TAKE and decode:
            cargo, known = self._read(source, fetched)
            await self._driver.name(None)
            self._hand_over(cargo, known, fetched)  # now: who dies of its call is no suspect
        elif want is Want.TAKE:
            _log.error("record_crashed", lane=self.lane, partition=source.partition.number, offset=source.offset)
            cargo = self._cargo(source, fetched.record, self._submitted_at(fetched.timestamp_ms))
            cargo.content, garbage = self._reader.unread(fetched.record)
            self._hand_over(cargo, garbage, fetched)  # before it is struck off: else its deaths would be forgotten
        await self._driver.name(None)

    def _end_caution(self, partition: int) -> bool:
        del self._cautions[partition]
        self._driver.cautious.discard(LanePartition(self.lane, partition))
        _log.info("caution_ends", lane=self.lane, partition=partition)
        return True

    def _wait_for_room(self, partition: int) -> None:
        self._full[partition] = self._driver.clock.now_ms() + CLOSED_WAIT_MS

    def _posted(self, partition: int, got: Sequence[Fetched] | Unreadable) -> bool:
        if isinstance(got, Unreadable):
            _log.error("batch_unreadable", lane=self.lane, partition=partition, first=got.first, last=got.last)
            self.lose(partition, got.last + 1, removed=got.removed)
            return True
        for fetched in got:
            source = Source(LanePartition(self.lane, partition), fetched.offset)
            want = self._driver.core.want(source)
            if want is Want.FULL:
                self.log.rewind(partition, fetched.offset)
                self._wait_for_room(partition)
                break
            if want is Want.TAKE:
                self._hand_over(*self._read(source, fetched), fetched)
        return bool(got)

    def _read(self, source: Source, fetched: Fetched) -> tuple[Cargo, Candidate | Garbage | Cancel]:
        submitted_at = self._submitted_at(fetched.timestamp_ms)
        content, known = self._reader.read(self.lane, fetched.record, submitted_at)
        cargo = self._cargo(source, fetched.record, submitted_at)
        cargo.content = content
        if isinstance(known, Candidate):
            cargo.limit = known.limit
        if isinstance(known, Cancel):
            known = replace(known, at_ms=self._stamped_ms(fetched.timestamp_ms, known.at_ms))
        return cargo, known

    def _hand_over(self, cargo: Cargo, known: Candidate | Garbage | Cancel, fetched: Fetched) -> None:
        number = self._driver.hold.stow(cargo)
        value = len(fetched.record.value or b"")
        weight = value + 2 * (fetched.record.bytes_max - value)  # key and headers travel as base64 when parked
        self._driver.post(Taken(number, cargo.source, max(NO_TIMESTAMP, fetched.timestamp_ms), weight, known))

    def _submitted_at(self, timestamp_ms: int) -> datetime:
        """A record's own timestamp, which its producer may have set to anything; never the future."""
        now = self._driver.clock.utc_now()
        if not 0 <= timestamp_ms < now.timestamp() * 1_000:
            return now
        return datetime.fromtimestamp(timestamp_ms / 1_000, UTC)

    def _stamped_ms(self, timestamp_ms: int, else_ms: int) -> int:
        """What a cancel is told apart from requests by: both timestamps as they are, for our own clock may be wrong."""
        latest_ms = self._driver.clock.utc_ms() + STAMPED_AHEAD_MAX_MS
        return min(timestamp_ms, latest_ms) if timestamp_ms >= 0 else else_ms

    def lose(self, partition: int, offset: int, *, removed: bool = True, crashed: bool = False) -> None:
        """Nobody can read any more what stood below `offset`: retention removed it, its batch is rotten, or deadly."""
        place = LanePartition(self.lane, partition)
        cargo = self._cargo(Source(place, offset), Record(None, None), self._driver.clock.utc_now())
        self._driver.post(Lost(self._driver.hold.stow(cargo), place, offset, removed, crashed))

    def _cargo(self, source: Source, record: Record, submitted_at: datetime) -> Cargo:
        clock = self._driver.clock
        return Cargo(
            source=source,
            topic=self.topic,
            record=record,
            content=None,
            submitted_at=submitted_at,
            taken_at=clock.utc_now(),
            taken_ms=clock.now_ms(),
        )

    async def _look_up(self, partitions: list[int]) -> list[int]:
        """Partitions added since; they start at their first record. Assigning forgets positions: all are set again."""
        now_ms = self._driver.clock.now_ms()
        if now_ms - self._looked_up_ms < PARTITIONS_LOOKED_UP_EVERY_MS:
            return partitions
        self._looked_up_ms = now_ms
        found = await self.log.partitions()
        new = [number for number in found if number not in partitions]
        if not new:
            return partitions
        for number in new:
            self._driver.post(PartitionFound(LanePartition(self.lane, number), PartitionProgress(0)))
        await self.log.start({number: 0 if number in new else self.log.position(number) for number in found})
        return found
