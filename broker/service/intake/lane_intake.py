"""Record intake: one task per lane while this process leads, its partitions in turn; likewise for the control topic.

It takes no more than the core has room for, and rewinds to what the core could not take. No partition is paused: one
without room is not asked. A halted intake has returned all it took: a new term starts from the stored maps without gap.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog

from broker.core.events import Lost, PartitionFound, Taken
from broker.core.identity.pending_cancels import CancelRecord
from broker.core.progress.partition_progress import PartitionProgress
from broker.core.progress.poison_records import CautiousRead
from broker.core.requests.registry import Want
from broker.core.ticket import Candidate, LanePartition, Source
from broker.errors import LogUnavailable, MissingTopic
from broker.ports import Fetched, LaneLog, UnreadableRange
from broker.service.driver import Driver
from broker.service.intake.entry import Entry, Read, Reader, is_large
from broker.service.offload import Offload, at_once
from broker.service.payloads import Payload
from broker.tasks import ended
from schemas.record import Record

RECORDS_A_TAKE = 50
READ_AT_ONCE_BYTES = 64 * 1024
"""Bytes of values read in a row before the event loop serves answers and timers. Counting the tokens of this many bytes
takes up to 0.1 s (a run of one letter), and of a take of 50 such records longer than the lease lasts."""
IDLE_WAIT_MS = 1_000
"""Wait of a lane with room in all partitions for its next record, which ends the wait at once."""
CLOSED_WAIT_MS = 200
"""Delay until a partition without room is looked at again."""
PARTITIONS_LOOKED_UP_EVERY_MS = 10_000
RETRY_S = 0.5
LAST_OF_FORMER_MS = 60_000
"""Time in which the requests of a deleted topic may still be answered before its successor is read."""
NAMED_WAITS_MS = (5, 10, 20, 40, 80, 160, 320, 365)
"""Waits between the looks for a named record; after the last (a second in all) it is taken to be absent. Kafka's client
ends no wait for markers, so the first looks follow each other closely."""
NO_TIMESTAMP = -1
STAMPED_AHEAD_MAX_MS = 86_400_000
"""No timestamp further ahead of now is believed, however wrong our clock is; Kafka accepts up to an hour ahead."""

_Batch = list[tuple[Source, Callable[[], None]]]  # records named together, each with its hand-over
_log = structlog.get_logger("intake")


class TopicMadeAnewError(Exception):
    """The lane's topic was deleted and recreated: no offset taken or stored before has any meaning in it."""


