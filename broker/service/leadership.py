"""One process's part in leadership: standing by, being promoted, leading, and finding out that it no longer does.

Redis elects, Kafka fences. Every doubt is settled in the same order: first the lease, then the last claim in the
ledger, never the error that raised the doubt; a fenced producer looks just like our own time-out. While in doubt
nothing is admitted and nothing is dropped. One task runs all of this and owns the producer; a second one only renews
the lease, in the same event loop as the dispatching, so that a loop that hangs cannot keep its lease.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import structlog

from broker.clock import WallClock
from broker.core.commands import Batch
from broker.core.events import Committed, Promoted, Renewed, StoodBy, Suspended
from broker.core.term import Candidacy, ForeignClaims, LeaseTimes
from broker.errors import LeaseUnavailable, LogUnavailable, ProducerDead, ServiceError
from broker.ports import Lease, LeaseForeign, LeaseMine, LeaseTaken, Outgoing, TransactionLog
from broker.service.driver import Driver
from broker.service.health import Health
from broker.service.intake import LaneIntake
from broker.service.ledger_codec import left_record
from broker.service.ledger_follower import LedgerFollower
from broker.service.promotion import LeaseLostError, Promotion, Standing
from broker.service.publication import Publication
from schemas.codec import encode_ledger
from schemas.record import Record

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 2.0
PROBE_EVERY_MS = 1_000
CUT_OFF_AFTER_MS = 15_000
RIVAL_STEADY_MS = 10_000
"""A leader that has not reached Kafka for the first time, while a standby has for the second, hands over."""

_log = structlog.get_logger("leadership")


class Doubt(Enum):
    """What a question about leadership was answered with."""

    MINE = "mine"
    NOT_MINE = "not mine"


class TwoLeadersError(ServiceError):
    """Somebody keeps claiming under our valid lease: two Redis serve one Kafka."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What leadership works with."""

    driver: Driver
    lease: Lease
    follower: LedgerFollower
    promotion: Promotion
    publication: Publication
    intakes: Mapping[str, LaneIntake]
    make_producer: Callable[[], TransactionLog]
    clock: WallClock
    dice: Callable[[], float]
    transacted: Callable[[str, float], None]


