"""Election by lease alone, for work that one process does at a time and that has no ledger as proof: the retrier's.

It waits for Redis: while Redis is silent no process begins, and the working one stops once its lease can have run out.
Kafka still fences a process that did not notice. After any error of its producer it asks for the lease first, and
starts a new producer only with that answer in hand (PROTOCOL 3 and `after_fence`; no exception for the last claimant).

Where Redis is back and has lost the lease, its last holder sets it again without a proof: it has none, a standby would
have none either, and a standby would have to read again all that waits.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import FenceDecision, Trust, after_fence
from headrace.broker.errors import LeaseUnavailable, LogUnavailable, MissingTopic, ProducerDead
from headrace.broker.ports import Coordinators, LaneLog, Lease
from headrace.broker.service.containment import said
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.backoff import Backoff
from headrace.broker.service.leadership.clock_check import ByTheLeader
from headrace.broker.service.leadership.renewal import Renewal
from headrace.broker.service.leadership.standby import Contender, Followed, Standby
from headrace.broker.service.preflight.probe import Observed, answers
from headrace.broker.tasks import ended
from headrace.broker.tenure import Tenure

WATCH_EVERY_S = 1.0

_log = structlog.get_logger("election")


class Work(Protocol):
    """Work done while elected."""

    async def serve(self, tenure: Tenure) -> None:
        """Work until the tenure is over; raises ProducerDead or LogUnavailable when Kafka is in doubt."""


class KafkaWatch:
    """Check that Kafka answers, by a topic that must exist: what a standby without a ledger follows."""

    is_empty = has_just_left = False
    reached_ms = 0

    def __init__(self, log: LaneLog, coordinators: Coordinators, *, observed: Observed = said) -> None:
        """`log` is queried and never read; `observed` reports a defect of the query."""
        self._observed = observed
        self._log = log
        self._coordinators = coordinators
        self._missing: MissingTopic | None = None

    async def catch_up(self) -> None:
        """Make sure that the topic exists; raises LogUnavailable, or MissingTopic."""
        self._missing = None
        await self._log.partitions()

    async def follow(self, timeout_ms: int) -> int:
        """Pause between two looks at the lease; raises MissingTopic if the last probe did not find the topic."""
        if self._missing is not None:
            raise self._missing
        await asyncio.sleep(timeout_ms / 1_000)
        return 0

    async def reaches_kafka(self) -> bool:
        """Whether a producer could be started, and offsets and failures could be read."""
        return await answers(self._look, observed=self._observed)

    async def _look(self) -> None:
        try:
            await self._log.partitions()
        except MissingTopic as error:
            self._missing = error
            raise
        await self._log.bounds([0])
        await self._coordinators.check()

    async def close(self) -> None:
        """Close the doors."""
        await self._log.close()
        await self._coordinators.close()


@dataclass(slots=True)
class LeaseTenure:
    """Implementation of `Tenure`. `led_since_ms`: when our claim was made in this stretch; None if there is none."""

    renewal: Renewal
    of: Contender
    timekeeper: ByTheLeader
    leaving: asyncio.Event
    led_since_ms: int | None = None

    @property
    def is_over(self) -> bool:
        """See `headrace.broker.tenure.Tenure.is_over`."""
        return self.leaving.is_set() or self.renewal.is_over

    @property
    def is_trusted(self) -> bool:
        """See `headrace.broker.tenure.Tenure.is_trusted`."""
        return not self.is_over and self.timekeeper.is_settled and self.of.trust.holds(self.of.clock.now_ms())

    async def still_mine(self) -> bool:
        """See `headrace.broker.tenure.Tenure.still_mine`."""
        return after_fence(await self.renewal.answer(), None) is FenceDecision.CLAIM

    def leads(self, term: int) -> None:
        """See `headrace.broker.tenure.Tenure.leads`."""
        self.led_since_ms = self.of.clock.now_ms()
        self.of.health.kafka(None)
        self.of.health.role, self.of.health.term = "leader", term
        self.of.health.leading_since = self.of.health.leading_since or self.of.clock.utc_now()
        self.renewal.reached_ms = self.of.clock.now_ms()
        _log.info("leading", term=term)

    def published(self) -> None:
        """See `headrace.broker.tenure.Tenure.published`."""
        self.of.health.denied = None


class Elected:
    """Election of one process; runs until `leave` is called."""

    def __init__(  # noqa: PLR0913 — all but two keyword-only
        self,
        lease: Lease,
        kafka: Followed,
        *,
        clock: WallClock,
        timekeeper: ByTheLeader,
        health: Health,
        times: LeaseTimes,
        owner: str,
        dice: Callable[[], float],
        observed: Observed = said,
    ) -> None:
        """`owner` is this process's random token in the lease; `timekeeper` compares `clock`.

        `observed` reports an exception in what only observes (`Containment.observed`).
        """
        self._observed = observed
        self._timekeeper = timekeeper
        self.health = health
        self._dice = dice
        trust = Trust(times)
        self._of = Contender(lease, kafka, trust, trust.extend_by_renewal, clock, health, times, owner)
        self._standby = Standby(self._of)
        self._leaving = asyncio.Event()

    async def run(self, work: Work) -> None:
        """Stand by and work in turn; returns after `leave`."""
        try:
            while not self._leaving.is_set():
                if await self._standby.wait(self._leaving, self._dice):
                    await self._hold(work)
        finally:
            await self._of.kafka.close()

    def leave(self) -> None:
        """Have the process end what is under way, release the lease, and return."""
        self._leaving.set()

    async def _hold(self, work: Work) -> None:
        renewal = Renewal(self._of, restores_always=True)
        watching = asyncio.create_task(self._watch(renewal), name="kafka watch")
        try:
            await self._serve(work, renewal)
        finally:
            await ended(watching)
            defect = await renewal.end()
            self.health.role, self.health.term, self.health.leading_since = "standby", 0, None
            self.health.denied = None
            with contextlib.suppress(LeaseUnavailable):
                await self._of.lease.release()
            _log.info("stood_by", owner=self._of.owner)
        if defect is not None:
            raise defect

    async def _serve(self, work: Work, renewal: Renewal) -> None:
        backoff = Backoff(self._dice)
        holding = LeaseTenure(renewal, self._of, self._timekeeper, self._leaving)
        while not holding.is_over:
            self.health.role, holding.led_since_ms, refused = "promoting", None, False
            try:
                await work.serve(holding)
            except (ProducerDead, LogUnavailable, MissingTopic) as error:
                refused = isinstance(error, ProducerDead) and error.is_refusal
                self.health.kafka(str(error))
                denied = isinstance(error, ProducerDead) and error.is_denial
                if denied and holding.led_since_ms is not None:  # else the claim that succeeds shows that it is mended
                    self.health.denied = str(error)
                say = _log.error if denied else _log.warning
                say("stretch_ended", reason=str(error), term=self.health.term)
            if holding.led_since_ms is not None:
                backoff.record_lifetime(self._of.clock.now_ms() - holding.led_since_ms)
            self.health.role = "suspended"
            if holding.is_over:
                return
            await asyncio.sleep(backoff.pause_s(refused=refused))
            if not await self._asked(renewal, holding):
                return

    async def _asked(self, renewal: Renewal, holding: LeaseTenure) -> bool:
        """Ask whether the lease is ours, and wait for Redis to answer."""
        while not holding.is_over:
            decision = after_fence(await renewal.answer(), None)
            if decision is not FenceDecision.WAIT_FOR_REDIS:
                return decision is FenceDecision.CLAIM
            await asyncio.sleep(0.5 + self._dice())
        return False

    async def _watch(self, renewal: Renewal) -> None:
        """Check every second. A failed check counts as none made: without the next ones the lease would be given up."""
        while True:
            try:
                await self._timekeeper.ask()  # beside the work: nothing may come between the lease and the fence
            except Exception as error:  # noqa: BLE001 — see above
                self._observed("clock", error)
            await asyncio.sleep(WATCH_EVERY_S)
            ready = await self._of.kafka.reaches_kafka()
            if self.health.role != "suspended":
                self.health.kafka(None if ready else "Kafka does not answer.")
            if ready:
                renewal.reached_ms = self._of.clock.now_ms()
