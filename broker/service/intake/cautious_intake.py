"""Intake with caution, from partitions that may hold a record which has ended former leaders.

Records are named in the ledger before they are unpacked, and struck off once they are read, so that a leader that dies
of one has named it. Their offsets are known from the headers of their batches (`OnDemandLog.upcoming`). Such deaths are
counted by `headrace.broker.core.progress.poison_records`, which says what may be read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from headrace.broker.core.bounds import CAUTIOUS_BATCH_MAX
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.on_demand_ports import OnDemandLog, Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.handover import Handover
from headrace.broker.service.intake.lane_room import LaneRoom

_Batch = list[tuple[Source, Callable[[], None]]]  # records named together, each with its hand-over
_log = structlog.get_logger("intake")


class CautiousIntake:
    """Intake of one lane's partitions with a caution, until it ends."""

    def __init__(self, lane: str, log: OnDemandLog, driver: Driver, room: LaneRoom, handover: Handover) -> None:
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

    @property
    def partitions(self) -> Collection[int]:
        """The partitions whose records must be named before they are read."""
        return self._cautions.keys()

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

        They are named in the ledger before they are unpacked, and struck off once read. What cannot be read by any
        process is passed over; what was read before is handed over first, or rewound to where there is no room.
        """
        place = LanePartition(self._lane, partition)
        offset = self._log.position(partition)
        while self._driver.core.want(Source(place, offset)) is Want.SKIP:
            offset += 1
        if offset != self._log.position(partition):
            self._log.rewind(partition, offset)
        upcoming = await self._log.upcoming(partition, CAUTIOUS_BATCH_MAX)
        if upcoming is None:
            return False
        if isinstance(upcoming, UnreadableRange):
            await self.strike_off()
            self._pass(partition, range(upcoming.first, upcoming.last + 1))
            self._handover.lose_batch(place, upcoming)
            return True
        first = self._log.position(partition)
        self._pass(partition, range(offset, first))
        caution = self._cautions[partition]
        ends = not upcoming.offsets or first >= caution.until
        if self._still_named and (ends or not caution.may_take(first)):
            await self.strike_off()
            return True
        if ends:
            return self._end_caution(place)
        return await self._take_upcoming(place, upcoming, caution)

    async def _take_upcoming(self, place: LanePartition, upcoming: Upcoming, caution: CautiousRead) -> bool:
        partition, first = place.number, upcoming.offsets[0]
        want = self._driver.core.want(Source(place, first))
        if want is Want.SKIP:
            return True
        if want is Want.FULL:
            self._room.close(partition)
            return False
        if not caution.may_take(first):
            _log.error("record_crashed", lane=self._lane, partition=partition, offset=first)
            self._log.rewind(partition, upcoming.batch_end)
            self._pass(partition, range(first, upcoming.batch_end))
            self._handover.lose(place, upcoming.batch_end, first=first, removed=False, crashed=True)
            return True
        if first in caution.deaths:
            deaths = caution.deaths[first]
            _log.warning("record_suspected", lane=self._lane, partition=partition, offset=first, deaths=deaths)
        return await self._take_named(place, upcoming.offsets, caution)

    async def _take_named(self, place: LanePartition, upcoming: Sequence[int], caution: CautiousRead) -> bool:
        """Take as many of the upcoming records as may be named together; the first of them is to be taken."""
        partition = place.number
        room = self._room.of(partition) - sum(len(read) for _, read in self._still_named)
        if room <= 0 and self._still_named:
            return False
        offsets = caution.together(upcoming)[: max(1, room)]
        sources = [Source(place, offset) for offset in offsets]
        async with self._driver.naming:
            await self._driver.name(*(each for each in sources if self._driver.core.want(each) is not Want.SKIP))
            if self._log.position(partition) != offsets[0]:  # there was no room for what has been struck off
                await self._driver.name()
                return True
            got = await self._log.take(partition, len(offsets))
            behind = self._log.position(partition)
            records = () if isinstance(got, UnreadableRange) else [fetched.offset for fetched in got]
            self._pass(partition, range(offsets[0], behind), records)
            if isinstance(got, UnreadableRange):
                await self._driver.name()
                self._handover.lose_batch(place, got)
            elif got:
                await self._read_named(place, got, offsets, caution)
            else:  # compaction has removed what stood there
                await self._driver.name()
            return behind > offsets[0]

    def _pass(self, partition: int, offsets: range, records: Collection[int] = ()) -> None:
        """Note that all of these offsets but those of the records hold nothing that can be read."""
        self._cautions[partition] = self._cautions[partition].passing(offsets, records)

    async def _read_named(
        self, place: LanePartition, got: Sequence[Fetched], offsets: Sequence[int], caution: CautiousRead
    ) -> None:
        """Read the records named by `offsets`, to be handed over once struck off, since a call may be fatal as well.

        The line that names the next records strikes them off, or, if there are none now, one that names none. Where
        compaction has left gaps in a batch, a record may stand behind the named offset: it is named by its own first.
        """
        read: _Batch = []
        for fetched in got:
            source = Source(place, fetched.offset)
            want = self._driver.core.want(source)
            if want is Want.FULL or fetched.offset not in offsets:
                self._log.rewind(place.number, fetched.offset)
                break
            if want is Want.TAKE and caution.may_decode(fetched.offset):
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
        self._log.read_ahead(place.number)
        self._driver.cautious.discard(place)
        _log.info("caution_ends", lane=place.lane, partition=place.number)
        return True
