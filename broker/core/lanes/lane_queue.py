"""Queue of one lane's waiting tickets for one limit, with what its floor and ceiling owe.

How lanes take turns is described in `headrace.broker.core.lanes.lanes`, the order within a lane in
`headrace.broker.core.lanes.fair_queue`.
"""

from collections.abc import Callable, Iterator, Reversible
from itertools import chain, islice

from headrace.broker.core.bounds import CREDIT_CHARGES_MAX
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.fair_queue import FairQueue
from headrace.broker.core.lanes.late import LateQueue
from headrace.broker.core.lanes.nearing import DeadlineBoost
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.ticket import WAITING, Ticket
from headrace.broker.core.units import PPM


class LaneQueue:
    """One lane's waiting tickets for one limit.

    Attributes:
        count: Number of waiting tickets.
        head: The first ticket, as `next` last found it; None if it may be another by now, or if none could go.
        late: Tickets that will probably not be answered in time.
        nearing: Tickets that will be late soon.
        credit_ppm_tokens: What its floor owes it.
        excess_ppm_tokens: What it took beyond its ceiling while others waited.
        largest: The largest charge of all tickets served and of all heads since it began to wait.
    """

    def __init__(self, rule: LaneRule, tenants: Tenants) -> None:
        self.rule = rule
        self.head: Ticket | None = None
        self.late = LateQueue(tenants)
        self.nearing = DeadlineBoost(rule.lift_ppm)
        self.credit_ppm_tokens = 0
        self.excess_ppm_tokens = 0
        self.largest = 0
        self.waiting_tokens = 0
        self.waiting_bytes = 0
        self.count = 0
        self._tenants = tenants
        self._fair_queue: FairQueue | None = None  # made with the first ticket: most limits are used by one lane only

    @property
    def _fair(self) -> FairQueue:
        if self._fair_queue is None:
            self._fair_queue = FairQueue(self._tenants)
        return self._fair_queue

    def __len__(self) -> int:
        return self.count

    @property
    def tokens_in_time(self) -> int:
        """The sum of the charges of all waiting tickets that are not late."""
        return self.waiting_tokens - self.late.tokens

    def append(self, ticket: Ticket, *, front: bool = False) -> None:
        """Enqueue a waiting ticket; a retry goes to the front of its tenant's queue."""
        assert ticket.state is WAITING
        assert not ticket.queued
        ticket.queued = True
        self._fair.add(ticket, front=front)
        self.head = None  # another ticket may be first now
        self.count += 1
        self.waiting_tokens += ticket.charge
        self.waiting_bytes += ticket.buffer_bytes

    def next(self, now_ms: int) -> Ticket | None:
        """Return the first ticket; None if none waits, or if every waiting tenant has reached a cap."""
        self.head = self._fair.next(now_ms) or self.late.next(now_ms)
        return self.head

    def demote(self, ticket: Ticket) -> None:
        """Move a waiting ticket that is late behind all that are not."""
        self._fair.remove(ticket)
        self.late.add(ticket)
        self.head = None

    def opens_at(self) -> int | None:
        """Return when the first cap that holds a tenant out gives way, if that is a matter of time."""
        return None if self._fair_queue is None else self._fair_queue.opens_at()

    def tenant_queue(self, tenant: str) -> TenantQueue:
        """Return the queue of a tenant with requests waiting here."""
        return self._fair.tenant_queue(tenant)

    def first(self, count_max: int) -> Iterator[Ticket]:
        """Return up to `count_max` tickets from the front, tenant by tenant."""
        return islice(chain(chain.from_iterable(self._fair.tenant_queues()), self.late), count_max)

    def last(self, count_max: int) -> Iterator[Ticket]:
        """Return up to `count_max` tickets from the end: late ones, then each tenant's from the last one on."""
        return islice(chain(self.late, chain.from_iterable(map(reversed, self._fair.tenant_queues()))), count_max)

    def ends(self, tenants_max: int, head: Ticket | None = None) -> Iterator[Ticket]:
        """Return the first and the last ticket in time of each tenant, and of those that are late.

        Of at most `tenants_max` tenants, and of the tenant of `head`, which is returned too.
        """
        lines: list[Reversible[Ticket]] = [*islice(self._fair.tenant_queues(), tenants_max), self.late]
        if head is not None:
            lines.append((head,) if head.late else self.tenant_queue(head.candidate.tenant))
        return (end for line in lines for end in chain(islice(line, 1), islice(reversed(line), 1)))

    def serve(self, ticket: Ticket) -> None:
        """Remove a ticket that is being called."""
        if ticket.late:
            self.late.remove(ticket)
        else:
            self._fair.serve(ticket)
        self._gone(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket that is not being called: expired, cancelled, parked or put off."""
        if ticket.late:
            self.late.remove(ticket)
        else:
            self._fair.remove(ticket)
        self._gone(ticket)

    def reprice(self, price: Callable[[Prices], int]) -> None:
        """Price the waiting tickets again, except those whose charge the server itself has stated."""

        def charge(ticket: Ticket) -> int:
            return ticket.charge if ticket.stated else price(ticket.candidate.prices)

        self._fair.reprice(charge)
        self.late.reprice(charge)
        self.waiting_tokens = self.late.tokens + sum(queue.tokens for queue in self._fair.tenant_queues())

    def reprice_one(self, ticket: Ticket, charge: int) -> None:
        """Give one waiting ticket another charge."""
        self.waiting_tokens += charge - ticket.charge
        if ticket.late:
            self.late.queue.reprice_one(ticket, charge)
        else:
            self._fair.reprice_one(ticket, charge)

    def is_sound(self) -> bool:
        """Whether its totals agree with the tickets it holds."""
        held = [*self.first(self.count + 1)]
        tokens, weight = sum(ticket.charge for ticket in held), sum(ticket.buffer_bytes for ticket in held)
        return (len(held), tokens, weight) == (self.count, self.waiting_tokens, self.waiting_bytes)

    def is_owed(self, head: Ticket) -> bool:
        """Whether its credit covers its head."""
        return self.credit_ppm_tokens >= head.charge * PPM > 0

    def is_over_ceiling(self, head: Ticket) -> bool:
        """Whether it has taken enough beyond its ceiling to cover another lane's head."""
        return self.excess_ppm_tokens >= head.charge * PPM > 0

    def accrue_floor(self, charge: int, *, own: bool) -> None:
        """Update what its floor owes it, since a request, of its `own` or of another lane, is served while it waits."""
        share_ppm = self.rule.floor_ppm - PPM if own else self.rule.floor_ppm
        self.credit_ppm_tokens = self._within(self.credit_ppm_tokens + charge * share_ppm)

    def accrue_ceiling(self, charge: int, *, own: bool) -> None:
        """Update what it took beyond its ceiling, since a request is served while this lane and others wait."""
        share_ppm = PPM - self.rule.ceiling_ppm if own else -self.rule.ceiling_ppm
        self.excess_ppm_tokens = self._within(self.excess_ppm_tokens + charge * share_ppm)

    def _within(self, ppm_tokens: int) -> int:
        """Clamp a balance between zero and a few times the largest charge.

        The largest charge counts, or lanes with small heads would not get what lanes with large ones owe.
        """
        if ppm_tokens <= 0:
            return 0
        return min(ppm_tokens, self.largest * PPM * CREDIT_CHARGES_MAX)

    def _gone(self, ticket: Ticket) -> None:
        ticket.queued = False
        if ticket is self.head:
            self.head = None
        self.count -= 1
        self.waiting_tokens -= ticket.charge
        self.waiting_bytes -= ticket.buffer_bytes
        if not self.count:
            self.credit_ppm_tokens = self.excess_ppm_tokens = self.largest = 0  # an idle lane saves up nothing