class LaneIntake:
    """Intake of one lane, or of the control topic: its records from Kafka to the core."""

    def __init__(  # noqa: PLR0913 — offload has a default
        self, lane: str, topic: str, log: LaneLog, driver: Driver, reader: Reader, *, offload: Offload = at_once
    ) -> None:
        """`log` is the lane's door, opened by the first query. `offload` reads large values."""
        self.lane = lane
        self.topic = topic
        self.log = log
        self._driver = driver
        self._entry = Entry(reader, offload, driver.contained)
        self._task: asyncio.Task[None] | None = None
        self._turn = 0
        self._looked_up_ms: int | None = None
        self._topic_id: str | None = None
        self._cautions: dict[
            int, CautiousRead
        ] = {}  # partitions whose records are named in the ledger before they are read
        self._still_named: list[tuple[LanePartition, _Batch]] = []  # read, but not yet struck off
        self._read_bytes = 0  # since the loop last served other tasks
        self._partitions: list[int] = []
        self._full: dict[int, int] = {}  # partitions whose next record does not fit, and when to try again

    @property
    def read_ahead_max(self) -> int:
        """See `broker.core.requests.registry.TicketRegistry.read_ahead_max`."""
        return self._driver.core.register.read_ahead_max(self.lane)

    async def begin(self, positions: dict[int, int], cautions: Mapping[int, CautiousRead] | None = None) -> None:
        """Take from these offsets on; the core has been promoted with progress that starts there.

        Partitions with a caution may hold a record that has ended former leaders.
        """
        await self.log.start(positions)
        self._cautions = dict(cautions or {})
        for number, caution in self._cautions.items():
            _log.warning("caution_begins", lane=self.lane, partition=number, until=caution.until, deaths=caution.deaths)
        self._looked_up_ms = self._driver.clock.now_ms()
        self._topic_id = self.log.topic_id
        self._partitions = sorted(positions)
        self._task = asyncio.create_task(self._run(self._partitions), name=f"intake {self.lane}")

    async def halt(self) -> None:
        """Stop taking; afterwards no record is between Kafka and the core."""
        task, self._task = self._task, None
        if task is not None:
            await ended(task)
        self._still_named.clear()

    @property
    def takes(self) -> bool:
        """Whether the lane is being read."""
        return self._task is not None

    async def lag(self) -> int | None:
        """Return how many offsets the readable end of the log is ahead of what was taken; None while nothing is taken.

        Raises:
            broker.errors.LogUnavailable: Kafka does not say.
        """
        if not self.takes:
            return None
        bounds = await self.log.bounds(self._partitions)
        if not self.takes:  # halted in the meantime
            return None
        return sum(max(0, end - self.log.position(partition)) for partition, (_, end) in bounds.items())

    def failure(self) -> BaseException | None:
        """Return what ended the task, if it ended by itself: a defect, never the absence of Kafka."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _run(self, partitions: list[int]) -> None:
        while True:
            try:
                partitions = self._partitions = await self._look_up(partitions)
                took = await self._round(partitions)
            except (LogUnavailable, MissingTopic) as error:
                _log.warning("lane_unreadable", lane=self.lane, reason=str(error))
                await self._strike_off()
                await asyncio.sleep(RETRY_S)
                self._looked_up_ms = None  # the topic may have been recreated: check before anything is taken
                continue
            if self._still_named and not took:
                await self._strike_off()
            elif not took:
                await self._idle(partitions)

    async def _round(self, partitions: Sequence[int]) -> bool:
        """Run one turn over all partitions, starting one partition later than in the turn before."""
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
                if self.log.is_at_end(partition):
                    continue  # otherwise each look would cost a transaction that strikes off what is named elsewhere
                async with self._driver.naming:  # a named record must not be blamed for what is read elsewhere
                    await self._driver.name()
                    took = await self._took(partition, room)
            else:
                took = await self._took(partition, room)
            if took:
                took_any = True
                await asyncio.sleep(0)  # decoding is CPU work: let answers and timers run between two partitions
        return took_any

    async def _took(self, partition: int, room: int) -> bool:
        return await self._posted(partition, await self.log.take(partition, min(room, RECORDS_A_TAKE)))

    def _room(self, partition: int) -> int:
        """Return how many records of the partition the core would take now."""
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

    async def _took_with_caution(self, partition: int, caution: CautiousRead) -> bool:
        """Take the next records: named in the ledger before Kafka's client unpacks them, struck off once read."""
        place = LanePartition(self.lane, partition)
        offset = self.log.position(partition)
        while self._driver.core.want(Source(place, offset)) is Want.SKIP:
            offset += 1
        if self._still_named and (offset >= caution.until or not caution.may_take(offset)):
            await self._strike_off()  # hand over what was read, or rewind to it where there is no room
            return True
        if offset >= caution.until:
            return self._end_caution(partition)
        if self._driver.core.want(Source(place, offset)) is Want.FULL:
            self._wait_for_room(partition)
            return False
        if offset != self.log.position(partition):  # otherwise what has been fetched already is kept
            self.log.rewind(partition, offset)
        if not caution.may_take(offset):
            _log.error("record_crashed", lane=self.lane, partition=partition, offset=offset)
            self.log.rewind(partition, offset + 1)
            self.lose(partition, offset + 1, removed=False, crashed=True)
            return True
        if offset in caution.deaths:
            deaths = caution.deaths[offset]
            _log.warning("record_suspected", lane=self.lane, partition=partition, offset=offset, deaths=deaths)
        return await self._took_named(place, offset, caution)

    async def _took_named(self, place: LanePartition, offset: int, caution: CautiousRead) -> bool:
        """Take the records from `offset` on, the partition's position; the first of them is to be taken."""
        partition = place.number
        room = self._room(partition) - sum(len(read) for _, read in self._still_named)
        if room <= 0 and self._still_named:
            return False
        count = min(caution.batch_max(offset), max(1, room))
        sources = [Source(place, offset + step) for step in range(count)]
        async with self._driver.naming:
            await self._driver.name(*(each for each in sources if self._driver.core.want(each) is not Want.SKIP))
            if self.log.position(partition) != offset:  # there was no room for what has been struck off
                await self._driver.name()
                return True
            got = await self._named(partition, count)
            if isinstance(got, UnreadableRange) or not got:
                await self._driver.name()
                if got:
                    return await self._posted(partition, got)
                return self.log.position(partition) > offset or self._end_caution(partition)
            await self._read_named(place, got, offset + count, decode=caution.may_decode(offset))
            return True

    async def _named(self, partition: int, count: int) -> Sequence[Fetched] | UnreadableRange:
        """Return those named records that Kafka's client has; none if it passed only markers or found nothing."""
        first = self.log.position(partition)
        for wait_ms in NAMED_WAITS_MS:
            got = await self.log.take(partition, count)
            if got or self.log.position(partition) > first:
                return got
            await self.log.wait([partition], wait_ms)
        await self.log.bounds([partition])  # Kafka answers, so it is there and the records are not
        return []

    async def _read_named(self, place: LanePartition, got: Sequence[Fetched], end: int, *, decode: bool) -> None:
        """Read the records below `end`, to be handed over once struck off, since a call may be fatal as well.

        The line that names the next records strikes them off, or, if there are none now, one that names none. Where
        offsets have gaps, the first record may stand at `end` or behind it; it was named by its position.
        """
        read: _Batch = []
        for fetched in got:
            source = Source(place, fetched.offset)
            want = self._driver.core.want(source)
            if want is Want.FULL or (fetched.offset >= end and fetched is not got[0]):
                self.log.rewind(place.number, fetched.offset)
                break
            if want is Want.TAKE and decode:
                read.append((source, await self._read(source, fetched)))
            elif want is Want.TAKE:
                self._hand_over(*self._unread(source, fetched), fetched)  # before it is struck off, or it would be read
        self._still_named.append((place, read))
        self._driver.on_struck_off(self._hand_over_read)

    def _hand_over_read(self) -> None:
        """Hand over what has been struck off; a partition without room is read again from the first record left."""
        still_named, self._still_named = self._still_named, []
        for place, read in still_named:
            for source, hand_over in read:
                if self._driver.core.want(source) is Want.FULL:
                    self.log.rewind(place.number, source.offset)
                    self._wait_for_room(place.number)
                    break
                hand_over()

    def _unread(self, source: Source, fetched: Fetched) -> tuple[Payload, Read]:
        """Build the entry of a record that is not decoded any more, since two terms have died of decoding it."""
        _log.error("record_crashed", lane=self.lane, partition=source.partition.number, offset=source.offset)
        cargo = self._cargo(source, fetched.record, self._submitted_at(fetched.timestamp_ms))
        return cargo, self._entry.unread(fetched.record)

    async def _strike_off(self) -> None:
        """Record in the ledger that no records are named now."""
        if self._still_named:
            async with self._driver.naming:
                await self._driver.name()

    def _end_caution(self, partition: int) -> bool:
        del self._cautions[partition]
        self._driver.cautious.discard(LanePartition(self.lane, partition))
        _log.info("caution_ends", lane=self.lane, partition=partition)
        return True

    def _wait_for_room(self, partition: int) -> None:
        self._full[partition] = self._driver.clock.now_ms() + CLOSED_WAIT_MS

    async def _posted(self, partition: int, got: Sequence[Fetched] | UnreadableRange) -> bool:
        if isinstance(got, UnreadableRange):
            _log.error("batch_unreadable", lane=self.lane, partition=partition, first=got.first, last=got.last)
            self.lose(partition, got.last + 1, removed=got.removed)
            return True
        for fetched in got:
            source = Source(LanePartition(self.lane, partition), fetched.offset)
            want = self._driver.core.want(source)
            if want is Want.TAKE:
                hand_over = await self._read(source, fetched)
                want = self._driver.core.want(source)  # reading a large record takes time: the term may have ended
                if want is Want.TAKE:
                    hand_over()
                    if is_large(fetched.record) and fetched is not got[-1] and self._room(partition) <= 0:
                        self.log.rewind(partition, fetched.offset + 1)
                        break
            if want is Want.FULL:
                self.log.rewind(partition, fetched.offset)
                self._wait_for_room(partition)
                break
        return bool(got)

    async def _read(self, source: Source, fetched: Fetched) -> Callable[[], None]:
        """Read a record; return the callback that hands it over. Other tasks run meanwhile, and the term may end."""
        if self._read_bytes >= READ_AT_ONCE_BYTES:
            self._read_bytes = 0
            await asyncio.sleep(0)
        self._read_bytes += len(fetched.record.value or b"")
        submitted_at = self._submitted_at(fetched.timestamp_ms)
        cargo = self._cargo(source, fetched.record, submitted_at)
        read = await self._entry.read(source, fetched.record, submitted_at)
        return partial(self._hand_over, cargo, read, fetched)

    def _hand_over(self, cargo: Payload, read: Read, fetched: Fetched) -> None:
        known, cargo.content = read.known, read.content
        if isinstance(known, Candidate):
            cargo.limit = known.limit
        if isinstance(known, CancelRecord):
            known = replace(known, at_ms=self._stamped_ms(fetched.timestamp_ms, known.at_ms))
        number, timestamp_ms = self._driver.hold.put(cargo), max(NO_TIMESTAMP, fetched.timestamp_ms)
        self._driver.post(Taken(number, cargo.source, timestamp_ms, read.weight.written, known, read.weight.held))

    def _submitted_at(self, timestamp_ms: int) -> datetime:
        """Return the record's own timestamp, which its producer may have set to anything; never the future."""
        now = self._driver.clock.utc_now()
        if not 0 <= timestamp_ms < now.timestamp() * 1_000:
            return now
        return datetime.fromtimestamp(timestamp_ms / 1_000, UTC)

    def _stamped_ms(self, timestamp_ms: int, else_ms: int) -> int:
        """Return the time that orders cancels and requests: timestamps unchanged, as our own clock may be wrong."""
        latest_ms = self._driver.clock.utc_ms() + STAMPED_AHEAD_MAX_MS
        return min(timestamp_ms, latest_ms) if timestamp_ms >= 0 else else_ms

    def lose(self, partition: int, offset: int, *, removed: bool = True, crashed: bool = False) -> None:
        """Report that the records below `offset` are unreadable: removed by retention, in a corrupt batch, or fatal."""
        place = LanePartition(self.lane, partition)
        cargo = self._cargo(Source(place, offset), Record(None, None), self._driver.clock.utc_now())
        self._driver.post(Lost(self._driver.hold.put(cargo), place, offset, removed, crashed))

    def _cargo(self, source: Source, record: Record, submitted_at: datetime) -> Payload:
        clock = self._driver.clock
        return Payload(
            source=source,
            topic=self.topic,
            record=record,
            content=None,
            submitted_at=submitted_at,
            taken_at=clock.utc_now(),
            taken_ms=clock.now_ms(),
        )

    async def _look_up(self, partitions: list[int]) -> list[int]:
        """Find added partitions, which start at their first record. Assigning forgets positions: all are set again."""
        now_ms = self._driver.clock.now_ms()
        if self._looked_up_ms is not None and now_ms - self._looked_up_ms < PARTITIONS_LOOKED_UP_EVERY_MS:
            return partitions
        found = await self.log.partitions()
        self._looked_up_ms = now_ms
        if self._topic_id is not None and self.log.topic_id not in {None, self._topic_id}:
            await self._answer_last_of_former()
            raise TopicMadeAnewError(f"{self.topic} was deleted and made anew: it is taken from its beginning.")
        new = [number for number in found if number not in partitions]
        if not new:
            return partitions
        for number in new:
            self._driver.post(PartitionFound(LanePartition(self.lane, number), PartitionProgress(0)))
        await self.log.start({number: 0 if number in new else self.log.position(number) for number in found})
        return found

    async def _answer_last_of_former(self) -> None:
        """Wait, for a limited time, until what was taken from the former topic has its outcomes; take nothing more."""
        _log.error("lane_made_anew", lane=self.lane, topic=self.topic)
        driver = self._driver
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_OF_FORMER_MS / 1_000):
                while any(each.source.partition.lane == self.lane for each in driver.hold.cargo.values()):
                    driver.room_changed.clear()
                    await driver.room_changed.wait()
