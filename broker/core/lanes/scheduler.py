"""Scheduler over the limits in use, each with its own budget and lanes, so that none waits for another's tokens.

The limits do share the number of calls in flight. So they are asked in turn, the one served last at the end: a limit
that can always pay does not take every call slot that another could use.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence

from headrace.broker.core.bounds import LIMITS_LOOKED_AT, LIMITS_MAX, LIMITS_RESTING_MAX, REACH_EVERY_MS
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.lanes import Lanes, Pick
from headrace.broker.core.lanes.ordering_keys import OrderingKeys
from headrace.broker.core.lanes.reachability import ReachabilityChecks, unreachable_late
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Candidate, Ticket


class LimitQueue:
    """One limit's budget, and the requests that wait for it."""

    def __init__(self, budget: Budget, lanes: Lanes) -> None:
        self.budget = budget
        self.lanes = lanes
        self._version = budget.tariff.version
        self._crowded: tuple[Ticket, int] | None = None  # head without room beside the reserve, and when it became next

    def reprice(self) -> None:
        """Price the waiting tickets by the law that is believed now, if that has changed."""
        if self._version != self.budget.tariff.version:
            self._version = self.budget.tariff.version
            self.lanes.reprice(self.budget.tariff.price)

    def least(self, ticket: Ticket) -> int:
        """Return the least that a call of the ticket takes, by any law that may still hold."""
        return ticket.charge if ticket.stated else self.budget.tariff.least(ticket.candidate.prices)

    def pick(self, now_ms: int) -> Pick | None:
        """Return the next request; before the first answer that of the most urgent lane, whatever others are owed."""
        return self.lanes.pick(now_ms) if self.budget.believed else self.lanes.foremost(now_ms)

    def next(self, now_ms: int, *, probe: bool) -> tuple[Pick, int] | None:
        """Return the next request and when it can be called; None if none waits, or if an answer must come first.

        A limit whose breaker is open is probed, and so is a whole account (`probe`). The request that serves as the
        probe is chosen when the rest is over.
        """
        self.reprice()
        breaker = self.budget.breaker
        if breaker.closed and not probe:
            pick = self.pick(now_ms)
            if self.lanes.probes:
                self.lanes.probes.clear()
        elif (rests_until_ms := breaker.rests_until(now_ms)) > now_ms:
            pick = self.lanes.pick(now_ms)
            return None if pick is None else (pick, rests_until_ms)
        else:
            pick = self.lanes.probe(now_ms)
        if pick is None:
            return None
        ticket = pick.ticket
        at_ms = self.budget.payable_at(
            ticket.charge, now_ms, reserved_ppm=pick.reserved_ppm, stated=ticket.stated, lane_order=ticket.lane_order
        )
        if at_ms is not None and at_ms > now_ms and pick.reserved_ppm:
            at_ms = min(at_ms, self._may_use_reserve_at(pick, now_ms) or at_ms)
        return None if at_ms is None else (pick, at_ms)

    def _may_use_reserve_at(self, pick: Pick, now_ms: int) -> int | None:
        """Return when a head that has no room beside the other lanes' reserve may use that reserve.

        It must first wait for the time of a full refill. Otherwise it would wait for a bucket that is nearly full,
        which never comes while a lane above it spends.
        """
        ticket = pick.ticket
        refill_ms = self.budget.refill_beside_reserve(ticket.charge, pick.reserved_ppm, stated=ticket.stated)
        if not refill_ms:
            return None
        if self._crowded is None or self._crowded[0] is not ticket:
            self._crowded = ticket, now_ms
        waited_ms = self._crowded[1] + refill_ms
        if waited_ms > now_ms:
            return waited_ms
        return self.budget.payable_at(ticket.charge, now_ms, stated=ticket.stated)


