"""The retrier's main loop: read the failures, wait, and move each due request to its lane in one transaction.

One task does all of it while it is elected, and owns the producer. A transaction moves records and progress together,
so a request is on its lane exactly once, even if a process dies. It is short, because an open transaction on a lane
stops every reader of that lane. Any error ends the stretch: the state in memory is thrown away, and the next stretch
resumes from the progress stored in Kafka. A lane takes no more retries than its retry budget allows.

A record that makes its transaction fail again and again stops no other: the transactions become smaller until it stands
alone, and then it leaves as a dead letter (`unpublishable`). One that its lane cannot hold leaves as such at once.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, ProducerDead, ProgressUnreadable
from headrace.broker.ports import (
    Fetched,
    Outgoing,
    RetryDoors,
    TopicPartition,
    TransactionLog,
    UnreadableRange,
)
from headrace.broker.span_ports import Spans
from headrace.broker.tasks import ended
from headrace.broker.tenure import Tenure
from headrace.consumers.retries.culprits import Culprits
from headrace.consumers.retries.dead_letter_writer import DeadLetterWriter
from headrace.consumers.retries.fresh_rate import FreshWork
from headrace.consumers.retries.record_cache import READ_A_TIME, RecordCache
from headrace.consumers.retries.releases import Releases, choose
from headrace.consumers.retries.restored_progress import Restorer
from headrace.consumers.retries.retry_budget import RetryBudgets
from headrace.consumers.retries.retry_spans import RetrySpans
from headrace.consumers.retries.rewriting import Rewriting
from headrace.consumers.retries.rules import RetrierRules
from headrace.consumers.retries.watcher import RetryCounter
from headrace.schemas.codec import OtherReleaseError
from headrace.schemas.dead_letter import Origin
from headrace.schemas.topics import failures_topic, requests_topic

RECORDS_A_TRANSACTION_MAX = 200
BYTES_A_TRANSACTION_MAX = 1024 * 1024
IDLE_MS = 200
PARTITIONS_LOOKED_UP_EVERY_MS = 10_000
HELD_BACK_AFTER_MS = 1_000
HELD_BACK_COUNTED_EVERY_MS = 5_000
_UNREADABLE = ""
"""Lane of a record that is no RetryableFailure: it leaves at once, as a dead letter."""

_log = structlog.get_logger("retrier")


class Retrier:
    """The retrier, active while it is elected."""

    def __init__(
        self,
        doors: RetryDoors,
        rules: RetrierRules,
        watcher: RetryCounter,
        clock: WallClock,
        spans: Spans | None = None,
    ) -> None:
        """It connects at `serve`; `spans` exports those of requests that it puts back, if they are traced."""
        self._spans = None if spans is None else RetrySpans(spans, failures_topic(rules.topic_prefix), clock)
        self._doors = doors
        self._clock = clock
        self._rules = rules
        self._watcher = watcher
        self._topic = failures_topic(rules.topic_prefix)
        self._cache = RecordCache(doors.again, held_bytes_max=rules.held_bytes_max)
        self._letters = DeadLetterWriter(rules.topic_prefix, self._clock, bytes_max=rules.dead_letter_bytes_max)
        self._retry_budgets = RetryBudgets(rules.retry_budget, rules.lanes)
        self._fresh = FreshWork(doors.lanes, self._retry_budgets, clock)
        self._partitions: dict[int, Releases] = {}
        self._ranges: dict[tuple[int, int], UnreadableRange] = {}
        self._term = self._stored_partitions = 0
        self._topic_id: str | None = None
        self._tenure: Tenure | None = None
        self._heaviest = 1
        self._looked_up_ms = self._recommitted_ms = 0
        self._chosen_ms = self._counted_ms = 0
        self._held_back: Counter[str] = Counter()
        self._culprits = Culprits(RECORDS_A_TRANSACTION_MAX, clock)
        self._rewriting = Rewriting(rules, self._letters, self._culprits, watcher)
        self.waiting: Counter[str] = Counter()
        self.put_back = 0

    @property
    def held_back(self) -> Mapping[str, int]:
        """Requests by lane that have been due for more than a second: they wait for their lane's retry budget."""
        due_ms = self._clock.utc_ms() - HELD_BACK_AFTER_MS
        if self._clock.now_ms() - self._counted_ms >= HELD_BACK_COUNTED_EVERY_MS:
            self._counted_ms = self._clock.now_ms()
            self._held_back = Counter()
            for releases in self._partitions.values():
                for lane in releases.lanes:
                    first = releases.first(lane)
                    if lane != _UNREADABLE and first is not None and first[0] <= due_ms:
                        self._held_back[self._rewriting.lane(lane)] += releases.count_due(lane, due_ms)
        return self._held_back

    def snapshot(self) -> dict[str, Any]:
        """Return the counts and times of the waiting records, in requests and seconds."""
        due_ms = self._next_due_ms()
        late_ms = 0 if due_ms is None else due_ms - self._clock.utc_ms()
        return {
            "waiting": sum(releases.waiting for releases in self._partitions.values()),
            "waiting_by_kind": {kind: count for kind, count in sorted(self.waiting.items()) if count},
            "held_back": dict(sorted(self.held_back.items())),
            "next_due_in_s": None if due_ms is None else max(0.0, late_ms / 1_000),
            "put_back": self.put_back,
            "read_again": self._cache.read_again,
            "held_bytes": self._cache.held_bytes,
        }

    async def serve(self, tenure: Tenure) -> None:
        """Put back due requests until the tenure is over.

        Raises:
            ProducerDead: The outcome of the last transaction is unknown.
            LogUnavailable: Kafka does not answer.
            ProgressUnreadable: A stored progress cannot be trusted.
        """
        if tenure is not self._tenure:  # another retrier may have led meanwhile, and stored of another topic
            self._tenure, self._topic_id = tenure, None
        producer = self._doors.make_producer()
        watching: asyncio.Task[None] | None = None
        try:
            await producer.open()
            if await tenure.still_mine():
                await self._claim(producer)
                tenure.leads(self._term)
                self._retry_budgets.begin(self._clock.now_ms())
                watching = asyncio.create_task(self._fresh.watch(), name="fresh work")
                while not tenure.is_over:
                    await self._round(producer, tenure)
        finally:
            if watching is not None:
                await ended(watching)
            await producer.close()
            self._forget()

    # ------------------------------------------------------------------ one stretch

    async def _claim(self, producer: TransactionLog) -> None:
        """Commit all partitions under a new term. Our producer has started, so no other changes the progress read."""
        doors = self._doors
        restorer = Restorer(
            self._topic,
            doors.failures,
            doors.offsets,
            self._clock,
            from_start=self._rules.from_start,
            former_id=self._topic_id,
        )
        standing = await restorer.restore()
        self._partitions, self._term = standing.partitions, standing.term
        if self._topic_id not in {None, doors.failures.topic_id}:
            _log.error("failures_begin_anew", topic=self._topic, partitions=len(standing.partitions))
        letters = [self._letters.lost(Origin(self._topic, *_first(each))) for each in standing.lost.items()]
        await self._commit_all(producer, letters)
        self._topic_id = doors.failures.topic_id  # only now: the stored progress is of this topic
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
            await self._commit_all(producer, [])
            self._recommitted_ms = now_ms
        if not took and not released:
            await self._idle(trusted=tenure.is_trusted)

    async def _read_on(self) -> bool:
        took = False
        for number, releases in self._partitions.items():
            got = await self._doors.failures.take(number, READ_A_TIME)
            if isinstance(got, UnreadableRange):
                self._ranges[number, got.last] = got
                self._see(releases, got.last, _UNREADABLE, 0, "undecodable")
                took = True
                continue
            for fetched in got:
                self._meet(number, releases, fetched)
            took |= bool(got)
        return took

    def _meet(self, number: int, releases: Releases, fetched: Fetched) -> None:
        try:
            failure, due_ms = self._rewriting.read(number, fetched)
        except OtherReleaseError as error:
            raise ProgressUnreadable(
                f"{self._topic}/{number} holds a failure at offset {fetched.offset} that this release cannot read; run "
                "the release that wrote it. Nothing was put back from there on."
            ) from error
        if failure is None:
            waits = self._see(releases, fetched.offset, _UNREADABLE, 0, "undecodable")
        else:
            waits = self._see(releases, fetched.offset, failure.lane, due_ms, failure.kind)
        if waits:
            self._cache.keep(number, fetched)

    def _see(self, releases: Releases, offset: int, lane: str, due_ms: int, kind: str) -> bool:
        waits = releases.see(offset, lane, due_ms)
        self.waiting[kind] += waits
        return waits

    async def _idle(self, *, trusted: bool) -> None:
        """Wait until a record is due or arrives, a lane has earned a retry, or the tenure must be checked."""
        due_ms = self._next_due_ms(self._chosen_ms) if trusted else None
        wait_ms = IDLE_MS if due_ms is None else min(IDLE_MS, max(1, due_ms - self._clock.utc_ms()))
        await self._doors.failures.wait(list(self._partitions), wait_ms)

    def _next_due_ms(self, after_ms: int = -1) -> int | None:
        """Return the next due instant after `after_ms`."""
        firsts = (releases.first(lane) for releases in self._partitions.values() for lane in releases.lanes)
        return min((first[0] for first in firsts if first is not None and first[0] > after_ms), default=None)

    async def _look_up(self) -> None:
        """Take up partitions added since, from their first record. Assigning forgets positions: all are set again."""
        self._looked_up_ms = self._clock.now_ms()
        found = await self._doors.failures.partitions()
        if self._topic_id not in {None, self._doors.failures.topic_id}:
            raise LogUnavailable(f"{self._topic} was deleted and recreated: it is read from its beginning.")
        new = [number for number in found if number not in self._partitions]
        if new:
            positions = {number: self._doors.failures.position(number) for number in self._partitions}
            self._partitions.update({number: Releases(0) for number in new})
            await self._doors.failures.start(positions | dict.fromkeys(new, 0))
            self._recommitted_ms -= self._rules.recommit_every_ms  # stored at once, so that none can expire unnoticed

    # ------------------------------------------------------------------ putting back

    async def _release(self, producer: TransactionLog) -> bool:
        """Release due and allowed records in one transaction; return False if there were none."""
        count_max = max(1, min(self._culprits.count_max, BYTES_A_TRANSACTION_MAX // self._heaviest))
        self._chosen_ms = self._clock.utc_ms()
        chosen = choose(self._partitions, self._chosen_ms, count_max, self._may_leave)
        if chosen:
            await self._move(producer, chosen)
            if self._tenure is not None:
                self._tenure.published()
        return bool(chosen)

    def _may_leave(self, lane: str) -> bool:
        return lane == _UNREADABLE or self._retry_budgets[self._rewriting.lane(lane)].take(self._clock.now_ms())

    async def _move(self, producer: TransactionLog, chosen: Sequence[tuple[int, int]]) -> None:
        found: dict[tuple[int, int], Fetched] = {}
        touched = {number for number, _ in chosen}
        for number in touched:
            whole = [offset for each, offset in chosen if each == number and (each, offset) not in self._ranges]
            found |= {(number, offset): each for offset, each in (await self._cache.of(number, whole)).items()}
        moves = {place: self._rewriting.written(*place, found.get(place), self._ranges.get(place)) for place in chosen}
        outgoing = [each for each, _ in moves.values()]
        for lane in self._rules.lanes:
            topic = requests_topic(self._rules.topic_prefix, lane)
            self._retry_budgets[lane].writes(sum(each.topic == topic for each in outgoing))
        try:
            await self._commit(producer, outgoing, {number: self._partitions[number] for number in touched})
        except ProducerDead as error:
            self._culprits.failed(chosen, error)
            raise
        self._culprits.passed(chosen)
        self._heaviest = max(*(each.record.bytes_max for each in outgoing), self._heaviest * 9 // 10, 1)
        for place, (each, kind) in moves.items():
            self.waiting[kind] -= 1
            self._ranges.pop(place, None)
            self._count(each)
            if self._spans is not None:
                self._spans.moved(place, found.get(place), each, kind)

    def _count(self, outgoing: Outgoing) -> None:
        reason = self._letters.reason_of(outgoing)
        if reason is not None:
            _log.error("dead_letter", reason=reason)
            self._watcher.dead_letter(reason)
            return
        self.put_back += 1
        self._watcher.put_back(outgoing.topic.rpartition(".")[2])

    async def _commit_all(self, producer: TransactionLog, outgoing: Sequence[Outgoing]) -> None:
        """Commit every partition's progress with the number of partitions: one beyond them has been added since."""
        self._stored_partitions = len(self._partitions)
        await self._commit(producer, outgoing, self._partitions)

    async def _commit(
        self, producer: TransactionLog, outgoing: Sequence[Outgoing], touched: Mapping[int, Releases]
    ) -> None:
        clock = self._clock
        begun_ms = clock.now_ms()
        offsets = {
            TopicPartition(self._topic, number): releases.stored(self._term, self._stored_partitions)
            for number, releases in touched.items()
        }
        try:
            await producer.transact(outgoing, offsets)
        except (ProducerDead, asyncio.CancelledError):
            self._watcher.transaction("unknown", (clock.now_ms() - begun_ms) / 1_000)
            raise
        self._watcher.transaction("committed", (clock.now_ms() - begun_ms) / 1_000)

    def _forget(self) -> None:
        """Drop all state of a stretch."""
        self._partitions, self._ranges = {}, {}
        self.waiting.clear()
        self._cache.clear()


def _first(lost: tuple[int, range]) -> tuple[int, int]:
    number, offsets = lost
    return number, offsets.start
