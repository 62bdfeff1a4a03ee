"""Weighted fair queueing, in tokens, among the tenants of one lane.

The algorithm is earliest eligible virtual deadline first (I. Stoica and H. Abdel-Wahab, 1995), which Linux has used to
share its processors since 6.6. Every tenant with waiting requests has a *virtual time*: the tokens it was served,
divided by its weight. The weighted mean of these is what each should have. A tenant at or below the mean is eligible;
among the eligible, the next is the one whose virtual time would be lowest after its first request was served. Both
rules together keep every tenant within one largest request of its weighted share at every instant, whatever the sizes
and weights, which the simpler start-time fair queueing does not.

By that rule alone a new tenant would wait its share of a turn before a large first request, the one that a user is
waiting for. So one tenant that arrives while others wait may go at once, provided that nothing is *owed*: the tokens
admitted out of turn must first be served in the usual order. Such a request counts like any other, so its tenant gains
only time.

A tenant that was chosen stays chosen until it is served: later arrivals do not overtake a large request that waits for
its tokens. A tenant held back by a cap leaves the competition for that time, like one without waiting requests.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Final

from headrace.broker.core.bounds import TENANTS_RESTING_MAX
from headrace.broker.core.config import WEIGHT_ONE
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.lanes.two_level_heap import TwoLevelHeap
from headrace.broker.core.ticket import Ticket

_UNIT: Final = 1_000_000 * WEIGHT_ONE  # virtual time of one token times the weight: exact to a millionth of a token
_STALE_MAX: Final = 64  # stale entries that a heap may hold beside four for each tenant before it is swept


class Flow:
    """One tenant's state in the competition.

    Attributes:
        queue: Its waiting requests.
        weight: In thousandths.
        served: Its virtual time.
        stamp: Changes with every new position; heap entries with an older stamp are stale.
        is_new: True if it arrived while others waited and has not been served since.
    """

    __slots__ = ("is_new", "queue", "served", "stamp", "tenant", "weight")

    def __init__(self, tenant: str, weight: int) -> None:
        self.tenant = tenant
        self.weight = weight
        self.queue = TenantQueue()
        self.served = 0
        self.stamp = 0
        self.is_new = False


class FairQueue:
    """Queue of one lane's tenants, for one limit."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._flows: dict[str, Flow] = {}  # every tenant with waiting requests, capped ones included
        self._resting: dict[str, int] = {}  # virtual times of idle tenants that have had more than their share
        self._weight = self._sum = 0  # of all competitors: sum of weights, and of virtual times times weight
        self._eligible: TwoLevelHeap[Flow] = TwoLevelHeap()  # by virtual time after its next call
        self._ahead: TwoLevelHeap[Flow] = TwoLevelHeap()  # by virtual time; not known to be eligible
        self._stamps = 0
        self._new: deque[Flow] = deque()
        self._owed = 0
        self._held: Flow | None = None
        self._last: Flow | None = None
        self._capped: set[Flow] = set()  # held out of the competition by a cap
        self._competed = False  # a tenant was compared or held out since the queue was last empty
        self._opens: list[tuple[int, int, Flow]] = []  # when a cap of tokens a minute readmits a flow, stamp

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def mean(self) -> int:
        """The virtual time that every competitor should have."""
        return self._sum // self._weight if self._weight else 0

    def add(self, ticket: Ticket, *, front: bool = False) -> None:
        """Enqueue a ticket under its tenant's flow."""
        tenant = ticket.candidate.tenant
        flow = self._flows.get(tenant)
        if flow is not None:
            flow.queue.add(ticket, front=front)
            if flow.queue.head is ticket and len(self._flows) > 1 and flow not in self._capped:
                self._place(flow)
            return
        flow = self._flows[tenant] = self._flow_of(tenant)
        flow.queue.add(ticket, front=front)
        if len(self._flows) == 1:
            self._weight, self._sum = flow.weight, flow.served * flow.weight
            return
        self._competed = True
        flow.is_new = self._weight > 0 and flow.served <= self.mean
        if flow.is_new:
            self._new.append(flow)
        self._join(flow)

    def _flow_of(self, tenant: str) -> Flow:
        """Return a flow for a tenant that arrives.

        Reuses the flow that left last and emptied the queue, if it was this tenant's: most lanes have one tenant.
        """
        last, self._last = self._last, None
        flow = last if last is not None and last.tenant == tenant else Flow(tenant, self._tenants.rule(tenant).weight)
        flow.served = self._resting.pop(tenant, 0)
        return flow

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket that was not served."""
        flow = self._flows[ticket.candidate.tenant]
        was_head = flow.queue.head is ticket
        flow.queue.remove(ticket)
        if was_head:
            self._go_on(flow)

    def serve(self, ticket: Ticket) -> None:
        """Remove a ticket that is being called, as a rule the next one, and charge it to its tenant."""
        flow, charge = self._flows[ticket.candidate.tenant], ticket.charge
        if len(self._flows) == 1 and not (self._capped or self._resting):  # others will join at its virtual time
            self._held = None
            if self._owed:
                self._owed = max(0, self._owed - charge)
            flow.is_new = False  # it has overtaken no other
            flow.queue.remove(ticket)
            if flow.queue.head is None:
                self._leave(flow)
            return
        passes = flow.is_new and len(self._flows) > 1
        self._owed = self._owed + charge if passes else max(0, self._owed - charge)
        flow.is_new = False
        moved = charge * _UNIT // flow.weight
        flow.served += moved
        if flow not in self._capped:
            self._sum += moved * flow.weight
        if self._held is flow:
            self._held = None
        flow.queue.remove(ticket)
        self._go_on(flow)

    def next(self, now_ms: int) -> Ticket | None:
        """Return the ticket whose turn it is.

        It stays next until a ticket is served, it leaves, or its tenant reaches a cap.
        """
        if not self._tenants.capping:
            flow = self._held = self._held or self._fairest()
            return None if flow is None else flow.queue.head
        while self._opens and self._opens[0][0] <= now_ms:
            self._readmit(*heappop(self._opens)[1:])
        while True:
            flow = self._held = self._held or self._fairest()
            if flow is None:
                return None
            head = flow.queue.head
            assert head is not None, "a flow without waiting tickets has no place in the competition"
            if self._tenants.is_free(flow.tenant, head.charge, now_ms):
                return head
            self._shut_out(flow, self._tenants.free_at(flow.tenant, head.charge, now_ms))

    def opens_at(self) -> int | None:
        """Return when the first tenant held out by a cap of tokens a minute may compete again."""
        while self._opens and (self._opens[0][1] != self._opens[0][2].stamp or self._opens[0][2] not in self._capped):
            heappop(self._opens)
        return self._opens[0][0] if self._opens else None

    def tenant_queue(self, tenant: str) -> TenantQueue:
        """Return the queue of a tenant with waiting requests."""
        return self._flows[tenant].queue

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Set every waiting ticket's charge anew."""
        for flow in self._flows.values():
            flow.queue.reprice(price)
            if len(self._flows) > 1 and flow not in self._capped:
                self._place(flow)

    def reprice_one(self, ticket: Ticket, charge: int) -> None:
        """Give one waiting ticket another charge."""
        flow = self._flows[ticket.candidate.tenant]
        flow.queue.reprice_one(ticket, charge)
        if len(self._flows) > 1 and flow not in self._capped:
            self._place(flow)

    def tenant_queues(self) -> Iterable[TenantQueue]:
        """Return the tenants' queues, ordered by when each tenant began to wait."""
        return (flow.queue for flow in self._flows.values())

    # ------------------------------------------------------------------ the competition

    def _fairest(self) -> Flow | None:
        """Return the flow that must go next to keep every tenant near the mean."""
        if len(self._flows) == 1 and not self._capped:
            return next(iter(self._flows.values()))
        if not self._owed:
            while self._new and not self._new[0].is_new:
                self._new.popleft()
            if self._new:
                return self._new[0]
        mean, ahead, eligible = self.mean, self._ahead, self._eligible
        while (first := ahead.first()) is not None and first[0] <= mean:
            _, stamp, flow = first
            ahead.pop()
            if stamp == flow.stamp:
                eligible.add(_after_next(flow), stamp, flow)
        while (first := eligible.first()) is not None:
            _, stamp, flow = first
            if stamp == flow.stamp and flow.served <= mean:
                return flow
            eligible.pop()
            if stamp == flow.stamp:  # the mean has fallen, since flows with a high virtual time have left
                ahead.add(flow.served, stamp, flow)
        return None

    def _join(self, flow: Flow) -> None:
        """Enter the competition, at the mean or above: a tenant saves up nothing while it has no waiting requests."""
        flow.served = max(flow.served, self.mean)
        self._weight += flow.weight
        self._sum += flow.served * flow.weight
        if len(self._flows) == 2:  # a flow that was alone has no entries in the heaps
            for competitor in self._flows.values():
                if competitor not in self._capped:
                    self._place(competitor)
        elif len(self._flows) > 1:
            self._place(flow)

    def _place(self, flow: Flow) -> None:
        """Give a flow a new position in the heaps."""
        self._stamps += 1
        flow.stamp = self._stamps
        self._ahead.add(flow.served, flow.stamp, flow)
        for heap in (self._ahead, self._eligible):
            if len(heap) > 4 * len(self._flows) + _STALE_MAX:
                heap.sweep(_is_stale)

    def _go_on(self, flow: Flow) -> None:
        """Update a flow whose first ticket has left."""
        if flow.queue.head is None:
            self._leave(flow)
        elif len(self._flows) > 1 and flow not in self._capped:
            self._place(flow)

    def _quit(self, flow: Flow) -> None:
        """Take a flow out of the competition."""
        self._weight -= flow.weight
        self._sum -= flow.served * flow.weight
        self._stamps += 1
        flow.stamp = self._stamps
        flow.is_new = False
        if self._held is flow:
            self._held = None

    def _leave(self, flow: Flow) -> None:
        """Drop a flow that has no waiting tickets any more."""
        del self._flows[flow.tenant]
        if not self._flows:
            self._forget_all()
            flow.stamp, flow.is_new = -1, False
            self._last = flow
            return
        if flow in self._capped:
            self._capped.remove(flow)
            flow.stamp = -1
        else:
            self._quit(flow)
        if flow.served > self.mean:
            self._resting[flow.tenant] = flow.served
            if len(self._resting) > TENANTS_RESTING_MAX:
                self._forget_resting()

    def _forget_all(self) -> None:
        """Reset the empty queue: the next tenant starts afresh."""
        if self._competed:
            self._competed = False
            for entries in (self._resting, self._new, self._capped, self._eligible, self._ahead, self._opens):
                entries.clear()
        self._owed = self._weight = self._sum = 0
        self._held = None

    def _forget_resting(self) -> None:
        """Forget idle tenants that the mean has overtaken, then the oldest beyond half of the bound."""
        mean = self.mean
        kept = [(tenant, served) for tenant, served in self._resting.items() if served > mean]
        if len(kept) > TENANTS_RESTING_MAX // 2:
            kept = kept[len(kept) - TENANTS_RESTING_MAX // 2 :]
        self._resting = dict(kept)

    # ------------------------------------------------------------------ caps

    def _shut_out(self, flow: Flow, until_ms: int | None) -> None:
        """Hold a flow out until a cap allows it again; None: until one of its tenant's calls ends.

        A call that ends may also give tokens back before that instant.
        """
        self._competed = True
        self._quit(flow)
        self._capped.add(flow)
        readmit = partial(self._readmit, flow.stamp, flow)
        if until_ms is None:
            self._tenants.on_call_ended(flow.tenant, self, readmit)
            return
        self._tenants.on_given_back(flow.tenant, self, readmit)
        heappush(self._opens, (until_ms, flow.stamp, flow))
        if len(self._opens) > 2 * len(self._capped) + _STALE_MAX:
            self._opens = [entry for entry in self._opens if entry[1] == entry[2].stamp and entry[2] in self._capped]
            heapify(self._opens)

    def _readmit(self, stamp: int, flow: Flow) -> None:
        """Let a flow compete again, unless it does already: an instant and the end of a call may both allow it."""
        if stamp == flow.stamp and flow in self._capped:
            self._capped.remove(flow)
            self._join(flow)


def _is_stale(stamp: int, flow: Flow) -> bool:
    """Whether the flow has been given another position since."""
    return stamp != flow.stamp


def _after_next(flow: Flow) -> int:
    """Return the flow's virtual time after its next call."""
    head = flow.queue.head
    assert head is not None, "a flow without waiting tickets has another stamp"
    return flow.served + head.charge * _UNIT // flow.weight