class Scheduler:
    """All limits that requests have asked for, each made when it is first needed."""

    def __init__(
        self, rules: Sequence[LaneRule], make_budget: Callable[[str, int], Budget], tenants: Tenants | None = None
    ) -> None:
        """Start without any limit; without `tenants`, all tenants are treated alike."""
        self.tenants = tenants or Tenants()
        self._rules = rules
        self._make_budget = make_budget
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
        self.account = AccountBreaker()

    def limit_queue(self, limit: str, now_ms: int) -> LimitQueue:
        """Return the queue of a limit, made if it is new."""
        queue = self._queues.get(limit)
        if queue is None:
            self._make_room(now_ms)
            queue = self._queues[limit] = LimitQueue(self._make_budget(limit, now_ms), Lanes(self._rules, self.tenants))
            if not queue.budget.settings.named:
                self._unnamed[limit] = None
        return queue

    def clear(self) -> None:
        """Forget every limit: a leader in between knows better how full their buckets are."""
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
                del self._queues[name]
                del self._unnamed[name]

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
        lane_queue = queue.lanes.queue(ticket.source.partition.lane)
        ticket.lane_order = lane_queue.rule.order
        lane_queue.append(ticket, front=front)
        self._turns.setdefault(queue, None)
        self._waiting += 1
        self._reachability.schedule(
            ticket, lane_queue.tenant_queue(candidate.tenant), queue.budget, queue.least, now_ms
        )
        if front and queue.lanes.durations.near_at(ticket) <= now_ms:
            queue.lanes.apply_deadline(ticket, now_ms)

    def unreachable(self, now_ms: int) -> list[Ticket]:
        """Return the tickets whose turn cannot come before their deadline, whatever happens."""
        planned_ms = self._reachability.check_at_ms
        unreachable = self._reachability.unreachable(now_ms) if planned_ms is not None and planned_ms <= now_ms else []
        if now_ms >= self._late_check_at_ms:
            self._late_check_at_ms = now_ms + REACH_EVERY_MS
            for queue in self._turns:
                inflow = queue.budget.inflow(queue.least, now_ms)
                for late_queue, ahead in queue.lanes.late():
                    unreachable += unreachable_late(late_queue, ahead, inflow)
        return unreachable

    def near_at(self, ticket: Ticket) -> int:
        """Return when a ticket that has been enqueued comes near its deadline."""
        return self._queues[ticket.candidate.limit].lanes.durations.near_at(ticket)

    def apply_deadline(self, ticket: Ticket, now_ms: int) -> int:
        """Handle a near deadline, see `Lanes.apply_deadline`; without effect if the limit has been forgotten."""
        queue = self._queues.get(ticket.candidate.limit)
        return ticket.candidate.deadline_ms if queue is None else queue.lanes.apply_deadline(ticket, now_ms)

    def record_duration(self, ticket: Ticket, now_ms: int) -> None:
        """Record how long an answered call took: others may take as long."""
        queue = self._queues.get(ticket.candidate.limit)
        if queue is not None:
            queue.lanes.durations.add(now_ms - ticket.called_ms)

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
        self._queues[ticket.candidate.limit].lanes.queue(ticket.source.partition.lane).remove(ticket)
        self._waiting -= 1

    def payable(self, now_ms: int, room: Callable[[int], bool] = lambda _reserved_ppm: True) -> Iterator[Ticket]:
        """Yield the tickets whose turn it is and which their limit, with all its buckets, can pay at this instant.

        Each must be served, put off or withdrawn before the next.

        `room` says whether a call fits that must leave the given share of the in-flight slots to others. A limit that
        cannot pay is asked once, however many calls the others make, and once more if a call may have changed which
        ticket is next there: the next of an ordering key may be at another limit, and a tenant's cap holds for all
        limits. `wake_at` is set once no more can be paid.
        """
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
            next_call = queue.next(now_ms, probe=False)
            if self.tenants.capping and (opens_at_ms := queue.lanes.opens_at()) is not None:
                self._is_due(opens_at_ms, now_ms)
            if next_call is not None and self._is_due(next_call[1], now_ms) and room(next_call[0].reserved_ppm):
                yield next_call[0].ticket
                pending.append(queue)
            elif next_call is None and not queue.lanes.waiting():
                self._turns.pop(queue, None)

    def _probe(self, now_ms: int) -> Ticket | None:
        """Choose the one call allowed while the account is in trouble.

        If a limit that has not blamed the account has requests waiting, it is one of that limit's.
        """
        at_ms = self.account.breaker.may_call_at(now_ms)
        if at_ms is None or not self._waiting or not self._is_due(at_ms, now_ms):
            return None
        best: tuple[tuple[bool, int, int, int, int], Ticket] | None = None
        for queue in self._turns:
            next_call = queue.next(now_ms, probe=True)
            if next_call is None or not self._is_due(next_call[1], now_ms):
                continue
            ticket = next_call[0].ticket
            blames = self.account.is_blamed_by(ticket.candidate.limit)
            turn, lane_order = queue.lanes.probe_rank(ticket.source.partition.lane)
            rank = blames, turn, lane_order, ticket.calls, ticket.charge
            if best is None or rank < best[0]:
                best = rank, ticket
        return None if best is None else best[1]

    def _is_due(self, at_ms: int, now_ms: int) -> bool:
        """Whether the instant has come; otherwise schedule a wake-up for it."""
        if at_ms > now_ms:
            self._wake_at = at_ms if self._wake_at is None else min(self._wake_at, at_ms)
        return at_ms <= now_ms

    def cancel_wake_up(self) -> None:
        """Cancel the wake-up: no call may start now, or none is wanted, before an event, however much time passes."""
        self._wake_at = None

    def wake_at(self) -> int | None:
        """Return when the next head can be paid, to the millisecond; None: none waits for time.

        As of the last `payable`.
        """
        return self._wake_at

    def check_reachability_at(self) -> int | None:
        """Return when `unreachable` should be asked next; None: not before a ticket has arrived."""
        return self._reachability.check_at_ms

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
        limits = [queue.lanes for queue in self._queues.values()]
        counted = sum(lanes.waiting() for lanes in limits)
        return self._waiting == queued == counted and all(lanes.is_sound() for lanes in limits)

    def waiting(self) -> int:
        """Return the number of waiting tickets, all limits together."""
        return self._waiting

    def checkpoints(self, now_ms: int, first: int = 0, count_max: int | None = None) -> tuple[Checkpoint, ...]:
        """Return what a successor should believe of every limit's level.

        With `count_max`, of that many limits from the `first` on; callers take the limits in turn.
        """
        believed = [queue.budget for queue in self._queues.values() if queue.budget.believed]
        if count_max is not None and believed:
            first %= len(believed)
            believed = (believed + believed)[first : first + min(count_max, len(believed))]
        return tuple([budget.checkpoint(now_ms) for budget in believed])

    def predecessors(self, ticket: Ticket) -> list[Ticket]:
        """Return the tickets of its ordering key that must start before it, in order."""
        return self._order.predecessors(ticket)


def _is_free(budget: Budget, now_ms: int) -> bool:
    """Whether a call could start at once, so that forgetting the budget loses only what its next answers restore.

    A failure or two since the last success may be lost too: a closed breaker opens after three.
    """
    return budget.breaker.closed and budget.payable_at(1, now_ms) == now_ms
