"""Putting back what is due: read the failures, wait, and move each request to its lane in one transaction.

One task does all of it while it is elected, and owns the producer. A transaction moves records and progress together,
so a request is on its lane exactly once, whatever dies. It is short, for an open transaction on a lane stops every
reader of that lane. Any error ends the stretch: what is in memory is thrown away, and what Kafka stored says how to go
on.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from broker.clock import WallClock
from broker.errors import ProducerDead, ProgressUnreadable
from broker.ports import Fetched, Outgoing, RetryDoors, StoredOffset, Tenure, TopicPartition, TransactionLog
from broker.ports import Unreadable as UnreadableRange
from consumers.retries.bodies import Bodies
from consumers.retries.letters import Letters
from consumers.retries.releases import Releases
from consumers.retries.standing import Restorer
from schemas.codec import OtherReleaseError, WireError, decode_failure, encode_retry
from schemas.dead_letter import Origin
from schemas.failure import RetryableFailure
from schemas.topics import failures_topic, requests_topic

RECORDS_A_TRANSACTION_MAX = 200
BYTES_A_TRANSACTION_MAX = 1024 * 1024
READ_A_TIME = 200
IDLE_MS = 200
PARTITIONS_LOOKED_UP_EVERY_MS = 30_000
_ROTTEN = ""
"""The lane of what is no RetryableFailure: it leaves at once, as a dead letter."""

_log = structlog.get_logger("retrier")


class Watcher(Protocol):
    """Who counts."""

    def put_back(self, lane: str) -> None:
        """A request is on its lane again."""

    def dead_letter(self, reason: str) -> None:
        """A dead letter was written."""

    def transaction(self, result: str, seconds: float) -> None:
        """A transaction ended so (`committed`, `unknown`) after `seconds`."""


@dataclass(frozen=True, slots=True)
class RetrierRules:
    """`lanes` in their order.

    Attributes:
        from_start: The operator allows missing offsets to be read as zero.
        recommit_every_ms: Offsets of a group without members expire: they are stored again that often.
    """

    topic_prefix: str
    lanes: Sequence[str]
    dead_letter_bytes_max: int
    held_bytes_max: int
    from_start: bool = False
    recommit_every_ms: int = 3_600_000


class Retrier:
    """Serves while it is elected."""

    def __init__(self, doors: RetryDoors, rules: RetrierRules, watcher: Watcher, clock: WallClock) -> None:
        """Nothing is connected before `serve`."""
        self._doors = doors
        self._clock = clock
        self._rules = rules
        self._watcher = watcher
        self._topic = failures_topic(rules.topic_prefix)
        self._bodies = Bodies(doors.again, held_bytes_max=rules.held_bytes_max)
        self._letters = Letters(rules.topic_prefix, self._clock, bytes_max=rules.dead_letter_bytes_max)
        self._partitions: dict[int, Releases] = {}
        self._ranges: dict[tuple[int, int], UnreadableRange] = {}
        self._term = 0
        self._turn = 0
        self._heaviest = 1
        self._looked_up_ms = self._recommitted_ms = 0
        self.waiting: Counter[str] = Counter()
        self.put_back = 0

    def snapshot(self) -> dict[str, Any]:
        """What waits, and for how long; numbers are requests and seconds."""
        due_ms = self._next_due_ms()
        late_ms = 0 if due_ms is None else due_ms - self._clock.utc_ms()
        return {
            "waiting": sum(releases.waiting for releases in self._partitions.values()),
            "waiting_by_kind": {kind: count for kind, count in sorted(self.waiting.items()) if count},
            "next_due_in_s": None if due_ms is None else max(0.0, late_ms / 1_000),
            "put_back": self.put_back,
            "read_again": self._bodies.read_again,
            "held_bytes": self._bodies.held_bytes,
        }

    async def serve(self, tenure: Tenure) -> None:
        """Put back what is due until the tenure is over.

        Raises:
            ProducerDead: The outcome of the last transaction is unknown.
            LogUnavailable: Kafka does not answer.
            ProgressUnreadable: A stored progress cannot be believed.
        """
        producer = self._doors.make_producer()
        try:
            await producer.open()
            if await tenure.still_mine():
                await self._claim(producer)
                tenure.leads(self._term)
                while not tenure.is_over:
                    await self._round(producer, tenure)
        finally:
            await producer.close()
            self._forget()

    # ------------------------------------------------------------------ one stretch

    async def _claim(self, producer: TransactionLog) -> None:
        """Commit all partitions under a new term. Our producer has started: so what was read is the last there was."""
        doors = self._doors
        restorer = Restorer(self._topic, doors.failures, doors.offsets, self._clock, from_start=self._rules.from_start)
        standing = await restorer.restore()
        self._partitions, self._term = standing.partitions, standing.term
        letters = [self._letters.lost(Origin(self._topic, *_first(each))) for each in standing.lost.items()]
        await self._commit(producer, letters, self._partitions)
        for number, offsets in standing.lost.items():
            _log.error("lost_by_retention", partition=number, first=offsets.start, last=offsets.stop - 1)
            self._watcher.dead_letter("lost_by_retention")
        await doors.failures.start({number: each.next_offset for number, each in self._partitions.items()})
        self._looked_up_ms = self._recommitted_ms = self._clock.now_ms()

    async def _round(self, producer: TransactionLog, tenure: Tenure) -> None:
        took = await self._read_on()
        released = tenure.is_trusted and await self._release(producer)
        now_ms = self._clock.now_ms()
        if now_ms - self._looked_up_ms >= PARTITIONS_LOOKED_UP_EVERY_MS:
            await self._look_up()
        if tenure.is_trusted and now_ms - self._recommitted_ms >= self._rules.recommit_every_ms:
            await self._commit(producer, [], self._partitions)
            self._recommitted_ms = now_ms
        if not took and not released:
            await self._idle(trusted=tenure.is_trusted)

    async def _read_on(self) -> bool:
        took = False
        for number, releases in self._partitions.items():
            got = await self._doors.failures.take(number, READ_A_TIME)
            if isinstance(got, UnreadableRange):
                self._ranges[number, got.last] = got
                self._see(releases, got.last, _ROTTEN, 0, "undecodable")
                took = True
                continue
            for fetched in got:
                self._meet(number, releases, fetched)
            took |= bool(got)
        return took

    def _meet(self, number: int, releases: Releases, fetched: Fetched) -> None:
        try:
            failure = _failure(fetched)
        except OtherReleaseError as error:
            raise ProgressUnreadable(
                f"{self._topic}/{number} holds a failure at offset {fetched.offset} that this release cannot read; run "
                "the release that wrote it. Nothing was put back from there on."
            ) from error
        if failure is None:
            waits = self._see(releases, fetched.offset, _ROTTEN, 0, "undecodable")
        else:
            due_ms = max(0, int(failure.not_before.timestamp() * 1_000))
            waits = self._see(releases, fetched.offset, failure.lane, due_ms, failure.kind)
        if waits:
            self._bodies.keep(number, fetched)

    def _see(self, releases: Releases, offset: int, lane: str, due_ms: int, kind: str) -> bool:
        waits = releases.see(offset, lane, due_ms)
        self.waiting[kind] += waits
        return waits

    async def _idle(self, *, trusted: bool) -> None:
        """Until the next record is due, one comes in, or it is time to look at the tenure again."""
        due_ms = self._next_due_ms() if trusted else None
        wait_ms = IDLE_MS if due_ms is None else min(IDLE_MS, max(1, due_ms - self._clock.utc_ms()))
        await self._doors.failures.wait(list(self._partitions), wait_ms)

    def _next_due_ms(self) -> int | None:
        instants = (releases.next_due_ms() for releases in self._partitions.values())
        return min((instant for instant in instants if instant is not None), default=None)

    async def _look_up(self) -> None:
        """Partitions added since; they start at their first record. Assigning forgets positions: all are set again."""
        self._looked_up_ms = self._clock.now_ms()
        new = [number for number in await self._doors.failures.partitions() if number not in self._partitions]
        if new:
            positions = {number: self._doors.failures.position(number) for number in self._partitions}
            self._partitions.update({number: Releases(0) for number in new})
            await self._doors.failures.start(positions | dict.fromkeys(new, 0))

    # ------------------------------------------------------------------ putting back

    async def _release(self, producer: TransactionLog) -> bool:
        """One transaction with what is due of one partition; False if nothing was."""
        self._turn += 1
        numbers = sorted(self._partitions)
        now_ms = self._clock.utc_ms()
        count_max = max(1, min(RECORDS_A_TRANSACTION_MAX, BYTES_A_TRANSACTION_MAX // self._heaviest))
        for step in range(len(numbers)):
            number = numbers[(self._turn + step) % len(numbers)]
            chosen = self._partitions[number].choose(now_ms, count_max)
            if chosen:
                await self._move(producer, number, chosen)
                return True
        return False

    async def _move(self, producer: TransactionLog, number: int, chosen: list[int]) -> None:
        whole = [offset for offset in chosen if (number, offset) not in self._ranges]
        found = await self._bodies.of(number, whole)
        moves = [self._outgoing(number, offset, found.get(offset)) for offset in chosen]
        await self._commit(producer, [outgoing for outgoing, _ in moves], {number: self._partitions[number]})
        weights = [outgoing.record.bytes_max for outgoing, _ in moves]
        self._heaviest = max(*weights, self._heaviest * 9 // 10, 1)
        for offset, (outgoing, kind) in zip(chosen, moves, strict=True):
            self.waiting[kind] -= 1
            self._ranges.pop((number, offset), None)
            self._count(outgoing)

    def _outgoing(self, number: int, offset: int, fetched: Fetched | None) -> tuple[Outgoing, str]:
        """What is written for a record, and its kind."""
        origin = Origin(self._topic, number, offset)
        unread = self._ranges.get((number, offset))
        if unread is not None:
            reason = "lost_by_retention" if unread.removed else "undecodable"
            return self._letters.lost(origin._replace(offset=unread.first), reason), "undecodable"
        if fetched is None:
            return self._letters.lost(origin), "undecodable"
        failure = _failure(fetched)
        if failure is None:
            return self._letters.rotten(origin, fetched.record), "undecodable"
        topic = requests_topic(self._rules.topic_prefix, self._lane(failure.lane))
        submitted_ms = int(failure.submitted_at.timestamp() * 1_000)
        return Outgoing(topic, encode_retry(failure, origin), submitted_ms), failure.kind

    def _lane(self, named: str) -> str:
        """A lane that is configured no more has no topic that anybody reads: the last one takes its requests."""
        if named in self._rules.lanes:
            return named
        _log.warning("lane_is_gone", lane=named, instead=self._rules.lanes[-1])
        return self._rules.lanes[-1]

    def _count(self, outgoing: Outgoing) -> None:
        reason = self._letters.reason_of(outgoing)
        if reason is not None:
            _log.error("dead_letter", reason=reason)
            self._watcher.dead_letter(reason)
            return
        self.put_back += 1
        self._watcher.put_back(outgoing.topic.rpartition(".")[2])

    async def _commit(
        self, producer: TransactionLog, outgoing: Sequence[Outgoing], touched: Mapping[int, Releases]
    ) -> None:
        clock = self._clock
        begun_ms = clock.now_ms()
        offsets = {}
        for number, releases in touched.items():
            stored = releases.stored(self._term)
            offsets[TopicPartition(self._topic, number)] = StoredOffset(stored.offset, stored.metadata)
        try:
            await producer.transact(outgoing, offsets)
        except (ProducerDead, asyncio.CancelledError):
            self._watcher.transaction("unknown", (clock.now_ms() - begun_ms) / 1_000)
            raise
        self._watcher.transaction("committed", (clock.now_ms() - begun_ms) / 1_000)

    def _forget(self) -> None:
        """Nothing of a stretch outlives it."""
        self._partitions, self._ranges = {}, {}
        self.waiting.clear()
        self._bodies.clear()


def _failure(fetched: Fetched) -> RetryableFailure | None:
    """None for what is none. Raises OtherReleaseError: a dead letter would be all that is left of a request."""
    try:
        return decode_failure(fetched.record.value, fetched.record.headers)
    except OtherReleaseError:
        raise
    except WireError:
        return None


def _first(lost: tuple[int, range]) -> tuple[int, int]:
    number, offsets = lost
    return number, offsets.start
