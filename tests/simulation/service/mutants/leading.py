"""Faults in who leads, for how long it may trust that, and what a leader says when it leaves."""

from unittest.mock import patch

from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import Candidacy, Trust
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import LeaseForeign, LeaseMine
from headrace.broker.service.leadership import promotion
from headrace.broker.service.leadership.leadership import Leadership
from headrace.broker.service.leadership.ledger_follower import LedgerFollower
from headrace.broker.service.leadership.promotion import Promotion
from headrace.broker.service.leadership.renewal import Renewal
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

ALWAYS_MS = 10**12


@planted(5)
def start_without_the_lease() -> Patch:
    """After an error of the producer no lease is asked for: a new producer, a new claim."""

    async def mine(_self: Leadership, _renewal: Renewal) -> bool:
        return True

    return patch.multiple(Leadership, _settle_doubt=mine, _still_mine=mine)


@planted(5)
def take_a_held_lease() -> Patch:
    """A standby believes a key gone that only was silent: it claims while the leader lives."""
    return patch.multiple(Candidacy, may_take_at=lambda _self, now_ms: now_ms)


@planted(3, 4)
def claim_is_not_read_back() -> Patch:
    """The first call comes before the ledger was read to our own claim: the predecessor's last answers are unknown."""

    async def read(_self: LedgerFollower, _within_ms: int) -> None:
        return None

    async def caught_up(self: LedgerFollower) -> None:
        await self.open()

    return patch.multiple(LedgerFollower, read_to_claim=read, catch_up=caught_up)


@planted(5)
def terms_are_not_raised() -> Patch:
    """A claim carries the highest term that was read, which another process has claimed."""
    return patch.object(promotion, "next_term", lambda highest: max(1, highest))


@planted(4, "a loop is blocked")
def trust_for_ever() -> Patch:
    """Once confirmed, a leader trusts its lease for ever."""
    return patch.object(Trust, "holds", lambda self, _now_ms: self.until() > 0)


@planted(4, "a message takes a second")
def trust_counts_from_the_reply() -> Patch:
    """A renewal is trusted from when its reply came, and not from when it was sent."""

    async def ask(self: Renewal) -> LeaseMine | LeaseForeign:
        answer = await self._of.lease.renew(restore=self._of.trust.holds(self._of.clock.now_ms()))
        if isinstance(answer, LeaseMine):
            self._of.renewed(self._of.clock.now_ms())
        return answer

    return patch.object(Renewal, "ask", ask)


@planted(4, "a loop is blocked")
def a_call_does_not_look_again() -> Patch:
    """Between the decision to call and the call nothing is asked, however long the process stood still."""
    whole = Trust.holds

    def holds(self: Trust, now_ms: int) -> bool:
        import sys  # noqa: PLC0415 — of this fault alone

        return sys._getframe(1).f_code.co_name == "_call" or whole(self, now_ms)

    return patch.object(Trust, "holds", holds)


@planted(4, "Redis fails over")
def a_revoked_lease_is_trusted() -> Patch:
    """Another holder was seen, and calls start until the old trust ends."""
    return patch.object(Trust, "revoke", lambda _self, _now_ms: None)


@planted(4, "a message takes a second")
def what_was_sent_before_a_revocation_restores_trust() -> Patch:
    """A commit that winds up a term proves that it leads."""

    def proved(self: Trust, begun_at_ms: int) -> None:
        self._until_ms = max(self._until_ms, begun_at_ms + self._times.proof_ms)

    return patch.object(Trust, "extend_by_commit", proved)


@planted(6)
def commits_prove_nothing() -> Patch:
    """While Redis is away the leader stops calling."""
    return patch.object(Trust, "extend_by_commit", lambda _self, _begun_at_ms: None)


@planted(6)
def a_lease_that_was_emptied_is_not_set_again() -> Patch:
    """A leader whose key is gone believes that it has lost it."""

    async def ask(self: Renewal) -> LeaseMine | LeaseForeign:
        sent_ms = self._of.clock.now_ms()
        answer = await self._of.lease.renew(restore=False)
        if isinstance(answer, LeaseMine):
            self._of.renewed(sent_ms)
        return answer

    return patch.object(Renewal, "ask", ask)


@planted(6)
def a_key_that_is_gone_is_free() -> Patch:
    """A standby takes a key that Redis forgot at once, before its living holder can set it again."""
    return patch.multiple(Candidacy, _free_from_ms=lambda _self, now_ms: now_ms, record_look=_saw_without_grace)


def _saw_without_grace(self: Candidacy, value: str | None, _pttl_ms: int | None, now_ms: int) -> None:
    self._heard_ms = now_ms
    self._take_at_ms = now_ms if value in {None, "released"} else None


@planted(6)
def a_silent_redis_ends_a_term() -> Patch:
    """A leader to which Redis does not answer steps down."""

    async def run(self: Renewal) -> None:
        import asyncio  # noqa: PLC0415 — of this fault alone

        while True:
            await asyncio.sleep(self._of.times.renew_every_ms / 1_000)
            try:
                answer = await self.ask()
            except LeaseUnavailable:
                return self._lose("silent", None)
            if isinstance(answer, LeaseForeign):
                return self._lose("lease_foreign", answer.value)

    return patch.object(Renewal, "_run", run)


@planted(5, "the leader is told to leave")
def calls_start_after_it_left() -> Patch:
    """A leader that is told to leave says in the ledger that it has left, and goes on with its drain."""
    whole = Leadership._halt_intakes

    async def halt(self: Leadership) -> None:
        await whole(self)
        if self._leaving.is_set() and self._producer is not None and self._has_led:
            await self._say_left()

    return patch.object(Leadership, "_halt_intakes", halt)


@planted("a loop is blocked")
def the_key_outlives_no_trust() -> Patch:
    """A leader trusts its lease for longer than the key lives."""

    def renewed(self: Trust, sent_at_ms: int) -> None:
        self._revoked_ms = None
        self._until_ms = max(self._until_ms, sent_at_ms + 2 * LeaseTimes().ttl_ms)

    return patch.object(Trust, "extend_by_renewal", renewed)


@planted("a process begins while the clock")
def nobody_asks_redis_for_the_time() -> Patch:
    """A dispatcher leads that Redis has never told the time."""
    whole = Promotion.run

    async def run(self: Promotion, *args: object) -> object:
        async def yes() -> bool:
            return True

        with patch.object(self.timekeeper, "ask_redis", yes):
            return await whole(self, *args)  # type: ignore[arg-type]

    return patch.object(Promotion, "run", run)
