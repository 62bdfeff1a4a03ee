"""Order between the lanes of one limit: strict preference, with a floor for the lanes that come later.

Every limit has queues of its own, so that one that cannot pay does not block requests for another (head-of-line
blocking). Within one limit:

- The first lane in order that has waiting requests is served first; its head keeps its place even if its limit cannot
  pay for it yet, because letting others pass would delay it.
- A lane with a floor earns credit, in tokens, whenever a request is served while it waits: `floor` of the charge. It
  pays with that credit when it is served itself. Once its credit covers its head, that head is next, whatever waits in
  the lanes above. So bulk gets its share and never starves, and an urgent head waits for one such head at most.
- A lane with a ceiling likewise owes the others what it takes beyond the ceiling while they wait: once that covers the
  head of the next lane, that head is next. While no other lane waits, it may take everything.
- A lane must leave the reserves of the idle lanes above it untouched: `Pick.reserved_ppm` says how much.
  `Budget.payable_at` applies it to the limit's tokens, own cap and slots, `CallsInFlight.has_room` to all slots. Probes
  are exempt, and so is a head that has waited for a full refill (`LimitQueue._may_use_reserve_at`). The reserve of a
  lane that waits is in use: if it were withheld as well, a head that is owed its floor would first wait for the bucket
  to fill, and the urgent head behind it too.
- A request whose deadline is near may go in the turn of the lane directly above, see
  `headrace.broker.core.lanes.nearing`.

All amounts are tokens, never requests. Shares are parts per million, to stay with integers. The order within a lane is
described in `headrace.broker.core.lanes.fair_queue`; requests that go last, because no answer would come in time, in
`headrace.broker.core.lanes.late`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise

from headrace.broker.core.bounds import PROBES_LOOKED_AT, PROBES_SOUGHT
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.durations import DurationsByTier
from headrace.broker.core.lanes.lane_queue import LaneQueue
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM
from headrace.broker.core.value import value


@value
class Pick:
    """The ticket whose turn it is, and the share of the bucket that its call must leave."""

    ticket: Ticket
    reserved_ppm: int


class Lanes:
    """The lanes of one limit, in order of preference.

    Attributes:
        durations: Recent call durations.
        probes: For each lane, the calls made as probes since this limit's breaker, or the account's, opened.
    """

    def __init__(self, rules: Sequence[LaneRule], tenants: Tenants, durations: DurationsByTier | None = None) -> None:
        """`durations` are those of other lanes of the same limit; without them the lanes have their own."""
        in_order = sorted(rules, key=lambda rule: rule.order)
        self.durations = DurationsByTier() if durations is None else durations
        self._queues = {rule.name: LaneQueue(rule, tenants) for rule in in_order}
        self._in_order = tuple(self._queues.values())
        self._owing = any(rule.floor_ppm or rule.ceiling_ppm < PPM for rule in rules)
        self._below = dict(pairwise(self._in_order))
        self._tenants = tenants
        self._hurrying = False  # some waiting ticket may be near its deadline
        self._lifted: Ticket | None = None
        self.probes: dict[str, int] = {}

    def queue(self, lane: str) -> LaneQueue:
        """Return the queue of one lane."""
        return self._queues[lane]

    def pick(self, now_ms: int) -> Pick | None:
        """Return the ticket whose turn it is.

        That is the head of a lane that is owed its floor, or else of the first lane that waits and need not give way.
        """
        fallback: tuple[LaneQueue, Pick] | None = None
        reserved_ppm, capping = 0, self._tenants.capping
        self._lifted = None
        for queue in self._in_order:
            head = queue.head
            if queue.count and (head is None or capping):
                head = queue.next(now_ms)
            if head is None:
                reserved_ppm += queue.rule.reserve_ppm
            elif queue.credit_ppm_tokens and queue.is_owed(head):
                return Pick(head, reserved_ppm)
            elif fallback is None or (fallback[0].excess_ppm_tokens and fallback[0].is_over_ceiling(head)):
                fallback = queue, Pick(head, reserved_ppm)
        if fallback is None:
            return None
        return (self._hurrying and self._lift(*fallback, now_ms)) or fallback[1]

    def apply_deadline(self, ticket: Ticket, now_ms: int) -> int:
        """Lift a ticket near its deadline, or demote it if it is late; return when to look again."""
        queue, late_at_ms = self._queues[ticket.source.partition.lane], self.durations.late_at(ticket)
        waits = ticket.queued and not ticket.late
        if late_at_ms <= now_ms:
            if waits:
                queue.demote(ticket)
            return ticket.candidate.deadline_ms
        if waits and queue.rule.lift_ppm and not ticket.in_tier_lanes:
            queue.nearing.add(ticket)
            self._hurrying = True
        return late_at_ms

    def late(self) -> Iterator[tuple[TenantQueue, int]]:
        """Return each lane's queue of late tickets, and the tokens of the tickets that go before them."""
        return ((queue.late.queue, queue.tokens_in_time) for queue in self._in_order if queue.late)

    def _lift(self, above: LaneQueue, turn: Pick, now_ms: int) -> Pick | None:
        """Return the ticket of the lane below that goes in this turn instead, because of its deadline."""
        below = self._below.get(above)
        ticket = None if below is None else below.nearing.lifted()
        if ticket is None or not self._tenants.is_free(ticket.candidate.tenant, ticket.charge, now_ms):
            return None
        self._lifted = ticket
        return Pick(ticket, turn.reserved_ppm)

    def _settle_boosts(self, ticket: Ticket, queue: LaneQueue) -> None:
        """Update the credit of near tickets for a ticket that is being called."""
        below = self._below.get(queue)
        while below is not None:
            below.nearing.earn(ticket.charge)
            below = self._below.get(below)
        if ticket is self._lifted:
            queue.nearing.pay(ticket.charge)
        self._hurrying = any(queue.nearing for queue in self._in_order)

    def reserved_ppm(self, lane: str) -> int:
        """Return the share of each bucket that calls of the lane must leave: the reserves of idle lanes above it."""
        order = self._queues[lane].rule.order
        above = (queue for queue in self._in_order if queue.rule.order < order and not queue.count)
        return sum(queue.rule.reserve_ppm for queue in above)

    def foremost(self, now_ms: int) -> Pick | None:
        """Return the head of the most urgent waiting lane, regardless of floors, ceilings and near deadlines."""
        reserved_ppm = 0
        self._lifted = None
        for queue in self._in_order:
            head = queue.next(now_ms) if queue.count else None
            if head is not None:
                return Pick(head, reserved_ppm)
            reserved_ppm += queue.rule.reserve_ppm
        return None

    def probe(self, now_ms: int, *, of_account: bool = False) -> Pick | None:
        """Choose the request that tests whether the server works again, from the lane whose turn it is.

        The most urgent lane has the first turn, since its requests would wait for the answer to another lane's probe.
        Lanes take turns (`probe_rank`). Of the requests at the front, the one called least often goes first, because
        one that makes the server fail must not be every probe; of those called equally often, the cheapest. One that
        has blamed the account goes only if no other is found in any lane. A probe may use every reserve.

        `of_account`: answers that blame the account have opened the breaker.
        """
        blamed: Ticket | None = None
        waiting = [queue for queue in self._in_order if queue.count]
        for queue in sorted(waiting, key=lambda queue: self.probe_rank(queue.rule.name)):
            best = self._best_probe(queue, now_ms, of_account=of_account)
            if best is not None and best.blames is None:
                return Pick(best, 0)
            blamed = blamed or best
        return None if blamed is None else Pick(blamed, 0)

    def _best_probe(self, queue: LaneQueue, now_ms: int, *, of_account: bool) -> Ticket | None:
        """Return the request of a lane that makes the best probe; None: caps hold all that are looked at.

        New requests that are always refused may come all the time, be the cheapest, and stand at the front. So every
        other probe of the account is one of the last requests of the lane. If those at the front have all blamed the
        account, the first `PROBES_SOUGHT` and the last `PROBES_LOOKED_AT` are searched for another.
        """
        turn = self.probes.get(queue.rule.name, 0)
        if of_account and turn % 2:
            last = self._fresh(queue.last(PROBES_LOOKED_AT), now_ms)
            if last:
                return last[turn // 2 % -(-len(last) // 2)]  # in turn, of the cheaper half
        head = self._free_head(queue, now_ms)
        fronts = chain(queue.first(PROBES_LOOKED_AT), () if head is None else (head,))
        best = min((each for each in fronts if self.is_free(each, now_ms)), key=_probe_order, default=None)
        if best is None or best.blames is None or queue.count <= PROBES_LOOKED_AT:
            return best
        others = chain(queue.first(PROBES_SOUGHT), queue.last(PROBES_LOOKED_AT))
        return next((each for each in others if each.blames is None and self.is_free(each, now_ms)), best)

    def _fresh(self, tickets: Iterable[Ticket], now_ms: int) -> list[Ticket]:
        """Return those that may go, have time, and have neither been called nor blamed the account; cheapest first."""
        fresh = (each for each in tickets if not each.late and not each.calls and each.blames is None)
        return sorted((each for each in fresh if self.is_free(each, now_ms)), key=_probe_order)

    def _free_head(self, queue: LaneQueue, now_ms: int) -> Ticket | None:
        """Return the first ticket that no cap holds; those of the tenants in front may all be held.

        None if caps hold all of them, or if no caps are in force.
        """
        return queue.next(now_ms) if self._tenants.capping else None

    def tier_probe(self, lane: str, now_ms: int, *, cheapest: bool = False) -> Ticket | None:
        """Choose the request of a lane that tests whether its service tier serves again; None: caps hold all of them.

        Calls of such a tier may be long, and one that is cut off at its deadline shows nothing. So of each tenant the
        first request and the last are considered, those that can still be answered before others, then those called
        least often (with `cheapest`, however often), then the cheapest; of equal ones, the one with most time left.
        """
        queue = self._queues[lane]
        head = self._free_head(queue, now_ms)
        free = (ticket for ticket in queue.ends(PROBES_LOOKED_AT, head) if self.is_free(ticket, now_ms))
        late_at = self.durations.late_at
        return min(
            free,
            key=lambda ticket: (
                late_at(ticket) <= now_ms,
                0 if cheapest else ticket.calls,
                ticket.charge,
                -ticket.candidate.deadline_ms,
            ),
            default=None,
        )

    def is_free(self, ticket: Ticket, now_ms: int) -> bool:
        """Whether no cap of its tenant holds a ticket."""
        return self._tenants.is_free(ticket.candidate.tenant, ticket.charge, now_ms)

    def waiting_lanes(self) -> list[str]:
        """Return the names of the lanes with waiting tickets, in order of preference."""
        return [queue.rule.name for queue in self._in_order if queue.count]

    def record_probe(self, lane: str) -> None:
        """Count a call of that lane that leaves as a probe."""
        self.probes[lane] = self.probes.get(lane, 0) + 1

    def probe_rank(self, lane: str) -> tuple[int, int]:
        """Return a lane's rank for the next probe; the smallest is next.

        The first lane has twice as many probes as the second.
        """
        order = 1 + [*self._queues].index(lane)
        return (1 + self.probes.get(lane, 0)) * order, order

    def serve(self, ticket: Ticket, now_ms: int) -> None:
        """Remove a ticket that is being called from its queue, and update what floors and ceilings owe."""
        queue, charge = self._queues[ticket.source.partition.lane], ticket.charge
        # else its lane falls idle, and nothing is owed
        if self._owing and (queue.count > 1 or self._others_wait(queue)):
            self._owe(queue, charge, now_ms)
        queue.serve(ticket)
        if self._hurrying:
            self._settle_boosts(ticket, queue)
        if self._tenants.capping:
            self._tenants.record_start(ticket.candidate.tenant, charge, now_ms)

    def _others_wait(self, own: LaneQueue) -> bool:
        """Whether requests wait in another lane."""
        for queue in self._in_order:  # noqa: SIM110 — asked for each call
            if queue.count and queue is not own:
                return True
        return False

    def _owe(self, own: LaneQueue, charge: int, now_ms: int) -> None:
        """Update what floors and ceilings owe."""
        waiting, largest = [], charge
        for queue in self._in_order:
            head = queue.head
            if head is None and queue.count:  # `pick` stops at the lane whose turn it is
                head = queue.next(now_ms)
            if head is not None:
                waiting.append(queue)
                if head.charge > largest:
                    largest = head.charge
        with_others = len(waiting) > 1 or own not in waiting
        for queue in waiting:
            if queue.largest < largest:
                queue.largest = largest
            if queue.rule.floor_ppm:
                queue.accrue_floor(charge, own=queue is own)
            if with_others and queue.rule.ceiling_ppm < PPM:
                queue.accrue_ceiling(charge, own=queue is own)

    def opens_at(self) -> int | None:
        """Return when the first cap that holds a tenant out gives way, if that is a matter of time."""
        instants = (queue.opens_at() for queue in self._in_order)
        return min((at_ms for at_ms in instants if at_ms is not None), default=None)

    def reprice(self, price: Callable[[Prices], int]) -> None:
        """Price the waiting tickets again."""
        for queue in self._in_order:
            if queue.count:
                queue.reprice(price)

    def reprice_one(self, ticket: Ticket, price: Callable[[Prices], int]) -> bool:
        """Price the ticket whose turn it is again, if its body does not show its whole input, or it names a template.

        More may be known of that input than when it was enqueued, since what it names may have been billed meanwhile,
        and of how long its template's outputs are. Return whether it has another charge now: caps, floors, ceilings and
        near deadlines may give the turn to another then.
        """
        prices = ticket.candidate.prices
        if (prices.unshown is None and not prices.template) or ticket.stated:
            return False
        charge = price(prices)
        if charge == ticket.charge:
            return False
        self._queues[ticket.source.partition.lane].reprice_one(ticket, charge)
        return True

    def is_sound(self) -> bool:
        """Whether each lane's totals agree with the tickets it holds."""
        return all(queue.is_sound() for queue in self._in_order)

    def tickets(self) -> Iterator[Ticket]:
        """Return all waiting tickets: lane by lane, tenant by tenant, and those that are late at the end of a lane."""
        return chain.from_iterable(queue.first(len(queue)) for queue in self._in_order)

    def waiting(self) -> int:
        """Return the number of tickets that wait in these lanes."""
        return sum(map(len, self._in_order))


def _probe_order(ticket: Ticket) -> tuple[bool, int, int]:
    return ticket.blames is not None, ticket.calls, ticket.charge
