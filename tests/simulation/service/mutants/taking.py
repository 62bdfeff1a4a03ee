"""Faults in taking records: partitions that grow, records that retention removed, and those that end their reader."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from unittest.mock import patch

from headrace.broker.core.commands import Forget
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Lost
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.progress.poison_records import CautiousRead, CrashHistory
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.service.intake.entry import Entry, Read
from headrace.broker.service.intake.lane_intake import LaneIntake
from headrace.broker.service.leadership.promotion import Promotion
from headrace.schemas.record import Record
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

RETENTION = "retention removes"
DEADLY = "decoding a record ends the process"


@planted(2)
def reset_latest() -> Patch:
    """Where no progress is stored, the end is where to begin."""

    async def fresh(_self: Promotion, place: LanePartition, intake: LaneIntake) -> PartitionProgress:
        return PartitionProgress((await intake.log.bounds([place.number]))[place.number][1])

    return patch.object(Promotion, "_fresh", fresh)


@planted(2, RETENTION)
def a_partition_that_was_added_is_not_found() -> Patch:
    """A lane's partitions are those of the promotion."""

    async def look_up(_self: LaneIntake, partitions: list[int]) -> list[int]:
        return partitions

    return patch.object(LaneIntake, "_look_up", look_up)


@planted(2, RETENTION)
def a_partition_that_was_added_begins_at_its_end() -> Patch:
    """What was written to a new partition before it was found is passed over."""
    whole = LaneIntake._look_up

    async def look_up(self: LaneIntake, partitions: list[int]) -> list[int]:
        found = await whole(self, partitions)
        for number in set(found) - set(partitions):
            end = (await self.log.bounds([number]))[number][1]
            self._driver.core.registry.progress[LanePartition(self.lane, number)] = PartitionProgress(end)
            self.log.rewind(number, end)
        return found

    return patch.object(LaneIntake, "_look_up", look_up)


@planted(2, RETENTION)
def what_retention_removed_has_no_letter() -> Patch:
    """Records that were removed before they were taken are passed over in silence."""

    def lost(self: Dispatch, event: Lost, _now_ms: int) -> None:
        progress = self._progress_of(event.partition)
        if progress is not None:
            progress.lose_below(event.offset)
        self._settling.commands.append(Forget(event.number))

    return patch.object(Dispatch, "_lost", lost)


@planted(2)
def what_was_read_is_not_put_back() -> Patch:
    """An open record of a stored map is not read again."""

    return patch.object(PartitionProgress, "awaits", lambda self, offset: offset >= self.next_offset)


@planted(2, DEADLY)
def no_record_is_suspected() -> Patch:
    """What ended former leaders is read again as if nothing had been."""
    return patch.object(CrashHistory, "cautious_read", lambda _self, _partition, _until: None)


@planted(2, DEADLY)
def a_suspect_is_decoded_again() -> Patch:
    """A record that was named in two deaths is read once more, in every term."""
    return patch.multiple(CautiousRead, may_decode=lambda _self, _offset: True, may_take=lambda _self, _offset: True)


@planted(2, DEADLY)
def a_death_is_not_counted_where_one_record_was_named() -> Patch:
    """A record that was named alone when a term died is read again as one of a crowd."""

    def died(self: CrashHistory, at_ms: int) -> None:
        self._row, self._died_ms = self._row + 1, at_ms
        self._crowd.update(self._named)

    return patch.object(CrashHistory, "_record_crash", died)


@planted(2, DEADLY)
def caution_ends_at_the_base() -> Patch:
    """Only the first open record is read with caution, although a dead term may have read further."""
    whole = CrashHistory.cautious_read

    def caution(self: CrashHistory, partition: str, _until: int) -> CautiousRead | None:
        return whole(self, partition, 0)

    return patch.object(CrashHistory, "cautious_read", caution)


@planted(10)
def a_defect_in_reading_ends_the_process() -> Patch:
    """An exception while one record is read is not contained."""

    async def read(self: Entry, source: Source, record: Record, submitted_at: datetime) -> Read:
        work: Callable[[], Read] = partial(self._read, source.partition.lane, record, submitted_at)
        return work()

    return patch.object(Entry, "read", read)
