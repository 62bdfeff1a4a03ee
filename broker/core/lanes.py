"""Who is next for one limit: strict preference between lanes, with a floor for the patient ones.

Every limit has queues of its own, so that a limit that cannot pay holds up nobody who draws on another. Within one:

- The first lane in order that has somebody waiting is served first; its head holds its place even if it cannot pay
  yet, because letting others pass would delay it.
- A lane with a floor earns credit, in tokens, whenever others are served while it waits: `floor` of their charge. Once
  its credit covers its head, that head is next, whatever waits above. So bulk gets its share and never starves, and an
  urgent lead waits for one such head at most.
- A lane must leave the reserves of the idle lanes above it untouched. A lane that waits has its reserve in use: were
  it kept as well, a head that is owed would first wait for the bucket to fill, and the urgent lead behind it too.

Tokens throughout, never requests. Shares are parts per million, to stay with integers.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from broker.core.bounds import FLOOR_CREDIT_CHARGES_MAX, PROBES_LOOKED_AT
from broker.core.charge import Prices
from broker.core.ticket import State, Ticket
from broker.core.value import value

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class LaneRule:
    """How one lane shares.

    Attributes:
        name: The lane's name.
        order: Preference; the smallest is served first.
        reserve_ppm: Share of each limit's capacity that lanes after this one may not touch.
        floor_ppm: Share of the tokens admitted while it waits that it gets at least.
        buffer_max: Records of this lane held in memory, all limits together.
        buffer_bytes_max: The same in bytes of their values.
    """

    name: str
    order: int
    reserve_ppm: int
    floor_ppm: int
    buffer_max: int
    buffer_bytes_max: int


@value
class Pick:
    """The ticket whose turn it is, and the share of the bucket it must leave."""

    ticket: Ticket
    keep_ppm: int


class LaneQueue:
    """One lane's waiting tickets for one limit, first in, first out; a retry comes back to the front.

    Attributes:
        head: The first in line.
    """

    def __init__(self, rule: LaneRule) -> None:
        self.rule = rule
        self.head: Ticket | None = None
        self.credit_ppm_tokens = 0
        self.waiting_tokens = 0
        self.waiting_bytes = 0
        self._queue: OrderedDict[Ticket, None] = OrderedDict()  # a ticket leaves from anywhere and leaves no gap

    def __len__(self) -> int:
        return len(self._queue)

    def append(self, ticket: Ticket, *, front: bool = False) -> None:
        """Line up a waiting ticket."""
        assert ticket.state is State.WAITING
        assert ticket not in self._queue
        self._queue[ticket] = None
        if front:
            self._queue.move_to_end(ticket, last=False)
        if front or self.head is None:
            self.head = ticket
        self.waiting_tokens += ticket.charge
        self.waiting_bytes += ticket.bytes

    def first(self, count_max: int) -> Iterator[Ticket]:
        """Some from the front, in order."""
        return islice(self._queue, count_max)

    def last(self, count_max: int) -> Iterator[Ticket]:
        """Some from the end, the last one first."""
        return islice(reversed(self._queue), count_max)

    def remove(self, ticket: Ticket) -> None:
        """A ticket leaves: called, expired or dropped."""
        del self._queue[ticket]
        if ticket is self.head:
            self.head = next(iter(self._queue), None)
        self.waiting_tokens -= ticket.charge
        self.waiting_bytes -= ticket.bytes
        if self.head is None:
            self.credit_ppm_tokens = 0  # an idle lane saves up nothing

    def reprice(self, price: Callable[[Prices], int]) -> None:
        """Price again who waits, but for what the server itself has priced."""
        for ticket in self._queue:
            if not ticket.stated:
                ticket.charge = price(ticket.candidate.prices)
        self.waiting_tokens = sum(ticket.charge for ticket in self._queue)

    def owed(self, head: Ticket) -> bool:
        """True when its credit covers its head."""
        return self.credit_ppm_tokens >= head.charge * PPM > 0

    def earn(self, charge: int) -> None:
        """Somebody else was served while this lane waited."""
        if self.head is None:
            return
        limit = self.head.charge * PPM * FLOOR_CREDIT_CHARGES_MAX
        self.credit_ppm_tokens = min(limit, self.credit_ppm_tokens + charge * self.rule.floor_ppm)

    def spend(self, charge: int) -> None:
        """It is served itself; being served in turn uses up what the floor owed."""
        self.credit_ppm_tokens = max(0, self.credit_ppm_tokens - charge * PPM)


class Lanes:
    """The lanes of one limit, in order of preference."""

    def __init__(self, rules: Sequence[LaneRule]) -> None:
        self._queues = {rule.name: LaneQueue(rule) for rule in sorted(rules, key=lambda rule: rule.order)}
        self._in_order = tuple(self._queues.values())
        self._patient = tuple(queue for queue in self._in_order if queue.rule.floor_ppm)

    def queue(self, lane: str) -> LaneQueue:
        """The queue of one lane."""
        return self._queues[lane]

    def pick(self) -> Pick | None:
        """Whose turn it is: a lane that is owed its floor, else the first that has somebody waiting."""
        first: Pick | None = None
        keep_ppm = 0
        for queue in self._in_order:
            head = queue.head
            if head is None:
                keep_ppm += queue.rule.reserve_ppm
            elif queue.credit_ppm_tokens and queue.owed(head):
                return Pick(head, keep_ppm)
            elif first is None:
                first = Pick(head, keep_ppm)
        return first

    def cheapest(self) -> Pick | None:
        """Who risks least as a probe, of those in front of each lane; it may use every reserve.

        Who has been called less often comes first: a request that makes the server fail is no probe for the others.
        """
        fronts = (ticket for queue in self._in_order for ticket in queue.first(PROBES_LOOKED_AT))
        found = min(fronts, key=lambda ticket: (ticket.calls, ticket.charge), default=None)
        return None if found is None else Pick(found, 0)

    def served(self, ticket: Ticket) -> None:
        """The picked ticket is being called: it leaves its queue, and the lanes passed over earn their floors."""
        own = self._queues[ticket.source.partition.lane]
        for queue in self._patient:
            if queue is not own:
                queue.earn(ticket.charge)
        if own.credit_ppm_tokens:
            own.spend(ticket.charge)
        own.remove(ticket)

    def reprice(self, price: Callable[[Prices], int]) -> None:
        """Price again who waits."""
        for queue in self._in_order:
            queue.reprice(price)

    def waiting(self) -> int:
        """How many wait for this limit."""
        return sum(map(len, self._in_order))
