"""Outcomes in flight through a service: which are new, which are in hand, and which count as handled.

Several may be in hand at once and end in any order; a partition's offsets count as handled in offset order. An outcome
that is redelivered while in hand, after a rebalance, ends with the one in hand: dropped as a repeat, it would count as
handled before it is.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.broker.client_ports import Arrived
from headrace.schemas.outcome import Outcome

Identity = tuple[str, int]


@dataclass(slots=True, eq=False)
class Delivery:
    """An outcome in hand, and all records of it received."""

    outcome: Outcome
    arrived: list[Arrived]

    @property
    def identity(self) -> Identity:
        """(id, run)."""
        return self.outcome.id, self.outcome.run


@dataclass(slots=True)
class _PartitionQueue:
    """Records of a partition in order of arrival, and those among them that have ended."""

    waiting: deque[Arrived] = field(default_factory=deque)
    ended: set[int] = field(default_factory=set)


class Deliveries:
    """Outcomes in hand, and those handled before.

    Attributes:
        duplicates: Records of outcomes that had come already.
    """

    def __init__(self, *, remembered_max: int, mark_handled: Callable[[Arrived], None]) -> None:
        """`mark_handled` gets the records that count as handled, each partition's in order."""
        self.duplicates = 0
        self._remembered_max = remembered_max
        self._mark_handled = mark_handled
        self._in_hand: dict[Identity, Delivery] = {}
        self._done: OrderedDict[Identity, None] = OrderedDict()
        self._lines: dict[tuple[int, int], _PartitionQueue] = {}

    def begin(self, arrived: Arrived, outcome: Outcome) -> Delivery | None:
        """Note a record's arrival; return its delivery, or None if its outcome has been delivered before."""
        self._line_of(arrived).waiting.append(arrived)
        identity = (outcome.id, outcome.run)
        if identity in self._in_hand:
            self.duplicates += 1
            self._in_hand[identity].arrived.append(arrived)
            return None
        if identity in self._done:
            self.duplicates += 1
            self._done.move_to_end(identity)
            self._end(arrived)
            return None
        delivery = self._in_hand[identity] = Delivery(outcome, [arrived])
        return delivery

    def skip(self, arrived: Arrived) -> None:
        """Note a record that is no outcome, and is never handled."""
        self._line_of(arrived).waiting.append(arrived)
        self._end(arrived)

    def done(self, delivery: Delivery) -> None:
        """Note that the outcome has been handled."""
        del self._in_hand[delivery.identity]
        self._done[delivery.identity] = None
        if len(self._done) > self._remembered_max:
            self._done.popitem(last=False)
        for arrived in delivery.arrived:
            self._end(arrived)

    def give_back(self, delivery: Delivery) -> None:
        """Note that the outcome has not been handled: the partition's next reader gets it and all later ones again."""
        del self._in_hand[delivery.identity]

    def _line_of(self, arrived: Arrived) -> _PartitionQueue:
        """Return the partition's line, dropping those of former assignments: their records can no longer count."""
        place = (arrived.assignment, arrived.partition)
        if place not in self._lines:
            self._lines = {known: line for known, line in self._lines.items() if known[0] >= arrived.assignment}
            self._lines[place] = _PartitionQueue()
        return self._lines[place]

    def _end(self, arrived: Arrived) -> None:
        line = self._lines.get((arrived.assignment, arrived.partition))
        if line is None:
            return
        line.ended.add(arrived.offset)
        while line.waiting and line.waiting[0].offset in line.ended:
            first = line.waiting.popleft()
            line.ended.remove(first.offset)
            self._mark_handled(first)
