"""One process's part in leadership: standing by, being promoted, leading, and noticing that it no longer does.

Redis elects, Kafka fences. Every doubt is settled in the same order: first by the lease, then by the last claim in the
ledger, never by the error that raised the doubt; a fenced producer looks just like our own timeout. While in doubt
nothing is admitted and nothing is dropped, and nothing is awaited between the answer and the start of a new producer: a
lease lost during a back-off would let us fence its new holder. One task runs all of this and owns the producer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.commands import Batch
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.events import Committed, Promoted, Renewed, StoodBy, Suspended
from headrace.broker.core.lease import FenceDecision, ForeignClaims, after_fence
from headrace.broker.core.setback import Setback
from headrace.broker.errors import LeaseUnavailable, LogUnavailable, MissingTopic, ProducerDead, ServiceError
from headrace.broker.ports import Lease, Outgoing, TransactionLog
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.calls.models_call import Greeting
from headrace.broker.service.driver import Driver
from headrace.broker.service.health import Health
from headrace.broker.service.intake.lane_intake import LaneIntake, TopicMadeAnewError
from headrace.broker.service.leadership.backoff import Backoff
from headrace.broker.service.leadership.ledger_follower import LedgerFollower
from headrace.broker.service.leadership.promotion import LeaseLostError, Promotion, RestoredState
from headrace.broker.service.leadership.renewal import Renewal
from headrace.broker.service.leadership.standby import Contender, Standby
from headrace.broker.service.preflight.probe import PROBE_EVERY_MS
from headrace.broker.service.publishing.ledger_lines import left_record
from headrace.broker.service.publishing.publication import Publication
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.schemas.ledger import encode_ledger
from headrace.schemas.record import Record

BACKOFF_LEAVING_S = 0.5
WIND_UP_MS = 2_000
"""Time in which a leader without its lease commits what is settled, while the fence lets it."""
_OFFSETS = "__consumer_offsets"
"""Kafka's own topic, which a transaction with offsets writes to."""

_log = structlog.get_logger("leadership")


class TwoLeadersError(ServiceError):
    """Other processes keep claiming under our valid lease: two Redis serve one Kafka."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Collaborators of leadership."""

    driver: Driver
    lease: Lease
    follower: LedgerFollower
    promotion: Promotion
    publication: Publication
    replies: Replies
    bookkeeping: Bookkeeping
    greeting: Greeting
    proof: Proof
    intakes: Mapping[str, LaneIntake]
    make_producer: Callable[[], TransactionLog]
    clock: WallClock
    dice: Callable[[], float]
    transacted: Callable[[str, float], None]


