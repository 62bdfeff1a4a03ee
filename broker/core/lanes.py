"""Who is next for one limit: strict preference between lanes, with a floor for the patient ones.

Every limit has queues of its own, so that a limit that cannot pay holds up nobody who draws on another. Within one:

- The first lane in order that has somebody waiting is served first; its head holds its place even if it cannot pay
  yet, because letting others pass would delay it.
- A lane with a floor earns credit, in tokens, whenever others are served while it waits: `floor` of their charge. Once
  its credit covers its head, that head is next, whatever waits above. So bulk gets its share and never starves, and an
  urgent lead waits for one such head at most.
- A lane below one that has a reserve must leave that reserve of the bucket untouched.

Tokens throughout, never requests. Shares are parts per million, to stay with integers.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from broker.core.bounds import FLOOR_CREDIT_CHARGES_MAX
from broker.core.ticket import State, Ticket

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


@dataclass(frozen=True, slots=True)
class Pick:
    """The ticket whose turn it is, and the share of the bucket it must leave."""

    ticket: Ticket
    keep_ppm: int


class LaneQueue:
    """One lane's waiting tickets for one limit, first in, first out; a retry comes back to the front."""

    def __init__(self, rule: LaneRule, keep_ppm: int) -> None:
        self.rule = rule
        self.keep_ppm = keep_ppm
        self.credit_ppm_tokens = 0
        self.waiting_tokens = 0
        self._queue: deque[Ticket] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, ticket: Ticket, *, front: bool = False) -> None:
        """Line up a waiting ticket."""
        assert ticket.state is State.WAITING
        (self._queue.appendleft if front else self._queue.append)(ticket)
        self._count += 1
        self.waiting_tokens += ticket.charge

    def head(self) -> Ticket | None:
        """The first that still waits; those that left otherwise (deadline, drop) are skipped here."""
        while self._queue and self._queue[0].state is not State.WAITING:
            self._queue.popleft()
        if not self._queue:
            self.credit_ppm_tokens = 0  # an idle lane saves up nothing
            return None
        return self._queue[0]

    def left(self, ticket: Ticket) -> None:
        """A ticket left the queue: called, expired or dropped. Its place is removed when it comes to the front."""
        self._count -= 1
        self.waiting_tokens -= ticket.charge

    def owed(self) -> bool:
        """True when its credit covers its head."""
        head = self.head()
        return head is not None and self.credit_ppm_tokens >= head.charge * PPM > 0

    def earn(self, charge: int) -> None:
        """Somebody else was served while this lane waited."""
        head = self.head()
        if head is None:
            return
        limit = head.charge * PPM * FLOOR_CREDIT_CHARGES_MAX
        self.credit_ppm_tokens = min(limit, self.credit_ppm_tokens + charge * self.rule.floor_ppm)

    def spend(self, charge: int) -> None:
        """It was served itself; being served in turn uses up what the floor owed."""
        self.credit_ppm_tokens = max(0, self.credit_ppm_tokens - charge * PPM)


class Lanes:
    """The lanes of one limit, in order of preference."""

    def __init__(self, rules: Sequence[LaneRule]) -> None:
        self._queues: dict[str, LaneQueue] = {}
        keep_ppm = 0
        for rule in sorted(rules, key=lambda rule: rule.order):
            self._queues[rule.name] = LaneQueue(rule, keep_ppm)
            keep_ppm += rule.reserve_ppm

    def queue(self, lane: str) -> LaneQueue:
        """The queue of one lane."""
        return self._queues[lane]

    def pick(self) -> Pick | None:
        """Whose turn it is: a lane that is owed its floor, else the first that has somebody waiting."""
        first: Pick | None = None
        for queue in self._queues.values():
            head = queue.head()
            if head is None:
                continue
            if queue.owed():
                return Pick(head, queue.keep_ppm)
            first = first or Pick(head, queue.keep_ppm)
        return first

    def served(self, ticket: Ticket) -> None:
        """The picked ticket is being called: it leaves its queue, and the lanes passed over earn their floors."""
        lane = ticket.source.partition.lane
        for name, queue in self._queues.items():
            if name != lane:
                queue.earn(ticket.charge)
        queue = self._queues[lane]
        queue.left(ticket)
        queue.spend(ticket.charge)
        queue.head()

    def waiting(self) -> int:
        """How many wait for this limit."""
        return sum(len(queue) for queue in self._queues.values())
