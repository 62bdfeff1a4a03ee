"""Replay of dead letters to their lanes: each at most once by one job, at a bounded rate.

A job is a consumer group without members. The replays of a batch and the group's offsets, which hold the job's
progress, are one Kafka transaction: whatever ends this process, they are committed together or not at all, and the next
run continues behind them. All jobs of a prefix share a transactional id, so starting one ends the one before, and a job
reads its offsets only when no other run can add to them.

A dead letter that its lane refuses stops no other: the transactions become smaller until it stands alone, and then it
is skipped (`Skip.REFUSED`).

Answered requests are not put back: the dispatcher recognises them within its dedupe window, and the results topic is
read for older ones. A long replay repeats that reading.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from headrace.broker.clock import WallClock
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing, TopicPartition, TransactionLog
from headrace.broker.tasks import set_within
from headrace.consumers.dead_letters import found_in, original_of
from headrace.consumers.narrowing import Narrowing
from headrace.consumers.replays.answered_ids import read_answers
from headrace.consumers.replays.doors import ReplayDoors
from headrace.consumers.replays.job import Pass, ReplayRequest, When, group_of
from headrace.consumers.replays.job_offsets import Mark, marks_in, pass_of
from headrace.consumers.replays.known import KnownRuns
from headrace.consumers.replays.pending_letters import PendingLetters, check_same_topic
from headrace.consumers.replays.rate_limiter import RateLimiter
from headrace.consumers.replays.verdicts import Judge, Lane, Replayable, Skip
from headrace.schemas.dead_letter import Origin
from headrace.schemas.topics import dead_letters_topic, requests_topic, results_topic

_BATCH_BYTES_MAX: Final = 1024 * 1024
_CONSIDERED_MAX: Final = 2_000
"""Limit for one transaction, so that the progress of a job that puts back little is stored now and then."""
_LOOKS_EVERY: Final = 200


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """Settings of a replay.

    Attributes:
        per_s: The most put back in a second.
        limit: The most put back in this run; None: all.
        deadline: Of each of them, an instant or a span from its putting back; None: the default of its lane.
        answers_every_s: Interval at which results are read again; less than the dispatcher's dedupe window.
    """

    topic_prefix: str
    lanes: Mapping[str, Lane]
    per_s: float = 50.0
    limit: int | None = None
    deadline: When | None = None
    answers_every_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ReplayReceipt:
    """A request that was put back: its id and run, its origin, why it had ended, and its new deadline."""

    id: str
    run: int
    lane: str
    place: Origin
    reason: str
    deadline: datetime


@dataclass(slots=True)
class ReplayTally:
    """Counts of the selected dead letters.

    Attributes:
        chosen: Number that seemed fit to be put back before it began; some of them may have been answered.
        unreadable: Records of the topic that are no dead letters.
        is_done: Whether all were considered; if not, the same job can be resumed.
    """

    chosen: int = 0
    put_back: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)
    unreadable: int = 0
    is_done: bool = False

    @property
    def left(self) -> int:
        """Approximate number still to be put back."""
        return max(0, self.chosen - self.put_back - self.skipped[Skip.ANSWERED])


class ReplayObserver(Protocol):
    """Observer of a replay."""

    def looks(self, done: int, total: int) -> None:
        """Report the number of dead letters' offsets looked through so far."""

    def puts_back(self, receipts: Sequence[ReplayReceipt], tally: ReplayTally) -> None:
        """Report requests that are committed to their lanes."""


@dataclass(slots=True)
class _Batch:
    """Contents of one transaction."""

    fit: list[Replayable] = field(default_factory=list)
    skipped: Counter[Skip] = field(default_factory=Counter)
    unreadable: int = 0
    considered: int = 0
    bytes: int = 0
    is_last: bool = False


