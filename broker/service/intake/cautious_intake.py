"""Intake with caution, from partitions that may hold a record which has ended former leaders.

Records are named in the ledger before Kafka's client unpacks them, and struck off once they are read, so that a leader
that dies of one has named it. `headrace.broker.core.progress.poison_records` counts such deaths and says what may be
read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.ports import Fetched, LaneLog, UnreadableRange
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.handover import Handover
from headrace.broker.service.intake.lane_room import LaneRoom

NAMED_WAITS_MS: Final = (5, 10, 20, 40, 80, 160, 320, 365)
"""Waits between the looks for a named record; after the last (a second in all) it is taken to be absent. Kafka's client
ends no wait for markers, so the first looks follow each other closely."""

_Batch = list[tuple[Source, Callable[[], None]]]  # records named together, each with its hand-over
_log = structlog.get_logger("intake")


class CautiousIntake:
    """Intake of one lane's partitions with a caution, until it ends."""

    def __init__(self, lane: str, log: LaneLog, driver: Driver, room: LaneRoom, handover: Handover) -> None:
        self._lane = lane
        self._log = log
        self._driver = driver
        self._room = room
        self._handover = handover
        self._cautions: dict[int, CautiousRead] = {}
        self._still_named: list[tuple[LanePartition, _Batch]] = []  # read, but not yet struck off

    def begin(self, cautions: Mapping[int, CautiousRead]) -> None:
        """Take with caution from these partitions."""
        self._cautions = dict(cautions)
        for number, caution in self._cautions.items():
            deaths = caution.deaths
            _log.warning("caution_begins", lane=self._lane, partition=number, until=caution.until, deaths=deaths)

    def halt(self) -> None:
        """Forget what was read and not handed over: a new term reads it again."""
        self._still_named.clear()

    def covers(self, partition: int) -> bool:
        """Whether the partition's records must be named before they are read."""
        return partition in self._cautions

    @property
    def is_naming(self) -> bool:
        """Whether records were read that the ledger still names."""
        return bool(self._still_named)

    async def strike_off(self) -> None:
        """Record in the ledger that no records are named now."""
        if self._still_named:
            async with self._driver.naming:
                await self._driver.name()

    async def take(self, partition: int) -> bool:
        """Take the partition's next records; return whether it may have more at once.

        They are named in the ledger before Kafka's client unpacks them, and struck off once read.
        """
        place, caution = LanePartition(self._lane, partition), self._cautions[partition]
        offset = self._log.position(partition)
        while self._driver.core.want(Source(place, offset)) is Want.SKIP:
            offset += 1
        if self._still_named and (offset >= caution.until or not caution.may_take(offset)):
            await self.strike_off()  # hand over what was read, or rewind to it where there is no room
            return True
        if offset >= caution.until:
            return self._end_caution(place)
        if self._driver.core.want(Source(place, offset)) is Want.FULL:
            self._room.close(partition)
            return False
        if offset != self._log.position(partition):  # otherwise what has been fetched already is kept
            self._log.rewind(partition, offset)
        if not caution.may_take(offset):
            _log.error("record_crashed", lane=self._lane, partition=partition, offset=offset)
            self._log.rewind(partition, offset + 1)
            self._handover.lose(place, offset + 1, removed=False, crashed=True)
            return True
        if offset in caution.deaths:
            deaths = caution.deaths[offset]
            _log.warning("record_suspected", lane=self._lane, partition=partition, offset=offset, deaths=deaths)
        return await self._take_named(place, offset, caution)

    async def _take_named(self, place: LanePartition, offset: int, caution: CautiousRead) -> bool:
        """Take the records from `offset` on, the partition's position; the first of them is to be taken."""
        partition = place.number
        room = self._room.of(partition) - sum(len(read) for _, read in self._still_named)
        if room <= 0 and self._still_named:
            return False
        count = min(caution.batch_max(offset), max(1, room))
        sources = [Source(place, offset + step) for step in range(count)]
        async with self._driver.naming:
            await self._driver.name(*(each for each in sources if self._driver.core.want(each) is not Want.SKIP))
            if self._log.position(partition) != offset:  # there was no room for what has been struck off
                await self._driver.name()
                return True
            got = await self._named(partition, count)
            if isinstance(got, UnreadableRange) or not got:
                await self._driver.name()
                if isinstance(got, UnreadableRange):
                    self._handover.lose_batch(place, got)
                    return True
                return self._log.position(partition) > offset or self._end_caution(place)
            await self._read_named(place, got, range(offset, offset + count), caution)
            return True

    async def _named(self, partition: int, count: int) -> Sequence[Fetched] | UnreadableRange:
        """Return those named records that Kafka's client has; none if it passed only markers or found nothing."""
        first = self._log.position(partition)
        for wait_ms in NAMED_WAITS_MS:
            got = await self._log.take(partition, count)
            if got or self._log.position(partition) > first:
                return got
            await self._log.wait([partition], wait_ms)
        await self._log.bounds([partition])  # Kafka answers, so it is there and the records are not
        return []

    async def _read_named(
        self, place: LanePartition, got: Sequence[Fetched], offsets: range, caution: CautiousRead
    ) -> None:
        """Read the records named by `offsets`, to be handed over once struck off, since a call may be fatal as well.

        The line that names the next records strikes them off, or, if there are none now, one that names none. Where
        offsets have gaps, the first record may stand behind them; it was named by its position. But a suspect is named
        by its own offset first: then its former deaths count, and the next one is held against it.
        """
        read: _Batch = []
        for fetched in got:
            source = Source(place, fetched.offset)
            want = self._driver.core.want(source)
            behind = fetched.offset >= offsets.stop
            unnamed = behind and (fetched is not got[0] or caution.is_suspect(fetched.offset))
            if want is Want.FULL or unnamed:
                self._log.rewind(place.number, fetched.offset)
                break
            if want is Want.TAKE and caution.may_decode(offsets.start):
                read.append((source, await self._handover.read(source, fetched)))
            elif want is Want.TAKE:
                self._handover.give_unread(source, fetched)  # before it is struck off, or it would be read
        self._still_named.append((place, read))
        self._driver.on_struck_off(self._hand_over_read)

    def _hand_over_read(self) -> None:
        """Hand over what has been struck off; a partition without room is read again from the first record left."""
        still_named, self._still_named = self._still_named, []
        for place, read in still_named:
            for source, hand_over in read:
                if self._driver.core.want(source) is Want.FULL:
                    self._log.rewind(place.number, source.offset)
                    self._room.close(place.number)
                    break
                hand_over()

    def _end_caution(self, place: LanePartition) -> bool:
        del self._cautions[place.number]
        self._driver.cautious.discard(place)
        _log.info("caution_ends", lane=place.lane, partition=place.number)
        return True