class Leadership:
    """Runs until `leave` is called."""

    def __init__(self, parts: Parts, *, owner: str, times: LeaseTimes, ledger_topic: str, health: Health) -> None:
        """`owner` is this process's random token, in the lease and in the ledger."""
        self._parts = parts
        self._owner = owner
        self._times = times
        self._ledger_topic = ledger_topic
        self.health = health
        self._producer: TransactionLog | None = None
        self._term = 0
        self._lost = asyncio.Event()
        self._leaving = asyncio.Event()
        self._foreign = ForeignClaims()
        self._reached_ms = 0
        self._probed_ms = 0
        self._rival_since_ms: int | None = None

    # ------------------------------------------------------------------ the round

    async def run(self) -> None:
        """Stand by, lead, and again; returns after `leave`, with everything settled that could be."""
        try:
            while not self._leaving.is_set():
                if await self._stand_by():
                    await self._lead()
        finally:
            await self._parts.follower.close()

    def leave(self) -> None:
        """Publish what is settled, say so in the ledger, release the lease, return."""
        self._leaving.set()

    # ------------------------------------------------------------------ standing by

    async def _stand_by(self) -> bool:
        """Follow the ledger and the lease; True once the lease is ours, False if we are leaving."""
        self.health.role, self.health.term = "standby", 0
        candidacy: Candidacy | None = None
        while not self._leaving.is_set():
            if not await self._followed():
                continue
            if candidacy is None:
                empty = self._parts.follower.lines == 0
                candidacy = Candidacy(self._times, started_ms=self._parts.clock.now_ms(), ledger_empty=empty)
            if await self._take_when_allowed(candidacy):
                return True
        return False

    async def _followed(self) -> bool:
        """One turn of following the ledger; it doubles as the pause between two looks at the lease."""
        follower = self._parts.follower
        try:
            if self.health.follows:
                await follower.follow(self._times.poll_every_ms)
            else:
                await follower.catch_up()
        except LogUnavailable as error:
            self._kafka(ready=False, trouble=str(error))
            self.health.follows = False
            await follower.close()
            await self._pause(BACKOFF_MAX_S * self._parts.dice())
            return False
        self.health.follows = True
        if self._parts.clock.now_ms() - self._probed_ms >= PROBE_EVERY_MS:
            self._kafka(ready=await follower.reaches_kafka(), trouble="Kafka does not answer.")
            self._probed_ms = self._parts.clock.now_ms()
        return self.health.kafka_ready

    async def _take_when_allowed(self, candidacy: Candidacy) -> bool:
        lease, clock = self._parts.lease, self._parts.clock
        try:
            view = await lease.look()
            self.health.holder = view.value
            self._redis(ready=True)
            candidacy.saw(view.value, view.pttl_ms, clock.now_ms())
            await lease.note_ready()
            at_ms = candidacy.may_take_at(clock.now_ms())
            if at_ms is None or at_ms > clock.now_ms():
                return False
            sent_ms = clock.now_ms()
            if not isinstance(await lease.take(), LeaseTaken):
                return False
        except LeaseUnavailable as error:
            self._redis(ready=False, trouble=str(error))
            return False
        self._parts.driver.post(Renewed(sent_ms))
        self.health.holder = self._owner
        _log.info("lease_taken", owner=self._owner)
        return True

    # ------------------------------------------------------------------ leading

    async def _lead(self) -> None:
        self._lost.clear()
        self._reached_ms = self._parts.clock.now_ms()
        renewing = asyncio.create_task(self._renew(), name="lease renewal")
        try:
            await self._promoted_until_lost()
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            await self._step_down()

    async def _promoted_until_lost(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        fresh = True
        while True:
            try:
                await self._promote()
                fresh, backoff_s = False, BACKOFF_FIRST_S
                if await self._publish_until_doubt() is Doubt.NOT_MINE:
                    return
            except LeaseLostError:
                return
            except (ProducerDead, LogUnavailable) as error:
                self._kafka(ready=False, trouble=str(error))
                _log.warning("promotion_failed", reason=str(error))
            await self._drop_producer()
            if self._leaving.is_set() and fresh:
                return
            if await self._settle_doubt() is Doubt.NOT_MINE:
                return
            await self._pause(backoff_s * (0.5 + self._parts.dice()))
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)

    async def _promote(self) -> None:
        self.health.role = "promoting"
        for intake in self._parts.intakes.values():
            await intake.halt()
        self._producer = self._parts.make_producer()
        standing = await self._parts.promotion.run(self._producer, self._still_mine, self._term)
        if self._parts.follower.last_claim != (standing.term, self._owner):
            raise LogUnavailable("Another claim follows ours.")
        if self._term and standing.term != self._term and self._contested():
            raise TwoLeadersError(
                f"Others ({', '.join(self._foreign.owners)}) keep claiming while this dispatcher ({self._owner}) holds a "
                "valid lease: two Redis serve one Kafka prefix. Give each budget its own kafka.topic_prefix, or all its "
                "dispatchers the same Redis."
            )
        await self._begin(standing)

    def _contested(self) -> bool:
        return self._foreign.claimed(self._parts.follower.last_foreign(self._owner), self._parts.clock.now_ms())

    async def _begin(self, standing: Standing) -> None:
        driver, clock = self._parts.driver, self._parts.clock
        self._term = standing.term
        driver.post(Promoted(standing.progress, standing.term, clock.utc_ms()))
        for place, offset in standing.lost.items():
            self._parts.intakes[place.lane].lose(place.number, offset)
        for lane, intake in self._parts.intakes.items():
            positions = {
                place.number: max(progress.base, standing.lost.get(place, 0))
                for place, progress in standing.progress.items()
                if place.lane == lane
            }
            await intake.begin(positions)
        self._reached_ms = clock.now_ms()
        self._kafka(ready=True)
        self.health.role, self.health.term = "leader", standing.term
        _log.info("leading", term=standing.term, owner=self._owner)

    async def _publish_until_doubt(self) -> Doubt | None:
        """Commit batches until the lease is lost, the producer dies (None: find out), or the drain is over."""
        while True:
            batch = await self._next_batch()
            if batch is not None:
                if not await self._commit(batch):
                    return None
            elif self._lost.is_set():
                return Doubt.NOT_MINE
            elif self._leaving.is_set() and self._parts.driver.core.idle:
                await self._say_left()
                return Doubt.NOT_MINE

    async def _next_batch(self) -> Batch | None:
        """The next batch, or None when something else wants attention."""
        queue = self._parts.driver.publish_queue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05 if self._leaving.is_set() else 0.5):
                return await queue.get()
        await self._probe()
        for intake in self._parts.intakes.values():
            defect = intake.failure()
            if defect is not None:
                raise defect
        return None

    async def _probe(self) -> None:
        """An idle leader asks now and then whether Kafka is there; a busy one knows from its commits."""
        now_ms = self._parts.clock.now_ms()
        if now_ms - max(self._reached_ms, self._probed_ms) >= PROBE_EVERY_MS:
            ready = await self._parts.follower.reaches_kafka()
            self._kafka(ready=ready, trouble="Kafka does not answer.")
            self._probed_ms = self._parts.clock.now_ms()
            if ready:
                self._reached_ms = self._probed_ms

    async def _commit(self, batch: Batch) -> bool:
        assert self._producer is not None  # noqa: S101 — programmer error: commit without promotion
        driver, clock = self._parts.driver, self._parts.clock
        begun_ms = clock.now_ms()
        try:
            records = self._parts.publication.records(batch, self._term)
            await self._producer.transact(records, self._parts.publication.offsets(batch))
        except ProducerDead as error:
            self._parts.transacted("unknown", (clock.now_ms() - begun_ms) / 1_000)
            self._kafka(ready=False, trouble=str(error))
            _log.warning("transaction_unknown", reason=str(error), term=self._term)
            driver.post(Suspended())
            return False
        self._parts.transacted("committed", (clock.now_ms() - begun_ms) / 1_000)
        self._reached_ms = clock.now_ms()
        self._kafka(ready=True)
        driver.post(Committed(batch.serial, begun_ms))
        return True

    # ------------------------------------------------------------------ doubt

    async def _still_mine(self) -> bool:
        """Asked right after the fence. A silent Redis is no yes, except to the last claimant (PROTOCOL 3)."""
        try:
            return isinstance(await self._renewed(), LeaseMine)
        except LeaseUnavailable:
            return self._parts.follower.last_claim == (self._term, self._owner)

    async def _settle_doubt(self) -> Doubt:
        """The producer is gone: do we still lead? Lease first, then the last claim."""
        self._parts.driver.post(Suspended())
        self._parts.driver.drop_batches()
        self.health.role = "suspended"
        while not self._lost.is_set():
            try:
                answer = await self._renewed()
            except LeaseUnavailable:
                if not await self._last_claim_is_ours():
                    return Doubt.NOT_MINE
                return Doubt.MINE
            if isinstance(answer, LeaseForeign):
                return Doubt.NOT_MINE
            return Doubt.MINE
        return Doubt.NOT_MINE

    async def _last_claim_is_ours(self) -> bool:
        """Redis is silent: the ledger's last claim decides, once Kafka answers."""
        while not self._leaving.is_set():
            await self._pause(1 + self._parts.dice())
            try:
                await self._parts.follower.catch_up()
            except LogUnavailable:
                await self._parts.follower.close()
                continue
            return self._parts.follower.last_claim == (self._term, self._owner)
        return False

    async def _cut_off(self) -> bool:
        """Kafka has been away from us for long, and for a while not from a standby: that one should lead."""
        now_ms = self._parts.clock.now_ms()
        if now_ms - self._reached_ms < CUT_OFF_AFTER_MS - RIVAL_STEADY_MS:
            self._rival_since_ms = None
            return False
        if not [one for one in await self._parts.lease.ready_standbys() if one != self._owner]:
            self._rival_since_ms = None
            return False
        if self._rival_since_ms is None:
            self._rival_since_ms = now_ms
        return now_ms - self._rival_since_ms >= RIVAL_STEADY_MS and now_ms - self._reached_ms >= CUT_OFF_AFTER_MS

    async def _renew(self) -> None:
        """Prove every 0.4 s that the lease is ours; a foreign holder ends the term."""
        while True:
            await asyncio.sleep(self._times.renew_every_ms / 1_000)
            try:
                answer = await self._renewed()
                if await self._cut_off():
                    await self._parts.lease.release()
                    self._lose("cut_off_from_kafka", None)
                    return
            except LeaseUnavailable as error:
                self._redis(ready=False, trouble=str(error))
                continue
            if isinstance(answer, LeaseForeign):
                self._lose("lease_foreign", answer.value)
                return

    def _lose(self, why: str, holder: str | None) -> None:
        """The term is over; the task that owns the producer finds out within half a second."""
        _log.warning(why, holder=holder, term=self._term)
        self._parts.driver.core.trust.revoke(self._parts.clock.now_ms())
        self.health.holder = holder
        self._lost.set()

    async def _renewed(self) -> LeaseMine | LeaseForeign:
        """One renewal, counted from the instant it was sent."""
        clock, driver = self._parts.clock, self._parts.driver
        sent_ms = clock.now_ms()
        answer = await self._parts.lease.renew(restore=driver.core.trust.holds(sent_ms))
        self._redis(ready=True)
        if isinstance(answer, LeaseMine):
            driver.post(Renewed(sent_ms))
        return answer

    # ------------------------------------------------------------------ leaving

    async def _say_left(self) -> None:
        assert self._producer is not None  # noqa: S101 — programmer error: a term without a producer
        line = encode_ledger(left_record(self._term, self._owner))
        with contextlib.suppress(ProducerDead):
            await self._producer.transact([Outgoing(self._ledger_topic, Record(None, line))], {})

    async def _step_down(self) -> None:
        for intake in self._parts.intakes.values():
            await intake.halt()
        await self._drop_producer()
        self._parts.driver.post(StoodBy())
        self._parts.driver.drop_batches()
        self.health.role, self.health.term = "standby", 0
        with contextlib.suppress(LeaseUnavailable):
            await self._parts.lease.release()
        _log.info("stood_by", term=self._term, owner=self._owner)

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()

    # ------------------------------------------------------------------ what is said of it

    def _kafka(self, *, ready: bool, trouble: str | None = None) -> None:
        self.health.kafka_ready = ready
        self.health.kafka_trouble = None if ready else trouble

    def _redis(self, *, ready: bool, trouble: str | None = None) -> None:
        self.health.redis_ready = ready
        self.health.redis_trouble = None if ready else trouble

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
