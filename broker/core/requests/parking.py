"""Parking for requests of unavailable limits, so that they cannot fill a lane's buffer (head-of-line blocking).

A limit is *unavailable* when its breaker has been open for some seconds; when it has blamed the account, and that has
rested for as long as a retry may wait in place; and while a pause or a limit per day keeps its head waiting for longer
than that. Waiting for the tokens of a minute is not enough. A service tier whose breaker has been open for some seconds
is unavailable for its requests, which wait apart. All these may fill half of a lane's buffer, in count and in bytes;
beyond that the newest are parked, and the retrier puts them back. So the buffer goes on turning over, and other
requests get through.

Only a pause is certain to last, whether the server has stated it or the limit backs off: no answer shortens it. A
request that falls due within one fails at once. A limit per day fails nothing here: a single refusal may have stated
it, and the instant at which it opens is computed for the charge of the head alone. What is certain of it,
`headrace.broker.core.lanes.reachability` finds. Nor does a late turn to return fail anything: its pace is an estimate.

Parked requests must not come back as one wave. Within a lane and limit each one returns a little after the one before,
at the pace at which the limit could serve them; none returns before the limit opens, as far as that is known. It is
not known when the server behind an open breaker recovers; so the wait is as long as the breaker has been open already,
and an outage of days costs each request a few rounds, not thousands.

A record that stays holds the base of its partition's map, and the map has a bound. Where it is nearly used up, requests
that wait there for an unavailable limit leave too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from headrace.broker.core import bounds
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.commands import Fail, Park
from headrace.broker.core.config import DispatchRules, LaneRule
from headrace.broker.core.identity.outcome_index import ATTEMPT_MAX
from headrace.broker.core.lanes.lane_queue import LaneQueue
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.retry import kind
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.ticket import LanePartition, ModelTier, State, Ticket

WaitingPlace = tuple[str, ModelTier | None]
"""A limit's lanes, by its name, or those of one of its resting tiers."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a limit or a tier serves no call, and until when.

    Attributes:
        kind: As a RetryableFailure states it.
        sentence: For a person.
        until_ms: When it opens, as far as is known now.
        surely_until_ms: No call is made before that, whatever answers come: the end of a pause, or 0.
    """

    kind: str
    sentence: str
    until_ms: int
    surely_until_ms: int = 0


class ParkingPolicy:
    """Policy that parks requests of unavailable limits before they fill a buffer."""

    def __init__(
        self,
        registry: TicketRegistry,
        limits: Scheduler,
        settling: Settling,
        rules: DispatchRules,
        *,
        decided: Callable[[], int],
    ) -> None:
        """`decided` returns the number of decisions that wait for their commit."""
        self._registry = registry
        self._limits = limits
        self._settling = settling
        self._rules = rules
        self._decided = decided
        # when the next parked request may return, by where it waited
        self._next_return_ms: dict[tuple[WaitingPlace, str], int] = {}
        self._check_requested = self._committed = False

    def request_check(self, *, committed: bool = False) -> None:
        """Ask for a check: a buffer has grown, or a limit may be unavailable; a commit makes room to park more."""
        self._check_requested, self._committed = True, self._committed or committed

    def relieve(self, now_ms: int, *, may_park: bool) -> None:
        """Park what exceeds the bounds; the rest follows once these decisions are committed."""
        if not self._check_requested:
            return
        committed, self._check_requested, self._committed = self._committed, False, False
        if not may_park:
            return
        crowded, cramped = self._registry.crowded(), self._registry.cramped() if committed else []
        if not (crowded or cramped):
            return
        unavailable = self.unavailable(now_ms)
        if not unavailable:
            return
        for rule in crowded:
            self._thin(rule, unavailable, now_ms)
        for partition in cramped:
            self._clear(partition, unavailable, now_ms)

    def unavailable(self, now_ms: int) -> dict[WaitingPlace, Unavailable]:
        """Return the unavailable limits and tiers that requests wait for."""
        found: dict[WaitingPlace, Unavailable] = {}
        for name, queue in self._limits.limit_queues().items():
            reason = self._unavailable(queue, now_ms) if queue.lanes.waiting() else None
            if reason is not None:
                found[name, None] = reason
            for tier, lanes in queue.tier_lanes.items():
                of_tier = reason or _of_tier(queue.budget.tiers.find(tier), now_ms)
                if of_tier is not None and lanes.waiting():
                    found[name, tier] = of_tier
        return found

    def _unavailable(self, queue: LimitQueue, now_ms: int) -> Unavailable | None:
        account, limit_breaker = self._limits.account, queue.budget.breaker
        in_place_max_ms = self._rules.retry.in_place_max_ms
        breakers = [(limit_breaker, bounds.HOLD_TROUBLE_AFTER_MS)]
        if account.is_blamed_by(queue.budget.settings.name):  # one that has not blamed it may be the one to clear it
            breakers.append((account.breaker, in_place_max_ms))
        for breaker, after_ms in breakers:
            if breaker.tripped_by is not None and now_ms - breaker.opened_ms >= after_ms:
                return _of_breaker(breaker, breaker.tripped_by, now_ms)
        pick = queue.lanes.pick(now_ms)
        if pick is None:
            return None  # each waiting request is kept out by its tenant's cap
        until_ms = queue.budget.unavailable_until(
            pick.ticket.charge, now_ms, stated=pick.ticket.stated, prices=pick.ticket.candidate.prices
        )
        if until_ms - now_ms <= in_place_max_ms:
            return None
        sentence = "The limit is used up for longer than a request may wait here."
        return Unavailable("rate_limited", sentence, until_ms, queue.budget.pause_kept_until_ms)

    def _lanes_at(self, place: WaitingPlace) -> Lanes:
        limit, tier = place
        queue = self._limits.limit_queues()[limit]
        return queue.lanes if tier is None else queue.tier_lanes[tier]

    def _thin(self, rule: LaneRule, unavailable: Mapping[WaitingPlace, Unavailable], now_ms: int) -> None:
        """Leave half of a lane's buffer to requests of other limits and tiers."""
        queues = {place: self._lanes_at(place).queue(rule.name) for place in unavailable}
        while self._decided() < bounds.PARKS_AHEAD_MAX and _is_too_much(rule, queues.values()):
            fullest = max(queues, key=lambda place: len(queues[place]))
            newest = queues[fullest].last(bounds.HELD_LOOKED_AT)
            if not any(self._try_settle(ticket, unavailable[fullest], now_ms) for ticket in newest):
                del queues[fullest]

    def _clear(self, partition: LanePartition, unavailable: Mapping[WaitingPlace, Unavailable], now_ms: int) -> None:
        """Remove requests of unavailable limits from a partition, so that its base moves."""
        for ticket in self._registry.tickets():
            if self._decided() >= bounds.PARKS_AHEAD_MAX:
                return
            if ticket.source.partition == partition and ticket.state is State.WAITING and ticket.queued:
                reason = unavailable.get(_place_of(ticket))
                if reason is not None:
                    self._try_settle(ticket, reason, now_ms)

    def _try_settle(self, ticket: Ticket, reason: Unavailable, now_ms: int) -> bool:
        """Settle a ticket so that its place is free; False if it must stay."""
        candidate = ticket.candidate
        if reason.surely_until_ms >= candidate.deadline_ms:
            failure = Fail("deadline_exceeded", f"{reason.sentence} Its calls rest until after the deadline.")
            self._settling.settle(ticket, failure, now_ms)
            return True
        # The number must rise with every parking: otherwise a copy that comes back looks like one seen before.
        attempts = max(candidate.attempt, candidate.calls_before + ticket.calls)
        if self._must_stay(ticket) or attempts >= ATTEMPT_MAX:
            return False
        not_before_ms = self._return_at(ticket, reason, now_ms)
        if not_before_ms - now_ms < bounds.HOLD_MIN_MS:
            return False
        park = Park(reason.kind, reason.sentence, not_before_ms, attempts, ticket.failures)
        self._settling.settle(ticket, park, now_ms)
        return True

    def _must_stay(self, ticket: Ticket) -> bool:
        """Whether a RetryableFailure of the ticket would not fit, or its lane keeps its order to the end."""
        return ticket.bytes > self._rules.parked_bytes_max or self._rules.is_serial(ticket.source.partition.lane)

    def _return_at(self, ticket: Ticket, reason: Unavailable, now_ms: int) -> int:
        """Return an instant a little after that of the last parked one, with some time left before the deadline."""
        candidate, line = ticket.candidate, (_place_of(ticket), ticket.source.partition.lane)
        lines_max = (len(self._limits.limit_queues()) + bounds.TIERS_MAX) * len(self._rules.lanes)
        if len(self._next_return_ms) > lines_max:
            self._next_return_ms = {key: at_ms for key, at_ms in self._next_return_ms.items() if at_ms > now_ms}
        turn_ms = max(reason.until_ms, self._next_return_ms.get(line, 0))
        pace_ms = self._limits.limit_queue(candidate.limit, now_ms).budget.pace_ms(ticket.charge)
        self._next_return_ms[line] = turn_ms + pace_ms
        spare_ms = min(bounds.RETURN_BEFORE_DEADLINE_MS, (candidate.deadline_ms - now_ms) // 2)
        turn_ms = min(turn_ms, candidate.deadline_ms - spare_ms)
        return max(turn_ms, reason.surely_until_ms)


def _is_too_much(rule: LaneRule, queues: Iterable[LaneQueue]) -> bool:
    count = weight = 0
    for queue in queues:
        count += len(queue)
        weight += queue.waiting_bytes
    return count > rule.buffer_max // 2 or weight > rule.buffer_bytes_max // 2


def _place_of(ticket: Ticket) -> WaitingPlace:
    return ticket.candidate.limit, ticket.candidate.model_tier if ticket.in_tier_lanes else None


def _of_tier(breaker: Breaker | None, now_ms: int) -> Unavailable | None:
    if breaker is None or breaker.closed or now_ms - breaker.opened_ms < bounds.HOLD_TROUBLE_AFTER_MS:
        return None
    return _of_breaker(breaker, Meaning.TIER_UNAVAILABLE, now_ms)


def _of_breaker(breaker: Breaker, tripped_by: Meaning, now_ms: int) -> Unavailable:
    guessed_ms = min(bounds.HOLD_MAX_MS, max(bounds.HOLD_FIRST_MS, now_ms - breaker.opened_ms))
    until_ms = max(breaker.rests_until(now_ms), now_ms + guessed_ms)
    return Unavailable(kind(tripped_by), f"Calls rest: {tripped_by}.", until_ms)
