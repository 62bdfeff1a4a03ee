"""Whose turn it is among the tenants of one lane: weighted fair queueing in tokens.

Earliest eligible virtual deadline first (I. Stoica and H. Abdel-Wahab, 1995), as Linux has shared its processors since
6.6. Every tenant with somebody waiting has a *virtual time*: the tokens it was served, over its weight. Their weighted
mean is what each should have. Who has had no more is eligible; of those goes first whose first request, had it been
served, would leave its tenant least far on. Both rules together keep every tenant within one largest request of its
weighted share at every instant, whatever the sizes and weights, which the simpler start-time fair queueing does not.

Who comes new would by that rule wait its share of a turn before a first large request. A person waits for that one. So
of those who come while others wait, one may go at once, as long as nothing is *owed*: what was let pass so must first
be served in the usual order. It counts like any other, so nobody gains but time.

Whoever is chosen holds its place until it is served: a large request that must save up is not passed by what comes
later. Tenants that a cap keeps from being served leave the competition meanwhile, like those who have nobody waiting.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Final

from broker.core.bounds import TENANTS_RESTING_MAX
from broker.core.config import WEIGHT_ONE
from broker.core.lanes.tenant_queue import TenantQueue
from broker.core.lanes.tenants import Tenants
from broker.core.lanes.two_level_heap import TwoLevelHeap
from broker.core.ticket import Ticket

_UNIT: Final = 1_000_000 * WEIGHT_ONE  # virtual time of a token, times the weight: exact to a millionth of a token
_STALE_MAX: Final = 64  # entries of a heap that say nothing any more


class Flow:
    """One tenant in the competition.

    Attributes:
        line: Who waits.
        weight: In thousandths.
        served: Its virtual time.
        stamp: Another number whenever it has another place: older entries of the heaps are none any more.
        is_new: It came while others waited, and was not served since.
    """

    __slots__ = ("is_new", "line", "served", "stamp", "tenant", "weight")

    def __init__(self, tenant: str, weight: int) -> None:
        self.tenant = tenant
        self.weight = weight
        self.line = TenantQueue()
        self.served = 0
        self.stamp = 0
        self.is_new = False


class FairQueue:
    """The tenants of one lane, for one limit."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._flows: dict[str, Flow] = {}  # all that have somebody waiting, capped ones included
        self._resting: dict[str, int] = {}  # virtual times of those without, if they have had more than their share
        self._weight = self._sum = 0  # of those in the competition: weights, and virtual times by weight
        self._eligible: TwoLevelHeap[Flow] = TwoLevelHeap()  # by how far on a call would leave it
        self._ahead: TwoLevelHeap[Flow] = TwoLevelHeap()  # by virtual time: was beyond the mean when last looked at
        self._stamps = 0
        self._new: deque[Flow] = deque()
        self._owed = 0
        self._held: Flow | None = None
        self._last: Flow | None = None
        self._capped: set[Flow] = set()  # out of the competition
        self._competed = False  # somebody has had to be compared, or kept out, since nobody waited
        self._opens: list[tuple[int, int, Flow]] = []  # when a minute's cap lets one in again, stamp

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def mean(self) -> int:
        """The virtual time that everybody in the competition should have."""
        return self._sum // self._weight if self._weight else 0

    def add(self, ticket: Ticket, *, front: bool = False) -> None:
        """Somebody waits."""
        tenant = ticket.candidate.tenant
        flow = self._flows.get(tenant)
        if flow is not None:
            flow.line.add(ticket, front=front)
            if flow.line.head is ticket and len(self._flows) > 1 and flow not in self._capped:
                self._place(flow)
            return
        flow = self._flows[tenant] = self._flow_of(tenant)
        flow.line.add(ticket, front=front)
        if len(self._flows) == 1:
            self._weight, self._sum = flow.weight, flow.served * flow.weight
            return
        self._competed = True
        flow.is_new = self._weight > 0 and flow.served <= self.mean
        if flow.is_new:
            self._new.append(flow)
        self._join(flow)

    def _flow_of(self, tenant: str) -> Flow:
        """Who comes as the one that left last, and left nobody behind, is that one: most lanes have one tenant."""
        last, self._last = self._last, None
        flow = last if last is not None and last.tenant == tenant else Flow(tenant, self._tenants.rule(tenant).weight)
        flow.served = self._resting.pop(tenant, 0)
        return flow

    def remove(self, ticket: Ticket) -> None:
        """Somebody leaves without having been served."""
        flow = self._flows[ticket.candidate.tenant]
        was_head = flow.line.head is ticket
        flow.line.remove(ticket)
        if was_head:
            self._go_on(flow)

    def serve(self, ticket: Ticket) -> None:
        """Somebody is called: as a rule, who is next."""
        flow, charge = self._flows[ticket.candidate.tenant], ticket.charge
        if len(self._flows) == 1 and not (self._capped or self._resting):  # others will join where it is
            self._held = None
            if self._owed:
                self._owed = max(0, self._owed - charge)
            flow.is_new = False  # it has passed nobody
            flow.line.remove(ticket)
            if flow.line.head is None:
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
        flow.line.remove(ticket)
        self._go_on(flow)

    def next(self, now_ms: int) -> Ticket | None:
        """Whose turn it is; it stays so until somebody is served, it leaves, or its tenant reaches a cap."""
        if not self._tenants.capping:
            flow = self._held = self._held or self._fairest()
            return None if flow is None else flow.line.head
        while self._opens and self._opens[0][0] <= now_ms:
            self._readmit(*heappop(self._opens)[1:])
        while True:
            flow = self._held = self._held or self._fairest()
            if flow is None:
                return None
            head = flow.line.head
            assert head is not None, "who has nobody waiting is not in the competition"
            if self._tenants.is_free(flow.tenant, head.charge, now_ms):
                return head
            self._shut_out(flow, self._tenants.free_at(flow.tenant, head.charge, now_ms))

    def opens_at(self) -> int | None:
        """When the first of those that a minute's cap keeps out may go."""
        while self._opens and self._opens[0][1] != self._opens[0][2].stamp:
            heappop(self._opens)
        return self._opens[0][0] if self._opens else None

    def line(self, tenant: str) -> TenantQueue:
        """The line of a tenant with somebody waiting."""
        return self._flows[tenant].line

    def reprice(self, price: Callable[[Ticket], int]) -> None:
        """Give each who waits another charge."""
        for flow in self._flows.values():
            flow.line.reprice(price)
            if len(self._flows) > 1 and flow not in self._capped:
                self._place(flow)

    def lines(self) -> Iterable[TenantQueue]:
        """Who waits, tenant by tenant: who came first, first."""
        return (flow.line for flow in self._flows.values())

    # ------------------------------------------------------------------ the competition

    def _fairest(self) -> Flow | None:
        """Who must go first to keep everybody near the mean."""
        if len(self._flows) == 1 and not self._capped:
            return next(iter(self._flows.values()))
        if not self._owed:
            while self._new and not self._new[0].is_new:
                self._new.popleft()
            if self._new:
                return self._new[0]
        mean, ahead, eligible = self.mean, self._ahead, self._eligible
        while (found := ahead.first()) is not None and found[0] <= mean:
            _, stamp, flow = found
            ahead.pop()
            if stamp == flow.stamp:
                eligible.add(_after_next(flow), stamp, flow)
        while (found := eligible.first()) is not None:
            _, stamp, flow = found
            if stamp == flow.stamp and flow.served <= mean:
                return flow
            eligible.pop()
            if stamp == flow.stamp:  # the mean has fallen, since some that were far on have left
                ahead.add(flow.served, stamp, flow)
        return None

    def _join(self, flow: Flow) -> None:
        """Compete, from the mean on: nobody saves up by waiting for nothing."""
        flow.served = max(flow.served, self.mean)
        self._weight += flow.weight
        self._sum += flow.served * flow.weight
        if len(self._flows) == 2:  # while it was alone, nobody compared it
            for each in self._flows.values():
                if each not in self._capped:
                    self._place(each)
        elif len(self._flows) > 1:
            self._place(flow)

    def _place(self, flow: Flow) -> None:
        """It has another place."""
        self._stamps += 1
        flow.stamp = self._stamps
        self._ahead.add(flow.served, flow.stamp, flow)
        for each in (self._ahead, self._eligible):
            if len(each) > 4 * len(self._flows) + _STALE_MAX:
                each.sweep(_is_stale)

    def _go_on(self, flow: Flow) -> None:
        """Its first has left."""
        if flow.line.head is None:
            self._leave(flow)
        elif len(self._flows) > 1 and flow not in self._capped:
            self._place(flow)

    def _quit(self, flow: Flow) -> None:
        """It competes no more."""
        self._weight -= flow.weight
        self._sum -= flow.served * flow.weight
        self._stamps += 1
        flow.stamp = self._stamps
        flow.is_new = False
        if self._held is flow:
            self._held = None

    def _leave(self, flow: Flow) -> None:
        """Nobody of it waits any more."""
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
        """Nobody waits: who comes next begins anew."""
        if self._competed:
            self._competed = False
            for each in (self._resting, self._new, self._capped, self._eligible, self._ahead, self._opens):
                each.clear()
        self._owed = self._weight = self._sum = 0
        self._held = None

    def _forget_resting(self) -> None:
        """Those whom the mean has overtaken, and half of the rest if they are too many."""
        mean = self.mean
        kept = [(tenant, served) for tenant, served in self._resting.items() if served > mean]
        if len(kept) > TENANTS_RESTING_MAX // 2:
            kept = kept[len(kept) - TENANTS_RESTING_MAX // 2 :]
        self._resting = dict(kept)

    # ------------------------------------------------------------------ caps

    def _shut_out(self, flow: Flow, until_ms: int | None) -> None:
        """A cap is reached; None: until a call of that tenant ends."""
        self._competed = True
        self._quit(flow)
        self._capped.add(flow)
        if until_ms is not None:
            heappush(self._opens, (until_ms, flow.stamp, flow))
        else:
            self._tenants.tell(flow.tenant, partial(self._readmit, flow.stamp, flow))

    def _readmit(self, stamp: int, flow: Flow) -> None:
        if stamp == flow.stamp:
            self._capped.remove(flow)
            self._join(flow)


def _is_stale(stamp: int, flow: Flow) -> bool:
    """Whether it has another place by now."""
    return stamp != flow.stamp


def _after_next(flow: Flow) -> int:
    """How far on its tenant's next call would leave it."""
    head = flow.line.head
    assert head is not None, "who has nobody waiting has another stamp"
    return flow.served + head.charge * _UNIT // flow.weight
