"""A lane that waits gets its floor of what is called for its limit, and no more than its ceiling while others wait.

Looked at over every stretch of turns, leader by leader and limit by limit. A lane surely waited in a turn if one and
the same request stood in its line at the end of the turn before, and at its end. Left out are:

- requests of tenants with a cap, for they may not be allowed to go;
- those behind another of their ordering key, for they stand in no line yet. A lane in which nobody else waits is empty
  for an instant at each call, and begins anew;
- turns in which the limit or the account is in trouble, for then the cheapest goes, whatever its lane.

A lane lacks at most its own head, which it must have earned, and its share of heads that go first though it has; beyond
its ceiling it takes no more than the head that it gives way to, and one of its own. That is two of the largest charges.
Nothing is added for those who are lifted because their deadline is near: they go only when no lane is owed its floor,
and what they take is their own lane's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from headrace.broker.core.config import LaneRule
from headrace.broker.core.units import PPM
from tests.simulation.history import History, Turn

CHARGES = 2


@dataclass(slots=True)
class Stretch:
    """What one lane got of all that was called for a limit, turn after turn in which it waited.

    Attributes:
        what: Of which limit, and whose calls.
        rule: Of the lane.
        share_ppm: Its floor, or its ceiling.
        is_floor: Which of the two.
        largest: The largest charge of that limit so far.
        contested: The tokens of calls that could have kept it from its floor, or to its ceiling.
        worst_ppm: The most that it ever lacked, or took beyond, over any part.
    """

    what: str
    rule: LaneRule
    share_ppm: int
    is_floor: bool
    largest: int = 0
    contested: int = 0
    worst_ppm: int = 0
    _ends_with_ppm: int = 0  # the same over that part which ends now and is worst

    @property
    def is_broken(self) -> bool:
        """Whether it got too little, or too much."""
        return self.worst_ppm > CHARGES * self.largest * PPM

    @property
    def is_put_to_the_test(self) -> bool:
        """Whether it would be broken if the lane had got nothing, or everything, of what was contested."""
        at_stake_ppm = self.share_ppm if self.is_floor else PPM - self.share_ppm
        return self.contested * at_stake_ppm > CHARGES * self.largest * PPM

    def add(self, turn: Turn, largest: int, *, contested: bool) -> None:
        """One more turn in which the lane waited."""
        self.largest = largest
        for call in turn.calls:
            self.contested += call.charge if contested else 0
            own = call.source.partition.lane == self.rule.name
            beyond_ppm = (call.charge * PPM if own else 0) - call.charge * self.share_ppm
            wrong_ppm = -beyond_ppm if self.is_floor else beyond_ppm
            self._ends_with_ppm = max(0, self._ends_with_ppm + wrong_ppm)
            self.worst_ppm = max(self.worst_ppm, self._ends_with_ppm)

    def __str__(self) -> str:
        """What is wrong with it."""
        amount = f"{self.worst_ppm // PPM} tokens, and no charge was above {self.largest}"
        return f"{self.what}: {self.rule.name} " + (
            f"lacks {amount}, of its floor" if self.is_floor else f"took {amount}, beyond its ceiling"
        )


def check(history: History) -> Iterator[str]:
    """Every floor and ceiling that was not kept."""
    return (str(stretch) for stretch in stretches(history) if stretch.is_broken)


def stretches(history: History) -> list[Stretch]:
    """All of them, as long as they could be."""
    turns: dict[tuple[str, int, str], list[Turn]] = {}
    for turn in history.turns:
        turns.setdefault((turn.writer, turn.term, turn.limit), []).append(turn)
    rules = sorted(history.lanes, key=lambda rule: rule.order)
    return [
        stretch
        for (writer, term, limit), row in turns.items()
        for stretch in _stretches(f"{writer} in term {term}, limit {limit}", row, rules)
    ]


def _stretches(what: str, row: list[Turn], rules: list[LaneRule]) -> Iterator[Stretch]:
    """Those of one leader and limit."""
    largest = row[0].largest
    going_on: dict[tuple[str, bool], Stretch] = {}
    for before, turn in pairwise(row):
        largest = max(largest, turn.largest)
        waits = [rule for rule in rules if turn.calm and turn.waiting[rule.name] & before.waiting[rule.name]]
        ended, going_on = going_on, {}
        for stretch, contested in _judged(what, waits):
            key = stretch.rule.name, stretch.is_floor
            going_on[key] = ended.pop(key, stretch)
            going_on[key].add(turn, largest, contested=contested)
        yield from ended.values()
    yield from going_on.values()


def _judged(what: str, waits: list[LaneRule]) -> Iterator[tuple[Stretch, bool]]:
    """What may be said of a turn, given who waited in it, and whether others wanted those tokens as well."""
    for rule in waits:
        if rule.floor_ppm:
            above = any(other.order < rule.order for other in waits)
            yield Stretch(what, rule, rule.floor_ppm, is_floor=True), above
        if rule.ceiling_ppm < PPM and any(other.order > rule.order and other.ceiling_ppm == PPM for other in waits):
            yield Stretch(what, rule, rule.ceiling_ppm, is_floor=False), True
