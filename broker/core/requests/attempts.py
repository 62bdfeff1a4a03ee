"""One attempt: its reservation, what its answer teaches the budget, and what follows for its request.

Each attempt ends its reservation once, whatever its answer. A call that was cancelled is charged and observed as well;
it only has no consequence for a request. One that belongs to a former term is charged, and changes nothing else.
"""

import contextlib
from collections.abc import Callable, Iterable

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.verdict import OK, Meaning, Verdict
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.blames import EndedAttempt
from headrace.broker.core.budget.breaker import ACCOUNT, Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.tier_breaker import CallToTier
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Complete, Decision, Fail
from headrace.broker.core.config import DispatchRules
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.identity.outcome_index import ATTEMPT_MAX
from headrace.broker.core.lanes.scheduler import Forgotten
from headrace.broker.core.requests.in_flight import CallInFlight, CallsInFlight
from headrace.broker.core.requests.retry import Again, Failing, decide
from headrace.broker.core.requests.silent_probes import SilentProbes
from headrace.broker.core.ticket import Blame, Blamed, CallNumber, ModelTier, Ticket

Sequel = tuple[Ticket, Again | Decision]
"""A ticket, and what becomes of its request after an attempt."""
GiveBack = Callable[[str, int, int], None]
"""Takes a tenant, tokens (negative: they are taken), and when its call was sent."""


