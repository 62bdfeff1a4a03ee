"""Renewal of the lease while leading, and giving it up when another process should lead.

It runs beside the task that owns the producer, in the event loop of the dispatching, so that a loop that hangs cannot
keep its lease. Once it is over, it does not resume: a new term takes a new one.
"""

import asyncio
import contextlib

import structlog

from headrace.broker.core.lease import LeaseAnswer
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import LeaseForeign, LeaseMine
from headrace.broker.service.leadership.standby import Contender
from headrace.broker.tasks import ended

CUT_OFF_AFTER_MS = 15_000
RIVAL_STEADY_MS = 10_000
"""A leader that has not reached Kafka for `CUT_OFF_AFTER_MS`, while a standby has for `RIVAL_STEADY_MS`, hands over.

Both mean the same by it, and ask the same: what a promotion needs. Otherwise a leader would hand over though its
successor can do no better, and every answer it holds would be paid for again (holes 64).
"""
assert RIVAL_STEADY_MS < CUT_OFF_AFTER_MS  # noqa: S101 — a bound asserted against its neighbour

_log = structlog.get_logger("leadership")


class Renewal:
    """Lease of one stretch of leading.

    `reached_ms` is when Kafka last answered; each caller that reaches it sets this.
    """

    def __init__(self, contender: Contender, *, restores_always: bool = False) -> None:
        """Renewing begins here, and goes on until `end`.

        `restores_always`: set an absent key again also while nothing proves that we still lead.
        """
        self._of = contender
        self._restores_always = restores_always
        self._lost_ms: int | None = None
        self._is_late = False  # after a standstill we may have set the key again past the end of our trust
        self._rival_since_ms: int | None = None
        self._probing: asyncio.Task[bool] | None = None
        self.reached_ms = self._of.clock.now_ms()
        self._task = asyncio.create_task(self._run(), name="lease renewal")

    @property
    def is_over(self) -> bool:
        """Whether another process holds the lease, or it is no longer renewed."""
        return self._lost_ms is not None or self._task.done()

    def over_for_ms(self) -> int:
        """Return how long the lease has been over; 0 while it is not."""
        return 0 if self._lost_ms is None else self._of.clock.now_ms() - self._lost_ms

    async def ask(self) -> LeaseMine | LeaseForeign:
        """Renew once; the trust counts from the instant the renewal was sent.

        Raises:
            LeaseUnavailable: Redis is silent, or has lost the key while nothing proved that we lead: that says as
                little. The last claimant decides, and sets the key again once a commit has proved that it still leads.
                The same is raised where a late question of ours may have set the key again (`_is_late`).
        """
        sent_ms = self._of.clock.now_ms()
        restores = self._restores
        looks = self._is_late and not restores
        try:
            answer = await (self._look() if looks else self._of.lease.renew(restore=restores))
        except LeaseUnavailable as error:
            self._is_late = self._is_late or restores
            self._of.health.redis(str(error))
            self._of.renewed(None)
            raise
        self._of.health.redis(None)
        self._is_late = (self._is_late or restores) and not self._restores
        if isinstance(answer, LeaseMine) and not (looks or self._is_late):
            self._of.renewed(sent_ms)
        elif isinstance(answer, LeaseMine) or answer.value is None:
            self._of.renewed(None)
            raise LeaseUnavailable(
                "Redis cannot report the leader, and this process has no recent proof that it leads."
            )
        return answer

    async def answer(self) -> LeaseAnswer:
        """Ask once, as `after_fence` wants to know it."""
        try:
            mine = isinstance(await self.ask(), LeaseMine)
        except LeaseUnavailable:
            return LeaseAnswer.SILENT
        return LeaseAnswer.MINE if mine else LeaseAnswer.NOT_MINE

    @property
    def _restores(self) -> bool:
        """Whether an absent key may be set again now."""
        return self._restores_always or self._of.trust.holds(self._of.clock.now_ms())

    async def _look(self) -> LeaseMine | LeaseForeign:
        """Look without extending the lease: a key that nothing proves to be ours is left to expire."""
        value = (await self._of.lease.look()).value
        return LeaseMine() if value == self._of.owner else LeaseForeign(value)

    async def end(self) -> BaseException | None:
        """Stop renewing; return the defect that ended it before, if there was one."""
        await ended(self._task)
        if self._probing is not None:
            await ended(self._probing)
        return None if self._task.cancelled() else self._task.exception()

    async def _run(self) -> None:
        """Prove every 0.4 s that the lease is ours; a foreign holder ends the term.

        The duration of a question counts: one that Redis has not answered is followed by the next one at once, since
        Redis may be back, and a standby waits no longer than `LeaseTimes.reclaim_ms`.
        """
        asked_ms = self._of.clock.now_ms()
        while True:
            await asyncio.sleep(max(0, asked_ms + self._of.times.renew_every_ms - self._of.clock.now_ms()) / 1_000)
            asked_ms = self._of.clock.now_ms()
            try:
                answer = await self.ask()
                cut_off = isinstance(answer, LeaseMine) and await self._cut_off()
            except LeaseUnavailable:
                continue
            if isinstance(answer, LeaseForeign):
                self._lose("lease_foreign", answer.value)
                return
            if cut_off:
                self._lose("cut_off_from_kafka", None)
                with contextlib.suppress(LeaseUnavailable):
                    await self._of.lease.release()
                return

    def _lose(self, why: str, holder: str | None) -> None:
        """Note the loss: no call starts from here on; the owner of the producer notices within half a second."""
        _log.warning(why, holder=holder, owner=self._of.owner)
        self._lost_ms = self._of.clock.now_ms()
        self._of.trust.revoke(self._lost_ms)
        self._of.health.holder = holder

    async def _cut_off(self) -> bool:
        """Whether Kafka has long been unreachable for us, but for a while not for a standby, which should then lead.

        A leader that reads the ledger is not cut off, nor one that could start a producer: its commits would fail in
        another process as well.
        """
        now_ms = self._of.clock.now_ms()
        reached_ms = max(self.reached_ms, self._of.kafka.reached_ms)
        watching = now_ms - reached_ms >= CUT_OFF_AFTER_MS - RIVAL_STEADY_MS
        if not watching or not await self._of.lease.ready_standbys():
            self._rival_since_ms = None
            if self._probing is not None and self._probing.done():
                self._probing = None  # its answer is too old by the time it is asked for
            return False
        if self._has_answered():
            self.reached_ms, self._rival_since_ms = now_ms, None
            return False
        if self._rival_since_ms is None:
            self._rival_since_ms = now_ms
        return now_ms - self._rival_since_ms >= RIVAL_STEADY_MS

    def _has_answered(self) -> bool:
        """Whether the last probe succeeded. Probes run beside the renewals: one takes longer than a lease may wait."""
        last = self._probing
        if last is not None and not last.done():
            return False
        self._probing = asyncio.create_task(self._of.kafka.reaches_kafka(), name="kafka probe")
        return last is not None and last.result()
