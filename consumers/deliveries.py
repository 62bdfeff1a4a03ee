"""Outcomes on their way through a service: which are new, which are in hand, and which count as handled.

Several may be in hand at once and end in any order; a partition's offsets count as handled in theirs. An outcome that
comes again while it is in hand, after its partition has been dealt out anew, ends with the one in hand: were it dropped
as a repeat, it would count as handled before anybody has handled it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.client_ports import Arrived
from schemas.outcome import Outcome

Identity = tuple[str, int]


@dataclass(slots=True, eq=False)
class Delivery:
    """An outcome in hand, and every record of it that has come."""

    outcome: Outcome
    arrived: list[Arrived]

    @property
    def identity(self) -> Identity:
        """(id, run)."""
        return self.outcome.id, self.outcome.run


@dataclass(slots=True)
class _Line:
    """Records of a partition in the order in which they came, and those among them that have ended."""

    waiting: deque[Arrived] = field(default_factory=deque)
    ended: set[int] = field(default_factory=set)


class Deliveries:
    """What is in hand, and what has been.

    Attributes:
        duplicates: Records of outcomes that had come already.
    """

    def __init__(self, *, remembered_max: int, mark_handled: Callable[[Arrived], None]) -> None:
        """`mark_handled` is told the records that count as handled, each partition's in order."""
        self.duplicates = 0
        self._remembered_max = remembered_max
        self._mark_handled = mark_handled
        self._in_hand: dict[Identity, Delivery] = {}
        self._done: OrderedDict[Identity, None] = OrderedDict()
        self._lines: dict[tuple[int, int], _Line] = {}

    def begin(self, arrived: Arrived, outcome: Outcome) -> Delivery | None:
        """A record came; None if its outcome has been delivered before."""
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
        """A record came that is no outcome: nobody will handle it."""
        self._line_of(arrived).waiting.append(arrived)
        self._end(arrived)

    def done(self, delivery: Delivery) -> None:
        """It has been handled."""
        del self._in_hand[delivery.identity]
        self._done[delivery.identity] = None
        if len(self._done) > self._remembered_max:
            self._done.popitem(last=False)
        for arrived in delivery.arrived:
            self._end(arrived)

    def give_back(self, delivery: Delivery) -> None:
        """It has not been handled; whoever reads its partition next gets it again, and so does everything behind it."""
        del self._in_hand[delivery.identity]

    def _line_of(self, arrived: Arrived) -> _Line:
        """Those of former assignments are over: nothing of them can count any more."""
        place = (arrived.assignment, arrived.partition)
        if place not in self._lines:
            self._lines = {known: line for known, line in self._lines.items() if known[0] >= arrived.assignment}
            self._lines[place] = _Line()
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