class Replay:
    """One run of a job: `open`, `run`, `close`; `stop` ends it after the transaction in progress.

    Attributes:
        group: The job's name as a consumer group.
        pass_: The pass that is made, once it is open.
        resumed: Whether an earlier run of the job began that pass.
        tally: The counts so far.
    """

    def __init__(
        self, doors: ReplayDoors, asked: ReplayRequest, rules: ReplayRules, *, clock: WallClock, watcher: ReplayObserver
    ) -> None:
        """It connects at `open`."""
        self.group = group_of(rules.topic_prefix, asked.job(rules.topic_prefix))
        self.pass_: Pass | None = None
        self.resumed = False
        self.tally = ReplayTally()
        self._doors = doors
        self._asked = asked
        self._rules = rules
        self._clock = clock
        self._watcher = watcher
        self._topic = dead_letters_topic(rules.topic_prefix)
        self._results = results_topic(rules.topic_prefix)
        self._stopping = asyncio.Event()
        self._producer: TransactionLog | None = None
        self._marks: dict[int, Mark] = {}
        self._known = KnownRuns()
        self._answers_since = clock.utc_now()
        self._limiter = RateLimiter(rules.per_s, 0.0)
        self._narrowing = Narrowing(_CONSIDERED_MAX)
        self._refused: set[Origin] = set()

    def stop(self) -> None:
        """End after the transaction in progress."""
        self._stopping.set()

    async def open(self, *, dry: bool = False) -> None:
        """End other replays of the prefix, restore the progress of this job, and survey the rest.

        With `dry` no other replay is ended and nothing will be written: `run` counts what it would do.

        Raises:
            MissingTopic, Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
            ProducerDead, LogUnavailable: Kafka went away.
            ProgressUnreadable: The job's stored progress cannot be trusted.
        """
        try:
            await self._restore(dry=dry)
            await self._survey()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection; never hangs."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()

    async def _restore(self, *, dry: bool) -> None:
        scan = self._doors.clients.scan(self._topic, since=None)
        try:
            await scan.open()
            if not dry:
                self._producer = self._doors.producer_of(self.group)
                await self._producer.open()
            places = [TopicPartition(self._topic, number) for number in scan.partitions]
            stored = await self._doors.offsets_of(self.group).read(places)  # after the fence: none is added now
            self._marks = marks_in({place.partition: each for place, each in stored.items()}, self.group)
            await check_same_topic(scan, self._marks, self.group)
        finally:
            await scan.close()
        self.pass_ = pass_of(self._asked, self._marks, self._clock.utc_now())
        self.resumed = any(mark.pass_ == self.pass_ and not mark.is_done for mark in self._marks.values())

    def _judge(self) -> tuple[PendingLetters, Judge]:
        pass_ = self.pass_
        assert pass_ is not None  # noqa: S101  # programmer error: run before open
        judge = Judge(self._asked, self._asked.filters(pass_), self._rules.topic_prefix, self._rules.lanes)
        return PendingLetters(self._doors.clients, self._topic, pass_, self._marks), judge

    async def _survey(self) -> None:
        """Collect the ids to be put back, and their known runs."""
        self._known, self.tally, looked = KnownRuns(), ReplayTally(), 0
        oldest: datetime | None = None
        pending, judge = self._judge()
        async with pending:
            while not self._stopping.is_set() and (standing := await pending.next()) is not None:
                looked += 1
                if looked % _LOOKS_EVERY == 0:
                    self._watcher.looks(pending.offsets_done, pending.offsets)
                found = found_in(standing)
                if found is None:
                    continue
                if self._is_too_young(found.letter.failed_at):
                    pending.leave(standing.partition)
                    continue
                verdict = judge.judge(found)
                if isinstance(verdict, Replayable):
                    self.tally.chosen += 1
                    self._known.choose(verdict.request_id)
                    oldest = min(oldest or found.letter.failed_at, found.letter.failed_at)
                if found.letter.run and (own_id := original_of(found.letter).id) is not None:
                    self._known.note(own_id, found.letter.run)  # that run has failed, whatever the results still hold
        if oldest is not None and not self._stopping.is_set():
            await self._read_answers(oldest)

    async def _read_answers(self, since: datetime) -> None:
        began = self._clock.utc_now()
        await read_answers(self._doors.clients, self._results, self._known, since)
        self._answers_since = began

    def _is_too_young(self, failed_at: datetime) -> bool:
        """Whether it will be old enough for `until` later, so that it must not be passed now."""
        until = None if self.pass_ is None else self.pass_.until
        return self._asked.waits_for_age and until is not None and failed_at >= until

    async def run(self) -> ReplayTally:
        """Put them back until none is left, the limit is reached, or `stop` is called.

        Raises:
            ProducerDead: Another replay has begun, or Kafka was away: whether the transaction in progress was committed
                is unknown here. The same job resumes correctly in either case.
            Unreachable, RightsError: As Kafka says. The records put back are noted.
        """
        self._limiter = RateLimiter(self._rules.per_s, asyncio.get_running_loop().time())
        while True:
            try:
                return await self._put_back()
            except ProducerDead as error:
                if not error.is_refusal:
                    raise
            pass_, resumed = self.pass_, self.resumed
            await self.close()
            await self._restore(dry=False)
            self.pass_, self.resumed = pass_, resumed

    async def _put_back(self) -> ReplayTally:
        loop = asyncio.get_running_loop()
        pending, judge = self._judge()
        async with pending:
            while not self._stopping.is_set() and not self.tally.is_done and self._room > 0:
                batch = await self._gathered(pending, judge)
                if batch.fit and self._producer is not None:
                    await self._wait()
                if not self._stopping.is_set():
                    self._limiter.spend(len(batch.fit), loop.time())
                    await self._commit(batch, pending)
                    await self._follow_answers()
        return self.tally

    @property
    def _room(self) -> int:
        """The most records that the next transaction may put back."""
        limit, most = self._rules.limit, min(self._limiter.batch_max, self._narrowing.count_max)
        return most if limit is None else min(most, limit - self.tally.put_back)

    async def _gathered(self, pending: PendingLetters, judge: Judge) -> _Batch:
        batch, room = _Batch(), self._room
        while len(batch.fit) < room and batch.considered < _CONSIDERED_MAX and batch.bytes < _BATCH_BYTES_MAX:
            if self._stopping.is_set():
                break
            standing = await pending.next()
            if standing is None:
                batch.is_last = True
                break
            found = found_in(standing)
            if found is not None and self._is_too_young(found.letter.failed_at):
                pending.leave(standing.partition)
                continue
            pending.consider(standing)
            batch.considered += 1
            if found is None:
                batch.unreadable += 1
                continue
            self._add(batch, judge.judge(found))
        return batch

    def _add(self, batch: _Batch, verdict: Replayable | Skip | None) -> None:
        if isinstance(verdict, Replayable) and verdict.found.place in self._refused:
            verdict = Skip.REFUSED
        if isinstance(verdict, Replayable):
            self._known.choose(verdict.request_id)
            if self._known.rules_out(verdict.request_id, verdict.run):
                verdict = Skip.ANSWERED
            else:
                self._known.note(verdict.request_id, verdict.run)
                batch.fit.append(verdict)
                batch.bytes += len(verdict.found.letter.value or b"")
        if isinstance(verdict, Skip):
            batch.skipped[verdict] += 1

    async def _wait(self) -> None:
        """Wait until the next batch may go, or `stop` is called."""
        wait_s = self._limiter.wait_s(asyncio.get_running_loop().time())
        if wait_s > 0:
            await set_within(self._stopping, wait_s)

    async def _commit(self, batch: _Batch, pending: PendingLetters) -> None:
        """Commit the batch together with the job's progress; then count it."""
        now = self._clock.utc_now()
        receipts, outgoing = [], []
        for each in batch.fit:
            deadline = self._deadline(each.lane, now)
            outgoing.append(Outgoing(requests_topic(self._rules.topic_prefix, each.lane), each.record(deadline)))
            receipts.append(
                ReplayReceipt(
                    each.request_id, each.run, each.lane, each.found.place, each.found.letter.reason, deadline
                )
            )
        if self._producer is not None:
            await self._transact(self._producer, outgoing, batch, pending)
        self.tally.put_back += len(receipts)
        self.tally.skipped.update(batch.skipped)
        self.tally.unreadable += batch.unreadable
        self.tally.is_done = batch.is_last
        self._watcher.puts_back(receipts, self.tally)

    async def _transact(
        self, producer: TransactionLog, outgoing: Sequence[Outgoing], batch: _Batch, pending: PendingLetters
    ) -> None:
        places = [each.found.place for each in batch.fit]
        try:
            await producer.transact(outgoing, pending.stored(is_done=batch.is_last))
        except ProducerDead as error:
            if error.is_refusal and places:
                for each in batch.fit:
                    self._known.forget(each.request_id, each.run)
                now_ms = int(asyncio.get_running_loop().time() * 1_000)
                if self._narrowing.failed(places, now_ms, refused=True):
                    self._refused.update(places)
            raise
        if places:
            self._narrowing.passed(len(places))

    def _deadline(self, lane: str, now: datetime) -> datetime:
        asked = self._rules.deadline
        if isinstance(asked, datetime):
            return asked
        return now + (self._rules.lanes[lane].deadline if asked is None else asked)

    async def _follow_answers(self) -> None:
        """Read the results published since the last reading, before the dispatcher forgets them."""
        age = self._clock.utc_now() - self._answers_since
        if self._producer is not None and age >= timedelta(seconds=self._rules.answers_every_s):
            await self._read_answers(self._answers_since)
