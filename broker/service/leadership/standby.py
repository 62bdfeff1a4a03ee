"""Standing by: Kafka is followed, and the lease is looked at, and taken when PROTOCOL 2 allows it.

Every process begins here, and returns here when its term is over. It never starts a producer. What is followed differs:
a dispatcher reads the ledger, the retrier only checks that Kafka answers.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import Candidacy, Trust
from headrace.broker.errors import LeaseUnavailable, LogUnavailable, MissingTopic
from headrace.broker.ports import Lease, LeaseTaken
from headrace.broker.service.health import Health
from headrace.broker.service.preflight.probe import PROBE_EVERY_MS, Reach
from headrace.broker.tasks import set_within

BACKOFF_MAX_S = 2.0
RELEASED_SOON_MS = 20
"""Pause between two looks at the lease once its holder has said that it leaves."""
NOTE_EVERY_MS = 500
"""Interval of the note that a standby is ready; a note is valid for two seconds."""

_log = structlog.get_logger("leadership")


class Followed(Reach, Protocol):
    """Source that a standby keeps up with."""

    @property
    def has_just_left(self) -> bool:
        """Whether the last leader has just said that it leaves: its lease is released in a moment."""

    @property
    def is_empty(self) -> bool:
        """Whether no process has ever led, so that no living leader needs time to set its key again."""

    async def catch_up(self) -> None:
        """Catch up; raises LogUnavailable."""

    async def follow(self, timeout_ms: int) -> int:
        """Follow for at most that time; raises LogUnavailable."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A process that may hold a lease, as its standing by and its renewals see it.

    Attributes:
        kafka: What it keeps up with, and whether it reaches Kafka.
        trust: Until when it may lead.
        renewed: Receives the time at which a confirmed `take` or renewal was sent; None for one that was not answered.
        owner: This process's random token in the lease.
    """

    lease: Lease
    kafka: Followed
    trust: Trust
    renewed: Callable[[int | None], None]
    clock: WallClock
    health: Health
    times: LeaseTimes
    owner: str


class Standby:
    """Candidate that waits for the lease."""

    def __init__(self, contender: Contender) -> None:
        self._of = contender
        self._follows = False
        self._probed_ms = 0
        self._noted_ms: int | None = None

    async def wait(self, leaving: asyncio.Event, dice: Callable[[], float]) -> bool:
        """Stand by until the lease is ours (True) or we are leaving (False)."""
        self._of.health.role, self._of.health.term = "standby", 0
        self._follows = False  # a leader in doubt may have closed it; the lease needs one that has caught up
        candidacy: Candidacy | None = None
        while not leaving.is_set():
            if not await self._followed():
                await set_within(leaving, self._pause_s(dice))
                continue
            if candidacy is None:
                empty = self._of.kafka.is_empty
                candidacy = Candidacy(self._of.times, started_ms=self._of.clock.now_ms(), ledger_empty=empty)
            if await self._take_when_allowed(candidacy):
                return True
        return False

    def _pause_s(self, dice: Callable[[], float]) -> float:
        """Return the pause after a failed start of the follower; one that follows has waited already."""
        return 0.0 if self._follows else BACKOFF_MAX_S * dice()

    async def _followed(self) -> bool:
        """Run one turn of following the ledger; it doubles as the pause between two looks at the lease."""
        try:
            if self._follows:
                released_soon = self._of.kafka.has_just_left
                await self._of.kafka.follow(RELEASED_SOON_MS if released_soon else self._of.times.poll_every_ms)
            else:
                await self._of.kafka.catch_up()
        except (LogUnavailable, MissingTopic) as error:  # a deleted topic may be recreated
            self._of.health.kafka(str(error))
            self._follows = False
            await self._of.kafka.close()
            return False
        self._follows = True
        if self._of.clock.now_ms() - self._probed_ms >= PROBE_EVERY_MS:
            self._of.health.kafka(None if await self._of.kafka.reaches_kafka() else "Kafka does not answer.")
            self._probed_ms = self._of.clock.now_ms()
        return self._of.health.kafka_ready

    async def _take_when_allowed(self, candidacy: Candidacy) -> bool:
        try:
            view = await self._of.lease.look()
            self._of.health.holder = view.value
            self._of.health.redis(None)
            candidacy.record_look(view.value, view.pttl_ms, self._of.clock.now_ms())
            await self._note_ready()
            at_ms = candidacy.may_take_at(self._of.clock.now_ms())
            if at_ms is None or at_ms > self._of.clock.now_ms():
                return False
            sent_ms = self._of.clock.now_ms()
            answer = await self._of.lease.take()
            if not isinstance(answer, LeaseTaken):  # another process was faster, and has until the expiry seen here
                candidacy.record_look(answer.value, answer.pttl_ms, self._of.clock.now_ms())
                return False
        except LeaseUnavailable as error:
            candidacy.record_silence()
            self._of.health.redis(str(error))
            return False
        self._of.renewed(sent_ms)
        self._of.health.holder = self._of.owner
        _log.info("lease_taken", owner=self._of.owner)
        return True

    async def _note_ready(self) -> None:
        """Renew the note of readiness. One that Redis refuses keeps no process from leading: all notes may be lost."""
        now_ms = self._of.clock.now_ms()
        if self._noted_ms is None or now_ms - self._noted_ms >= NOTE_EVERY_MS:
            self._noted_ms = now_ms
            with contextlib.suppress(LeaseUnavailable):
                await self._of.lease.note_ready()