class Attempts:
    """Start and end of calls, with the decision on what becomes of the request.

    Attributes:
        has_breaker_changes: A breaker has opened or closed since the last call of `breaker_changes`.
    """

    def __init__(
        self,
        flights: CallsInFlight,
        rules: DispatchRules,
        dice: Callable[[], float],
        give_back: GiveBack | None = None,
    ) -> None:
        """`dice` draws a number in [0, 1).

        `give_back` is told the tokens of a call's charge that were not taken.
        """
        self._give_back = give_back
        self._flights = flights
        self._rules = rules
        self._dice = dice
        self._changes: list[BreakerOpened | BreakerClosed] = []
        self._silent_probes = SilentProbes(flights)
        self.has_breaker_changes = False

    def start(self, ticket: Ticket, budget: Budget, now_ms: int, *, account: AccountBreaker) -> CallNumber:
        """Start a call that leaves now, and reserve its charge."""
        ticket.calls += 1
        call = self._flights.start(ticket, budget, now_ms, account=account.breaker)
        if not (account.breaker.closed and budget.breaker.closed):
            self._silent_probes.record_start(call)
        return call

    def believe_silence(self, account: AccountBreaker, now_ms: int) -> list[BreakerOpened | BreakerClosed]:
        """Let other probes go besides those about which the server is silent, see `SilentProbes`.

        Return the changes: breakers that were silent about so many have closed.
        """
        for flight, breakers in self._silent_probes.take(now_ms):
            limit = flight.budget.settings.name
            for breaker in breakers:
                if not breaker.record_silence():
                    continue
                of_account = breaker is account.breaker
                if of_account:
                    account.record_success(flight.budget, flight.sent_ms, now_ms)
                    account.clear(limit, now_ms)
                else:
                    breaker.close()
                self._note_closed(None if of_account else limit, breaker, now_ms)
        return self.breaker_changes()

    def silence_at(self) -> int | None:
        """Return when `believe_silence` should be called next; None: not before another call has started."""
        return self._silent_probes.due_at()

    def breaker_changes(self) -> list[BreakerOpened | BreakerClosed]:
        """Return the breakers that have opened or closed since the last call."""
        changes, self._changes, self.has_breaker_changes = self._changes, [], False
        return changes

    def end(self, event: Answered, now_ms: int, *, account: AccountBreaker, may_park: bool) -> Sequel | None:
        """Handle the end of a call; return what follows, or None if its request no longer waits for it."""
        flight, verdict = self._flights.land(event.call, now_ms), event.verdict
        unanswered = verdict.meaning in _UNANSWERED
        untaken = (
            flight.budget.abandon(event.call, now_ms)
            if unanswered
            else flight.budget.record_answer(event.call, now_ms, verdict, event.usage)
        )
        if untaken and self._give_back is not None:
            self._give_back(flight.ticket.candidate.tenant, untaken, flight.sent_ms)
        if flight.of_former_term:  # the breakers that it would change were forgotten as that term ended
            return None
        if verdict.meaning is OK:
            self._flights.record_answered(flight.ticket.candidate.tier, now_ms - flight.sent_ms)
            account.record_success(flight.budget, flight.sent_ms, now_ms)
            self._silent_probes.record_success()
        if unanswered and not verdict.counts_as_attempt:  # the call was ended on our side
            flight.release_probes(now_ms)
        elif verdict.meaning is not OK or flight.probes or flight.budget.tiers or not flight.budget.breaker.calm:
            self._observe(flight, verdict, account, now_ms)
        if not flight.wanted:
            return None
        if verdict.meaning is not OK:
            if flight.budget.breaker.closed:  # an open breaker blames the server, not this request
                flight.ticket.failures += verdict.counts_as_attempt
            return flight.ticket, self._decide(flight.ticket, verdict, now_ms, may_park=may_park)
        if event.bytes > self._rules.outcome_bytes_max:
            sentence = f"The answer weighs {event.bytes} bytes, more than the results topic takes."
            return flight.ticket, Fail("too_large_for_topic", sentence)
        self._flights.hold(flight.ticket, event.bytes)
        return flight.ticket, _COMPLETE

    def take_back(self, event: CallNotSent, now_ms: int) -> Ticket | None:
        """Take back a call that was not sent; return its ticket if that still waits for the call."""
        flight = self._flights.land(event.call, now_ms)
        untaken = flight.budget.abandon(event.call, now_ms, sent=False)
        if self._give_back is not None:
            self._give_back(flight.ticket.candidate.tenant, untaken, flight.sent_ms)
        flight.ticket.calls -= 1
        flight.release_probes(now_ms)
        return flight.ticket if flight.wanted else None

    def end_crashed(self, call: CallNumber, now_ms: int) -> Ticket | None:
        """End a call in which our own code failed: it may have been sent, so it stays charged; no breaker counts it."""
        flight = self._flights.land(call, now_ms)
        flight.budget.abandon(call, now_ms)
        flight.release_probes(now_ms)
        return flight.ticket if flight.wanted else None

    def close_reservation(self, call: CallNumber, flight: CallInFlight, now_ms: int) -> None:
        """End the reservation of a call if it is still open, after our code raised while handling the call's end."""
        if self._flights.holds(call):
            self._flights.land(call, now_ms)
        with contextlib.suppress(KeyError):
            flight.budget.abandon(call, now_ms)
        with contextlib.suppress(KeyError):
            flight.budget.tariff.record_loss(call)  # the reservation was ended, but not yet the tariff's record
        flight.release_probes(now_ms)

    def _observe(self, flight: CallInFlight, verdict: Verdict, account: AccountBreaker, now_ms: int) -> None:
        """Pass the verdict to the breakers, and note changes of their state."""
        limit, limit_breaker = flight.budget.settings.name, flight.budget.breaker
        account_tripped_by, limit_tripped_by = account.breaker.tripped_by, limit_breaker.tripped_by
        ticket, blames = flight.ticket, flight.ticket.blames or Blamed(Blame(), Blame())
        tells = verdict.meaning is OK or verdict.meaning in ACCOUNT or not flight.silent
        probe, probes_limit = (tells and flight.probes_still(breaker) for breaker in (account.breaker, limit_breaker))
        if verdict.meaning in ACCOUNT:
            ticket.blames = blames
        if verdict.meaning in ACCOUNT or not tells:
            self._silent_probes.record_refusal(now_ms - flight.sent_ms)
        if verdict.meaning is not OK:
            flight.forget_silence()

        def is_served(limit: str | None, since_ms: int) -> bool:
            return self._flights.has_sent(since_ms, now_ms - self._silent_probes.served_after_ms, limit=limit)

        attempt = EndedAttempt(ticket.number, blames, verdict, flight.sent_ms, probe, is_served)
        account.observe(flight.budget, attempt, now_ms)
        limit_breaker.observe(verdict.meaning, now_ms, verdict.wait_ms, probe=probes_limit)
        if account.breaker.tripped_by is not account_tripped_by:
            self._note_change(None, account.breaker, flight, verdict, now_ms)
        if limit_breaker.tripped_by is not limit_tripped_by:
            self._note_change(limit, limit_breaker, flight, verdict, now_ms)
        self._observe_tier(flight, verdict, now_ms)

    def _observe_tier(self, flight: CallInFlight, verdict: Verdict, now_ms: int) -> None:
        """Pass the verdict to the breaker of the call's service tier, and note a change of its state."""
        tiers, tier = flight.budget.tiers, flight.ticket.candidate.model_tier
        if verdict.meaning is not Meaning.TIER_UNAVAILABLE and not tiers:
            return
        is_probe, flights = tiers.find(tier) in flight.probes, self._flights

        def is_served(since_ms: int, for_ms: int) -> bool:
            return flights.has_sent(since_ms, now_ms - for_ms, tier=tier)

        call = CallToTier(tier, verdict, flight.sent_ms, is_probe, is_served)
        changed = tiers.observe(call, now_ms, self._dice())
        if changed is not None:
            self._note_change(flight.budget.settings.name, changed, flight, verdict, now_ms, tier=tier)

    def _note_change(  # noqa: PLR0913 — the particulars of one change
        self,
        name: str | None,
        breaker: Breaker,
        flight: CallInFlight,
        verdict: Verdict,
        now_ms: int,
        *,
        tier: ModelTier | None = None,
    ) -> None:
        """Note that a breaker has opened or closed, or is now open for another reason."""
        if breaker.closed:
            self._note_closed(name, breaker, now_ms, tier)
        else:
            self.has_breaker_changes = True
            rest_ms = breaker.rests_until(now_ms) - now_ms
            limit, number = flight.budget.settings.name, flight.ticket.number
            self._changes.append(BreakerOpened(name, limit, number, verdict, rest_ms, tier))

    def _note_closed(self, name: str | None, breaker: Breaker, now_ms: int, tier: ModelTier | None = None) -> None:
        self.has_breaker_changes = True
        self._changes.append(BreakerClosed(name, now_ms - breaker.opened_ms, tier))

    def _decide(self, ticket: Ticket, verdict: Verdict, now_ms: int, *, may_park: bool) -> Again | Decision:
        if (
            verdict.snapshot is not None
            and verdict.snapshot.metric is LimitMetric.TOKENS
            and verdict.snapshot.requested
        ):
            ticket.charge, ticket.stated = verdict.snapshot.requested, True  # the charge as the server states it
        candidate = ticket.candidate
        attempts = candidate.calls_before + ticket.calls
        may_park = may_park and not self._rules.is_serial(ticket.source.partition.lane)
        parkable = may_park and ticket.bytes <= self._rules.parked_bytes_max and attempts < ATTEMPT_MAX
        # calls of its limit refute it: a key may be permitted for another limit's endpoint and not for this one
        refuted = 0 if ticket.blames is None else ticket.blames.by_limit.refuted
        failing = Failing(verdict, attempts, ticket.failures, candidate.deadline_ms, parkable, refuted)
        return decide(failing, self._rules.retry, now_ms, self._dice())


def closings(forgotten: Iterable[Forgotten], now_ms: int) -> list[BreakerClosed]:
    """Return the reports of open breakers that were forgotten: nothing rests for them any more."""
    return [BreakerClosed(each.limit, now_ms - each.breaker.opened_ms, each.tier) for each in forgotten]


_COMPLETE = Complete()
_UNANSWERED = frozenset({Meaning.TIMEOUT, Meaning.CONNECTION})
