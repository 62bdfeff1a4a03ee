"""Promotion to leader, step by step: fence, claim, read back, restore progress. PROTOCOL's section 3 as code.

No step may be skipped or reordered:

1. `open()` of the transactional producer fences every predecessor and settles its last transaction.
2. The lease must still be ours after that; a candidate that has lost it closes and stands by. Redis must have given the
   time, now or earlier: it decides how far back the ledger is read.
3. The claim, one committed ledger record, numbers the term: one above the highest read. It states the positions of
   suspected partitions.
4. The ledger is read up to our own claim, so that every fate a predecessor committed is known.
5. All stored offsets are read; only after `open()` are they certain to be the last ones.
6. A foreign claim or map with our term or a higher one means that another process was faster. Claim again, one above.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import structlog

from headrace.broker import ports
from headrace.broker.core.bounds import STANDS_A_CLAIM_MAX
from headrace.broker.core.lease import next_term
from headrace.broker.core.progress.offset_map import TIMESTAMP_UNKNOWN
from headrace.broker.core.progress.partition_progress import PartitionProgress, ProgressUnreadableError
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.ticket import LanePartition
from headrace.broker.errors import LeaseUnavailable, LogUnavailable, ProgressUnreadable
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.intake.lane_intake import LaneIntake
from headrace.broker.service.leadership.clock_check import Timekeeper
from headrace.broker.service.leadership.ledger_follower import LedgerFollower
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.schemas.ledger import encode_ledger, position
from headrace.schemas.record import Record

CLAIMS_MAX = 5
CLAIM_READ_WITHIN_MS = 15_000
_T = TypeVar("_T")

_log = structlog.get_logger("promotion")


class LeaseLostError(Exception):
    """The lease went to another process between taking it and opening the producer."""


@dataclass(slots=True)
class RestoredState:
    """Result of a promotion: the term, and the position of each partition.

    Attributes:
        lost: Partitions of which retention has removed records below this offset that were never taken.
        cautions: Partitions that hold a record which may have ended former leaders.
        topic_ids: Of the topics that the progress belongs to, by name, as far as the server gives them.
    """

    term: int
    progress: dict[LanePartition, PartitionProgress] = field(default_factory=dict)
    lost: dict[LanePartition, int] = field(default_factory=dict)
    cautions: dict[LanePartition, CautiousRead] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    highest_term: int = 0
    """Highest term that wrote one of the maps."""

    def add(self, other: "RestoredState") -> None:
        """Merge the state of another lane's partitions."""
        self.progress |= other.progress
        self.lost |= other.lost
        self.cautions |= other.cautions