class Leadership:
    """Leadership of one process; runs until `leave` is called."""

    def __init__(self, parts: Parts, *, owner: str, times: LeaseTimes, ledger_topic: str, health: Health) -> None:
        """`owner` is this process's random token, in the lease and in the ledger."""
        self._parts = parts
        self._owner = owner
        self._ledger_topic = ledger_topic
        self.health = health
        trust = parts.driver.core.trust
        self._contender = Contender(
            parts.lease, parts.follower, trust, self._renewed, parts.clock, health, times, owner
        )
        self._standby = Standby(self._contender)
        self._producer: TransactionLog | None = None
        self._term = 0
        self._has_led = False
        self._leaving = asyncio.Event()
        self._foreign = ForeignClaims()
        self._backoff = Backoff(parts.dice)
        self._setback = Setback.UNKNOWN
        self._promoted_ms: int | None = None
        self._probed_ms = 0

    # ------------------------------------------------------------------ main loop

    async def run(self) -> None:
        """Stand by and lead in turn; return after `leave`, with everything settled that could be."""
        try:
            while not self._leaving.is_set():
                if await self._standby.wait(self._leaving, self._parts.dice):
                    await self._lead()
        finally:
            await self._parts.follower.close()

    def _renewed(self, sent_at_ms: int | None) -> None:
        self._parts.driver.post(Renewed(sent_at_ms))

    def leave(self) -> None:
        """Have the process publish what is settled, record that in the ledger, release the lease, and return."""
        self._leaving.set()

    # ------------------------------------------------------------------ leading

    async def _lead(self) -> None:
        self._has_led = False
        renewal = Renewal(self._contender)
        self._parts.greeting.begin()
        try:
            await self._promoted_until_lost(renewal)
        finally:
            defect = await renewal.end()
            await self._parts.greeting.end()
            await self._step_down()
        if defect is not None:
            raise defect

    async def _promoted_until_lost(self, renewal: Renewal) -> None:
        self._backoff.reset()
        while True:
            self._promoted_ms, self._setback = None, Setback.UNKNOWN
            try:
                await self._promote(renewal)
                if not await self._publish_until_doubt(renewal):
                    return
            except LeaseLostError:
                return
            except LeaseUnavailable as error:
                self.health.unpromoted = str(error)  # renewals are answered, and report Redis as healthy
                _log.warning("promotion_failed", reason=str(error))
            except TopicMadeAnewError as error:
                _log.warning("promoted_again", reason=str(error))
            except (ProducerDead, LogUnavailable, MissingTopic) as error:  # a topic missing now may be recreated
                self.health.kafka(str(error))
                _log.warning("promotion_failed", reason=str(error))
            await self._suspend()
            if self._leaving.is_set() and not self._has_led:
                return
            if self._promoted_ms is not None:
                self._backoff.record_lifetime(self._parts.clock.now_ms() - self._promoted_ms)
            await self._back_off(self._backoff.pause_s(refused=self._setback is Setback.REFUSED))
            if not await self._settle_doubt(renewal):
                return

    async def _promote(self, renewal: Renewal) -> None:
        self.health.role = "promoting"
        self._producer = self._parts.make_producer()
        standing = await self._parts.promotion.run(self._producer, lambda: self._still_mine(renewal), self._term)
        if self._parts.follower.last_claim != (standing.term, self._owner):
            raise LogUnavailable("Another claim follows ours.")
        if self._has_led and standing.term != self._term and self._contested():
            others = ", ".join(self._foreign.owners)
            raise TwoLeadersError(
                f"Others ({others}) keep claiming while this dispatcher ({self._owner}) holds a valid lease: two "
                "Redis serve one Kafka prefix. Give each budget its own kafka.topic_prefix, or all its dispatchers "
                "the same Redis."
            )
        if not self._parts.proof.is_proved:
            await self._parts.greeting.wait_for_answer()
        await self._begin(standing, renewal)

    def _contested(self) -> bool:
        return self._foreign.record(self._parts.follower.last_foreign(self._owner), self._parts.clock.now_ms())

    async def _begin(self, standing: RestoredState, renewal: Renewal) -> None:
        driver, clock = self._parts.driver, self._parts.clock
        self._term, self._has_led = standing.term, True
        is_new = self._parts.follower.made_anew
        driver.post(Promoted(standing.progress, standing.term, clock.utc_ms(), ledger_is_new=is_new))
        self._parts.follower.made_anew = False
        self._parts.publication.begin(standing.topic_ids)
        driver.cautious = set(standing.cautions)  # before any intake reads
        for place, offset in standing.lost.items():
            self._parts.intakes[place.lane].lose(place.number, offset)
        for lane, intake in self._parts.intakes.items():
            positions = {
                place.number: max(progress.base, standing.lost.get(place, 0))
                for place, progress in standing.progress.items()
                if place.lane == lane
            }
            cautions = {place.number: each for place, each in standing.cautions.items() if place.lane == lane}
            await intake.begin(positions, cautions)
        renewal.reached_ms = self._promoted_ms = clock.now_ms()
        self.health.unpromoted = None
        self.health.kafka(None)
        if self.health.term != standing.term:
            self.health.leading_since = clock.utc_now()
        self.health.role, self.health.term = "leader", standing.term
        _log.info("leading", term=standing.term, owner=self._owner)

    async def _publish_until_doubt(self, renewal: Renewal) -> bool:
        """Commit batches; return True when the producer dies, False when the lease is lost or the drain is over."""
        while True:
            self._check_intakes()
            if self._parts.follower.made_anew:
                raise TopicMadeAnewError("The ledger was deleted and recreated: the known state is written again.")
            if self._leaving.is_set():
                await self._halt_intakes()
            batch = await self._next_batch(renewal)
            if batch is not None and not await self._commit(batch, renewal):
                return True
            if renewal.is_over and (batch is None or renewal.over_for_ms() >= WIND_UP_MS):
                return False
            if batch is None and self._leaving.is_set() and self._parts.driver.core.idle:
                self._parts.driver.post(Suspended())  # a call that began from here on would be made again
                await self._say_left()
                return False

    def _check_intakes(self) -> None:
        for intake in self._parts.intakes.values():
            defect = intake.failure()
            if defect is not None:
                raise defect

    async def _next_batch(self, renewal: Renewal) -> Batch | None:
        """Return the next batch, or None when something else needs attention."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05 if self._leaving.is_set() else 0.5):
                return await self._parts.driver.publish_queue.get()
        await self._probe(renewal)
        return None

    async def _probe(self, renewal: Renewal) -> None:
        """Check from time to time, while idle, whether Kafka answers; a busy leader knows from its commits."""
        now_ms = self._parts.clock.now_ms()
        if now_ms - max(renewal.reached_ms, self._probed_ms) >= PROBE_EVERY_MS:
            ready = await self._parts.follower.reaches_kafka()
            self.health.kafka(None if ready else "Kafka does not answer.")
            self._probed_ms = self._parts.clock.now_ms()
            if ready:
                renewal.reached_ms = self._probed_ms

    async def _commit(self, batch: Batch, renewal: Renewal) -> bool:
        assert self._producer is not None  # noqa: S101 — programmer error: commit without promotion
        driver, clock, publication = self._parts.driver, self._parts.clock, self._parts.publication
        producer, term, begun_ms = self._producer, self._term, clock.now_ms()
        written: list[int] = []  # offsets, the ledger line's last
        touched: set[str] = set()

        async def transact() -> None:
            records, offsets = publication.records(batch, term), publication.offsets(batch)
            touched.update(each.topic for each in records)
            touched.update({_OFFSETS} if offsets else ())
            written.extend(await producer.transact(records, offsets))

        try:
            await self._parts.bookkeeping.during(
                lambda: self._parts.replies.during(publication.reply_topics(batch), transact)
            )
        except ProducerDead as error:
            self._parts.transacted("unknown", (clock.now_ms() - begun_ms) / 1_000)
            self.health.kafka(str(error))
            self._setback = self._parts.bookkeeping.failed(error)
            if self._setback is Setback.DENIED:
                self._deny(error, touched)
            say = _log.warning if error.setback is Setback.UNKNOWN else _log.error
            say("transaction_unknown", reason=str(error), setback=error.setback.value, term=self._term)
            return False
        if batch.settlements:
            self._backoff.reset()
        self._parts.transacted("committed", (clock.now_ms() - begun_ms) / 1_000)
        renewal.reached_ms = clock.now_ms()
        self.health.unpromoted = None
        self.health.record_commit(touched)
        self.health.kafka(None)
        self._parts.follower.record_step(written[-1], publication.line)
        self._parts.bookkeeping.committed()
        driver.post(Committed(batch.serial, begun_ms, publication.crashed))
        return True

    def _deny(self, error: ProducerDead, touched: Iterable[str]) -> None:
        """Report what an operator must repair. A reply topic is dispensable, and shown with its own trouble instead."""
        denied = touched if error.topic is None else (error.topic,)
        denied = [topic for topic in denied if not self._parts.replies.serves(topic)]
        if denied:
            self.health.deny(str(error), denied)

    # ------------------------------------------------------------------ doubt

    async def _suspend(self) -> None:
        """Suspend, as the producer is gone: admit nothing, take nothing, drop nothing."""
        self._parts.driver.post(Suspended(self._setback))
        self._parts.driver.drop_batches()
        self.health.role = "suspended"
        await self._halt_intakes()
        await self._drop_producer()

    async def _still_mine(self, renewal: Renewal) -> bool:
        """Whether to claim, right after the fence; only the fence makes sure that every claim can be read."""

        async def read() -> bool:
            await self._parts.follower.catch_up()
            return True

        return await self._may_claim(renewal, read)

    async def _settle_doubt(self, renewal: Renewal) -> bool:
        """Whether to start a new producer."""
        return await self._may_claim(renewal, lambda: self._read_ledger(renewal)) and not renewal.is_over

    async def _may_claim(self, renewal: Renewal, read_ledger: Callable[[], Awaitable[bool]]) -> bool:
        """Decide by `after_fence`: by the lease first, then by the last claim, if `read_ledger` could read it."""
        answer = await renewal.answer()
        decision = after_fence(answer, self._owner)
        if decision is FenceDecision.READ_LEDGER and await read_ledger():
            last = self._parts.follower.last_claim
            decision = after_fence(answer, self._owner, last[1] if last is not None else "")
        return decision is FenceDecision.CLAIM

    async def _read_ledger(self, renewal: Renewal) -> bool:
        """Read the ledger, once Kafka answers, since Redis is silent; False if the lease is over before."""
        while not renewal.is_over and not self._leaving.is_set():
            await self._back_off(1 + self._parts.dice())
            try:
                await self._parts.follower.catch_up()
            except (LogUnavailable, MissingTopic) as error:  # a topic that is missing now may be recreated
                self.health.kafka(str(error))
                await self._parts.follower.close()
                continue
            return True
        return False

    async def _back_off(self, seconds: float) -> None:
        """Pause before Kafka is asked again; shorter while leaving, and never zero."""
        await asyncio.sleep(min(seconds, BACKOFF_LEAVING_S) if self._leaving.is_set() else seconds)

    # ------------------------------------------------------------------ leaving

    async def _say_left(self) -> None:
        assert self._producer is not None  # noqa: S101 — programmer error: a term without a producer
        line = encode_ledger(left_record(self._term, self._owner))
        with contextlib.suppress(ProducerDead):
            late = self._parts.bookkeeping.late(self._parts.clock.utc_now())
            await self._producer.transact([*late, Outgoing(self._ledger_topic, Record(None, line))], {})
            self._parts.bookkeeping.committed()
            _log.info("left", term=self._term, owner=self._owner)
            await self._parts.bookkeeping.write_late(self._producer, self._parts.clock)

    async def _step_down(self) -> None:
        await self._halt_intakes()
        await self._drop_producer()
        self._parts.driver.post(StoodBy())
        self._parts.driver.drop_batches()
        self.health.role, self.health.term, self.health.leading_since = "standby", 0, None
        self.health.unpromoted = self.health.denied = None
        with contextlib.suppress(LeaseUnavailable):
            await self._parts.lease.release()
        _log.info("stood_by", term=self._term, owner=self._owner)

    async def _halt_intakes(self) -> None:
        for intake in self._parts.intakes.values():
            await intake.halt()

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()
