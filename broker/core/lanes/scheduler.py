"""Scheduler over the limits in use, each with its own budget and lanes, so that none waits for another's tokens.

The limits do share the number of calls in flight. So they are asked in turn, the one served last at the end: a limit
that can always pay does not take every call slot that another could use.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from headrace.broker.core.bounds import (
    LIMITS_LOOKED_AT,
    LIMITS_MAX,
    LIMITS_RESTING_MAX,
    PUT_OFF_AT_ONCE_MAX,
    REACH_EVERY_MS,
)
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.durations import DurationsByTier
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.lanes.ordering_keys import OrderingKeys
from headrace.broker.core.lanes.reachability import ReachabilityChecks, unreachable_late
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import WAITING, Candidate, ModelTier, Ticket

FORGET_EVERY_MS: Final = 60_000


class Forgotten(NamedTuple):
    """An open breaker that is forgotten with what it belonged to: the tier, the limit or (None, None) the account."""

    limit: str | None
    tier: ModelTier | None
    breaker: Breaker


class Scheduler:
    """All limits that requests have asked for, each made when it is first needed."""

    def __init__(
        self, rules: Sequence[LaneRule], make_budget: Callable[[str, int], Budget], tenants: Tenants | None = None
    ) -> None:
        """Start without any limit; without `tenants`, all tenants are treated alike."""
        self.tenants = tenants or Tenants()
        self._rules = rules
        self._make_budget = make_budget
        # bound once: a bound method for each limit would be two more objects for a collection of garbage to walk
        self._make_lanes, self._on_return = self._lanes, self._plan_check
        self._order = OrderingKeys([rule.name for rule in rules if rule.serial])
        self._queues: dict[str, LimitQueue] = {}
        # limits with waiting requests, the one served last at the end
        self._turns: OrderedDict[LimitQueue, None] = OrderedDict()
        self._unnamed: OrderedDict[str, None] = OrderedDict()  # limits no settings name; new or just examined: last
        self._turns_changed = False  # whether a call may have changed which ticket is next at another limit
        self._wake_at: int | None = None
        self._waiting = 0
        self._reachability = ReachabilityChecks()
        self._late_check_at_ms = 0
        self._unsorted = False
        self._sort_at_ms = 0
        self._forget_at_ms = 0
        self._forgotten: list[Forgotten] = []
        self.account = AccountBreaker()

    def limit_queue(self, limit: str, now_ms: int) -> LimitQueue:
        """Return the queue of a limit, made if it is new."""
        queue = self._queues.get(limit)
        if queue is None:
            self._make_room(now_ms)
            made = self._make_budget(limit, now_ms)
            queue = self._queues[limit] = LimitQueue(made, self._make_lanes, self._on_return)
            if not queue.budget.settings.named:
                self._unnamed[limit] = None
        return queue

    def _lanes(self, durations: DurationsByTier) -> Lanes:
        return Lanes(self._rules, self.tenants, durations)

    def clear(self) -> None:
        """Forget every limit: the leaders of the terms to come know better how full their buckets are."""
        for queue in self._queues.values():
            self._note_forgotten(queue)
        if not self.account.breaker.closed:
            self._forgotten.append(Forgotten(None, None, self.account.breaker))
        self._queues.clear()
        self._turns.clear()
        self._unnamed.clear()
        self._order.clear()
        self._wake_at = None
        self._waiting = 0
        self._reachability = ReachabilityChecks()
        self.account = AccountBreaker()

    def _make_room(self, now_ms: int) -> None:
        """Forget limits that no settings name and no request needs now, once there are too many."""
        for _ in range(min(LIMITS_LOOKED_AT, len(self._unnamed))):
            if len(self._queues) < LIMITS_MAX:
                return
            name = next(iter(self._unnamed))
            self._unnamed.move_to_end(name)
            queue = self._queues[name]
            if queue in self._turns or queue.budget.inflight:
                continue
            if len(self._queues) >= LIMITS_RESTING_MAX or _is_free(queue.budget, now_ms):
                self._note_forgotten(queue)
                del self._queues[name]
                del self._unnamed[name]

    def _note_forgotten(self, queue: LimitQueue) -> None:
        """Note the open breakers of a limit that is forgotten."""
        limit = queue.budget.settings.name
        if not queue.budget.breaker.closed:
            self._forgotten.append(Forgotten(limit, None, queue.budget.breaker))
        self._forgotten.extend(Forgotten(limit, tier, breaker) for tier, breaker in queue.budget.tiers.resting())

    def forget_idle_tiers(self, now_ms: int) -> None:
        """Forget service tiers that no request waits for, once a minute."""
        if now_ms >= self._forget_at_ms:
            self._forget_at_ms = now_ms + FORGET_EVERY_MS
            for name, queue in self._queues.items():
                for tier, breaker in queue.forget_idle_tiers(now_ms):
                    self._forgotten.append(Forgotten(name, tier, breaker))

    def take_forgotten(self) -> list[Forgotten]:
        """Return the open breakers, of tiers, limits and the account, that were forgotten since the last call."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def limit_queues(self) -> dict[str, LimitQueue]:
        """Return all limits' queues, by name."""
        return self._queues

    def enqueue(self, ticket: Ticket, now_ms: int, *, front: bool = False) -> None:
        """Enqueue a ticket for its limit, as soon as those of its ordering key before it have started.

        `front`: it has waited before; meanwhile one before it may have been turned back, or have let it start.
        """
        if ticket.candidate.order:
            may_start = not (ticket.queued or self._order.must_wait(ticket)) if front else self._order.add(ticket)
            if not may_start:
                return
        self._enqueue(ticket, now_ms, front=front)

    def requeue(self, ticket: Ticket) -> None:
        """Return a ticket whose call was not sent to its place: later ones of its ordering key wait for it again."""
        follower = self._order.requeue(ticket) if ticket.candidate.order else None
        if follower is not None and follower.queued:
            self.put_off(follower)

    def _enqueue(self, ticket: Ticket, now_ms: int, *, front: bool = False) -> None:
        candidate = ticket.candidate
        queue = self.limit_queue(candidate.limit, now_ms)
        if not ticket.stated:
            ticket.charge = queue.budget.tariff.price(candidate.prices)
        ticket.lane_order = queue.lanes.queue(ticket.source.partition.lane).rule.order
        queue.enqueue(ticket, front=front)
        self._turns.setdefault(queue, None)
        self._waiting += 1
        if not ticket.in_tier_lanes:
            self._plan_check(queue, ticket, now_ms)
        if front and queue.lanes.durations.near_at(ticket) <= now_ms:
            queue.lanes_of(ticket).apply_deadline(ticket, now_ms)

    def _plan_check(self, queue: LimitQueue, ticket: Ticket, now_ms: int) -> None:
        """Plan a check of the queue that a ticket has joined."""
        tenant_queue = queue.lanes.queue(ticket.source.partition.lane).tenant_queue(ticket.candidate.tenant)
        self._reachability.schedule(ticket, tenant_queue, queue.budget, queue.least, now_ms)

    def unreachable(self, now_ms: int) -> list[Ticket]:
        """Return the tickets whose turn cannot come before their deadline, whatever happens."""
        if self._unsorted:
            return []  # a request that is still to be set aside does not go before others
        planned_ms = self._reachability.check_at_ms
        unreachable = self._reachability.unreachable(now_ms) if planned_ms is not None and planned_ms <= now_ms else []
        if now_ms >= self._late_check_at_ms:
            self._late_check_at_ms = now_ms + REACH_EVERY_MS
            for queue in self._turns:
                inflow = queue.budget.inflow(queue.least, now_ms)
                for late_queue, ahead in queue.lanes.late():
                    unreachable += unreachable_late(late_queue, ahead, inflow)
        return unreachable

    def sort(self, now_ms: int) -> None:
        """Sort waiting requests anew where a tier's breaker has opened or closed: a part in each turn of the loop."""
        unsorted = [queue for queue in self._turns if not queue.is_sorted]
        if unsorted:
            self._sort_at_ms = now_ms + 1
            for queue in unsorted:
                queue.sort(now_ms)
        self._unsorted = not all(queue.is_sorted for queue in unsorted)

    def near_at(self, ticket: Ticket) -> int:
        """Return when a ticket that has been enqueued comes near its deadline."""
        return self._queues[ticket.candidate.limit].lanes.durations.near_at(ticket)

    def apply_deadline(self, ticket: Ticket, now_ms: int) -> int:
        """Handle a near deadline, see `Lanes.apply_deadline`; without effect if the limit has been forgotten."""
        queue = self._queues.get(ticket.candidate.limit)
        return ticket.candidate.deadline_ms if queue is None else queue.lanes_of(ticket).apply_deadline(ticket, now_ms)

    def record_duration(self, ticket: Ticket, now_ms: int) -> None:
        """Record how long an answered call took: others may take as long."""
        queue = self._queues.get(ticket.candidate.limit)
        if queue is not None:
            queue.lanes.durations.add(ticket.candidate.tier, now_ms - ticket.called_ms)

    def too_large(self, ticket: Ticket, now_ms: int) -> int | None:
        """Return the least that one call would take if the limit can never hold it, else None.

        It must exceed the limit by every law that may still hold: a request is not failed for a law that is believed
        for want of evidence.
        """
        queue = self.limit_queue(ticket.candidate.limit, now_ms)
        if not ticket.stated and queue.budget.fits(max(ticket.candidate.prices.tokens)):
            return None
        charge = queue.least(ticket)
        return None if queue.budget.fits(charge) else charge

    def withdraw(self, ticket: Ticket, now_ms: int) -> None:
        """Remove a ticket from its queue, if it is in one, and from the order of its key."""
        if ticket.queued:
            self.put_off(ticket)
        if isinstance(ticket.content, Candidate) and ticket.candidate.order:
            follower = self._order.remove(ticket)
            if follower is not None:
                self._enqueue(follower, now_ms)

    def put_off(self, ticket: Ticket) -> None:
        """Remove a ticket from its queue for a while; it keeps its place in the order of its key."""
        self._queues[ticket.candidate.limit].remove(ticket)
        self._waiting -= 1

    def payable(self, now_ms: int, room: Callable[[int], bool] = lambda _reserved_ppm: True) -> Iterator[Ticket]:
        """Yield the tickets whose turn it is and which their limit, with all its buckets, can pay at this instant.

        Each must be served, put off or withdrawn before the next.

        `room` says whether a call fits that must leave the given share of the in-flight slots to others. A limit that
        cannot pay is asked once, however many calls the others make, and once more if a call may have changed which
        ticket is next there: the next of an ordering key may be at another limit, and a tenant's cap holds for all
        limits. `wake_at` is set once no more can be paid, or once so many were put off that the loop must have a turn.
        """
        put_off = 0
        for ticket in self._payable(now_ms, room):
            yield ticket
            put_off += ticket.state is WAITING
            if put_off >= PUT_OFF_AT_ONCE_MAX:
                self._wake_at = now_ms + 1
                return

    def _payable(self, now_ms: int, room: Callable[[int], bool]) -> Iterator[Ticket]:
        self._wake_at = None
        while not self.account.breaker.closed:
            probe = self._probe(now_ms)
            if probe is None:
                return
            yield probe
            self._wake_at = None
        pending, self._turns_changed = deque(self._turns), False
        while self._waiting and (pending or self._turns_changed):
            if not pending:
                pending, self._turns_changed = deque(self._turns), False
            queue = pending.popleft()
            queue.prepare(now_ms)
            next_call = queue.choose(now_ms, probe=False)
            if self.tenants.capping and (opens_at_ms := queue.lanes.opens_at()) is not None:
                self._is_due(opens_at_ms, now_ms)
            if next_call is not None and self._is_due(next_call[1], now_ms) and room(next_call[0].reserved_ppm):
                yield next_call[0].ticket
                pending.append(queue)
                continue
            if queue.tier_lanes and (look_at_ms := queue.look_at(now_ms)) is not None:
                self._is_due(look_at_ms, now_ms)
            if next_call is None and not queue.waiting():
                queue.forget_sorting()
                self._turns.pop(queue, None)

    def _probe(self, now_ms: int) -> Ticket | None:
        """Choose the one call allowed while the account is in trouble.

        It is one that has not blamed the account itself, if any is among those that may go; of these one of a limit
        that has not blamed it.
        """
        at_ms = self.account.breaker.may_call_at(now_ms)
        if at_ms is None or not self._waiting or not self._is_due(at_ms, now_ms):
            return None
        best: tuple[tuple[bool, bool, int, int, int, int], Ticket] | None = None
        for queue in self._turns:
            queue.prepare(now_ms)
            next_call = queue.choose(now_ms, probe=True)
            if queue.tier_lanes and (look_at_ms := queue.look_at(now_ms)) is not None:
                self._is_due(look_at_ms, now_ms)
            if next_call is None or not self._is_due(next_call[1], now_ms):
                continue
            ticket = next_call[0].ticket
            blames = self.account.is_blamed_by(ticket.candidate.limit)
            turn, lane_order = queue.lanes.probe_rank(ticket.source.partition.lane)
            rank = ticket.blames is not None, blames, turn, lane_order, ticket.calls, ticket.charge
            if best is None or rank < best[0]:
                best = rank, ticket
        return None if best is None else best[1]

    def _is_due(self, at_ms: int, now_ms: int) -> bool:
        """Whether the instant has come; otherwise schedule a wake-up for it."""
        if at_ms > now_ms:
            self._wake_at = at_ms if self._wake_at is None else min(self._wake_at, at_ms)
        return at_ms <= now_ms

    def rest_tier(self, ticket: Ticket, until_ms: int, now_ms: int) -> None:
        """Prolong the rest of the service tier of a ticket, if it rests: none of its requests is called before then.

        Otherwise each of them would be chosen as its probe, one after another.
        """
        breaker = self._queues[ticket.candidate.limit].budget.tiers.find(ticket.candidate.model_tier)
        if breaker is not None and breaker.tripped_by is not None:
            breaker.trip(breaker.tripped_by, now_ms, until_ms - now_ms)

    def cancel_wake_up(self) -> None:
        """Cancel the wake-up: no call may start now, or none is wanted, before an event, however much time passes."""
        self._wake_at = None

    def wake_at(self) -> int | None:
        """Return when the next head can be paid, to the millisecond; None: none waits for time.

        As of the last `payable`.
        """
        return self._wake_at

    def look_at(self) -> int | None:
        """Return when `sort` and `unreachable` should be asked next; None: not before a ticket has arrived."""
        return self._sort_at_ms if self._unsorted else self._reachability.check_at_ms

    def serve(self, ticket: Ticket, now_ms: int) -> Budget:
        """Serve the ticket found payable, which is being called; return the budget that pays for it."""
        queue = self._queues[ticket.candidate.limit]
        queue.lanes.serve(ticket, now_ms)
        if not (self.account.breaker.closed and queue.budget.breaker.closed):
            queue.lanes.record_probe(ticket.source.partition.lane)
        self._waiting -= 1
        if ticket.candidate.order and (follower := self._order.start(ticket)) is not None:
            self._enqueue(follower, now_ms)
            self._turns_changed = True
        if self.tenants.capping and self.tenants.rule(ticket.candidate.tenant).capped:
            self._turns_changed = True
        self._turns.move_to_end(queue)
        return queue.budget

    def is_sound(self, queued: int) -> bool:
        """Whether the queues hold what they count, and `queued` tickets in all."""
        counted = sum(queue.waiting() for queue in self._queues.values())
        return self._waiting == queued == counted and all(queue.is_sound() for queue in self._queues.values())

    def waiting(self) -> int:
        """Return the number of waiting tickets, all limits together."""
        return self._waiting

    def checkpoints(self, now_ms: int) -> tuple[Checkpoint, ...]:
        """Return what a successor should believe of every limit's level."""
        return tuple([queue.budget.checkpoint(now_ms) for queue in self._queues.values() if queue.budget.believed])

    def believed(self, first: int, count_max: int) -> list[Budget]:
        """Return the budgets whose levels are known: so many from the `first` on; callers take them in turn."""
        believed = [queue.budget for queue in self._queues.values() if queue.budget.believed]
        first %= max(1, len(believed))
        return (believed + believed)[first : first + min(count_max, len(believed))]

    def unstated(self) -> Iterator[Budget]:
        """Yield the budgets whose levels are known and have changed since a line of the ledger stated them."""
        return (queue.budget for queue in self._queues.values() if queue.budget.unstated and queue.budget.believed)

    def predecessors(self, ticket: Ticket) -> list[Ticket]:
        """Return the tickets of its ordering key that must start before it, in order."""
        return self._order.predecessors(ticket)


def _is_free(budget: Budget, now_ms: int) -> bool:
    """Whether a call could start at once, so that forgetting the budget loses only what its next answers restore.

    A failure or two since the last success may be lost too: a closed breaker opens after three.
    """
    return budget.breaker.closed and not budget.tiers and budget.payable_at(1, now_ms) == now_ms