@dataclass(kw_only=True, eq=False)
class Promotion:
    """Promotion steps of one process; used again after every fence.

    `from_start` names lanes whose missing offsets the operator allows to read as zero.
    """

    owner: str
    ledger_topic: str
    follower: LedgerFollower
    offsets: ports.OffsetStore
    intakes: Mapping[str, LaneIntake]
    from_start: frozenset[str]
    utc_ms: Callable[[], int]
    timekeeper: Timekeeper
    grants: Grants
    proof: Proof

    async def run(
        self, producer: ports.TransactionLog, still_mine: Callable[[], Awaitable[bool]], own_term: int
    ) -> RestoredState:
        """Become the leader.

        Args:
            producer: A fresh one, not opened.
            still_mine: Asked once after the fence: may this process go on?
            own_term: The term of this process's last claim, 0 if it has none.

        Raises:
            ProducerDead: The producer died on the way; ask again which process leads.
            LogUnavailable: Kafka does not answer in full.
            LeaseLostError: Another process has the lease.
            LeaseUnavailable: Redis has never given the time: by a clock that is ahead no id would be known.
            ProgressUnreadable: A stored map cannot be believed; an operator must look.
        """
        await producer.open()
        if not await still_mine():
            raise LeaseLostError
        if not await self.timekeeper.ask_redis():
            raise LeaseUnavailable("Redis has granted the lease but does not report its time (TIME).")
        await self.follower.reach_back(self.timekeeper.earliest_utc_ms())
        stands = await self._stored()
        for _ in range(CLAIMS_MAX):
            await self.follower.catch_up()
            keeps = self.follower.last_claim == (own_term, self.owner)
            term = own_term if keeps else next_term(self.follower.highest_term)
            standing = await self._claimed(producer, term, self._suspected(stands), ours_before=keeps)
            if standing is not None:
                return standing
        raise LogUnavailable(
            "Other claims keep arriving in between: check whether another dispatcher uses the same topics."
        )

    def _suspected(self, stands: Mapping[ports.TopicPartition, ports.StoredOffset]) -> tuple[str, ...]:
        """Return the position of each suspected partition for the claim: should we die too, our successor needs it.

        Only suspected ones are named (holes 24): a claim must fit one record, and there may be thousands of partitions.
        """
        suspected = self.follower.deaths.suspected
        named = ((place, each) for place, each in stands.items() if f"{place.topic}/{place.partition}" in suspected)
        return tuple(
            position(place.topic, place.partition, max(0, each.offset))
            for place, each in islice(named, STANDS_A_CLAIM_MAX)
        )

    async def _stored(self) -> dict[ports.TopicPartition, ports.StoredOffset]:
        """Read the stored offset of every partition of every lane, in their order."""
        lanes = list(self.intakes.values())
        numbers = await _all(*(intake.log.partitions() for intake in lanes))
        places = [
            ports.TopicPartition(intake.topic, number)
            for intake, each in zip(lanes, numbers, strict=True)
            for number in _found(each)
        ]
        stored = await self.offsets.read(places)
        return {place: stored[place] for place in places}

    async def _claimed(
        self, producer: ports.TransactionLog, term: int, stands: tuple[str, ...], *, ours_before: bool
    ) -> RestoredState | None:
        """Claim and read back; None if another leader has claimed that term or a later one."""
        key = await self.grants.for_claim()
        proved = self.proof.for_claim()
        totals = self.follower.outcome_counts.counts
        line = claim_record(term, self.owner, stands, self.follower.topic_ids, key=key, proved=proved, totals=totals)
        claim = ports.Outgoing(self.ledger_topic, Record(None, encode_ledger(line)))
        began_ms = self.utc_ms()
        (offset,) = await producer.transact([claim], {})
        self.follower.expect(term, self.owner, offset)
        await self.follower.read_to_claim(CLAIM_READ_WITHIN_MS)
        self.timekeeper.compare_kafka(self.follower.claimed_at_ms, began_ms)
        if self.follower.foreign_claim_from(term, self.owner):
            return None
        standing = RestoredState(term)
        for each in await self._all_restored(term):
            if each.highest_term > term or (each.highest_term == term and not ours_before):
                self.follower.highest_term = max(self.follower.highest_term, each.highest_term)
                return None
            standing.add(each)
        ids = {intake.topic: intake.log.topic_id for intake in self.intakes.values()}
        standing.topic_ids = {topic: each for topic, each in ids.items() if each is not None}
        return standing

    async def _all_restored(self, term: int) -> list[RestoredState]:
        """Progress of each lane.

        It is read in several questions. Where this process stood still between them, another one may have led
        meanwhile; then the answers do not fit each other, and no operator needs to look.
        """
        stored = await self._stored()
        restored = await _all(*(self._restored(lane, intake, stored) for lane, intake in self.intakes.items()))
        try:
            return [_found(each) for each in restored]
        except ProgressUnreadable as error:
            await self.follower.catch_up()
            if self.follower.last_claim != (term, self.owner):
                raise LogUnavailable("Another claim follows ours.") from error
            raise

    async def _restored(
        self, lane: str, intake: LaneIntake, everywhere: Mapping[ports.TopicPartition, ports.StoredOffset]
    ) -> RestoredState:
        """Restore the progress of one lane."""
        stored = {place.partition: each for place, each in everywhere.items() if place.topic == intake.topic}
        bounds = await intake.log.bounds(list(stored))
        if self._is_anew(intake):
            return _begun_anew(intake, stored, bounds)
        standing = RestoredState(0)
        lasts: dict[int, PartitionProgress] = {}
        for number, offset in stored.items():
            place = LanePartition(lane, number)
            progress, term = await self._progress(place, intake, offset, added=self._knows(intake, stored))
            standing.highest_term = max(standing.highest_term, term)
            start, end = bounds[number]
            if start < progress.next_offset and progress.last_timestamp_ms != TIMESTAMP_UNKNOWN:
                lasts[number] = progress
            if progress.next_offset > end:
                raise ProgressUnreadable(
                    f"{intake.topic}/{number} ends at {end}, but offset {progress.next_offset - 1} was taken from "
                    "it: the topic was recreated. Delete the offsets of the dispatcher's group for it, then start "
                    f"with --from-start {lane}."
                )
            if start > progress.base:
                standing.lost[place] = start
            standing.progress[place] = progress
            ahead = min(end, progress.next_offset + intake.read_ahead_max)
            caution = self.follower.deaths.cautious_read(f"{intake.topic}/{number}", ahead)
            if caution is not None and progress.base < caution.until:
                standing.cautions[place] = caution
        await self._recognise(intake, lasts)
        return standing

    def _knows(self, intake: LaneIntake, stored: Mapping[int, ports.StoredOffset]) -> bool:
        """Whether a leader has stored all partitions that this very topic had then, and did so within the last day.

        No offset can have expired since: a partition without one was added, whatever its records' timestamps are. Where
        no dispatcher led for longer, the offset of an idle partition may have expired before those of busier ones.
        """
        known = self.follower.topic_ids.get(intake.topic)
        others = any(each.offset != ports.NO_OFFSET for each in stored.values())
        recent = self.utc_ms() - self.follower.stepped_at_ms < ports.FIRST_RECORD_YOUNG_MS
        return known is not None and known == intake.log.topic_id and others and recent

    def _is_anew(self, intake: LaneIntake) -> bool:
        """Whether the stored progress belongs to a former topic of the same name."""
        known = self.follower.topic_ids.get(intake.topic)
        return known is not None and intake.log.topic_id not in {None, known}

    async def _recognise(self, intake: LaneIntake, lasts: Mapping[int, PartitionProgress]) -> None:
        """Check that the last record taken is still at its offset. If not, the topic was recreated."""
        if not lasts:
            return
        offsets = {number: progress.next_offset - 1 for number, progress in lasts.items()}
        for number, at_ms in (await intake.log.timestamps_ms(offsets)).items():
            if at_ms != lasts[number].last_timestamp_ms:
                raise ProgressUnreadable(
                    f"{intake.topic}/{number} holds another record at offset {offsets[number]} than the one that "
                    "was taken: the topic was recreated. Delete the offsets of the dispatcher's group for it, then "
                    f"start with --from-start {intake.lane}."
                )

    async def _progress(
        self, place: LanePartition, intake: LaneIntake, stored: ports.StoredOffset, *, added: bool
    ) -> tuple[PartitionProgress, int]:
        if stored.offset == ports.NO_OFFSET:
            return await self._fresh(place, intake, added=added), 0
        try:
            progress = PartitionProgress.restore(stored.offset, stored.metadata)
            return progress, PartitionProgress.term_of(stored.metadata)
        except ProgressUnreadableError as error:
            raise ProgressUnreadable(
                f"The progress stored for {intake.topic}/{place.number} is not Headrace's or is damaged ({error}); "
                "another client may have written to the dispatcher's group. Nothing was taken from it."
            ) from error

    async def _fresh(self, place: LanePartition, intake: LaneIntake, *, added: bool) -> PartitionProgress:
        """Start a partition without a stored offset: nothing was ever taken, unless the offset has expired."""
        bounds = (await intake.log.bounds([place.number]))[place.number]
        first_ms = await intake.log.first_timestamp_ms(place.number)
        young = first_ms is None or self.utc_ms() - first_ms < ports.FIRST_RECORD_YOUNG_MS
        if place.lane in self.from_start or (bounds[0] == 0 and (young or added)):
            return PartitionProgress(bounds[0])
        raise ProgressUnreadable(
            f"No progress is stored for {intake.topic}/{place.number}, yet it holds records older than a day: its "
            f"offsets may have expired. Start with --from-start {place.lane} to take everything it still holds."
        )


def _begun_anew(
    intake: LaneIntake, stored: Mapping[int, ports.StoredOffset], bounds: Mapping[int, tuple[int, int]]
) -> RestoredState:
    """Return the progress of a lane whose topic was recreated: of what is stored only the maps' terms mean anything."""
    _log.error("lane_begins_anew", lane=intake.lane, topic=intake.topic, partitions=len(stored))
    standing = RestoredState(0)
    for number, offset in stored.items():
        with contextlib.suppress(ProgressUnreadableError):
            if offset.offset != ports.NO_OFFSET:
                standing.highest_term = max(standing.highest_term, PartitionProgress.term_of(offset.metadata))
        standing.progress[LanePartition(intake.lane, number)] = PartitionProgress(bounds[number][0])
    return standing


async def _all(*asked: Awaitable[_T]) -> list[_T | BaseException]:
    """Await all side by side, and return the result or the error of each: every lane has a door of its own."""
    return await asyncio.gather(*asked, return_exceptions=True)


def _found(result: _T | BaseException) -> _T:
    """Return the result, or raise the error that it is."""
    if isinstance(result, BaseException):
        raise result
    return result
