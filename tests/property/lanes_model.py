"""The lanes of one limit as their page describes them, in plain lists and exact fractions; nothing of the core in it.

Everything is looked over from the front each time, so this is slow and short, and says what the core must do: who is
called next, and at which instant. Deadlines lie far ahead, so nobody is lifted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

ROUNDING = 2
"""A call is paid so many tokens more than its charge, for the server may round otherwise."""

CHARGES_SAVED = 4
"""A lane is never owed more than so many of the largest charges."""


@dataclass(eq=False)
class Asked:
    """A request; who came later has the greater number."""

    number: int
    lane: str
    charge: int
    deadline: int = 0
    key: str = ""


@dataclass
class Shares:
    """How one lane shares; the lanes come in order of preference."""

    name: str
    reserve: Fraction
    floor: Fraction
    ceiling: Fraction
    serial: bool = False


@dataclass
class Lane:
    """Who waits in one lane, the first one first, and what is owed to it and by it."""

    shares: Shares
    waiting: list[Asked] = field(default_factory=list)
    credit: Fraction = Fraction(0)
    excess: Fraction = Fraction(0)
    largest: int = 0  # of all charges since it began to wait

    def saved(self, tokens: Fraction) -> Fraction:
        """No debt, and no more than a few charges."""
        return min(max(Fraction(0), tokens), Fraction(CHARGES_SAVED * self.largest))


class Model:
    """One limit with its bucket and its lanes."""

    def __init__(self, lanes: Sequence[Shares], capacity: int, period: int, places: int | None) -> None:
        self.lanes = [Lane(each) for each in lanes]
        self.capacity = capacity
        self.rate = Fraction(capacity, period)
        self.level = Fraction(capacity)
        self.places = places
        self.inflight = 0
        self.now = 0
        self.rows: dict[tuple[str, str], list[Asked]] = {}  # of a lane and key: who has not started yet
        self.crowded: tuple[Asked, int] | None = None

    def lane(self, name: str) -> Lane:
        """The lane of that name."""
        return next(each for each in self.lanes if each.shares.name == name)

    def until(self, now: int) -> None:
        """Time passes."""
        self.level = min(Fraction(self.capacity), self.level + (now - self.now) * self.rate)
        self.now = now

    # ------------------------------------------------------------------ who waits

    def ask(self, asked: Asked) -> None:
        """A request lines up, behind those of its key."""
        if asked.key:
            row = self.rows.setdefault((asked.lane, asked.key), [])
            row.append(asked)
            if row[0] is not asked:
                return
        self._line_up(asked)

    def come_back(self, asked: Asked) -> None:
        """One that was called lines up again, before everybody, whatever their deadlines."""
        asked.deadline = -1
        self.lane(asked.lane).waiting.insert(0, asked)

    def leave(self, asked: Asked) -> None:
        """One leaves without a call, or in a serial lane has come to its end."""
        self._unline(asked)
        self._pass_on(asked)

    def waits(self) -> Iterator[Asked]:
        """Everybody who has not been called, the first of each key first."""
        lined = {asked for lane in self.lanes for asked in lane.waiting}
        yield from lined
        for row in self.rows.values():
            yield from (asked for asked in row[1:] if asked not in lined)

    def _line_up(self, asked: Asked) -> None:
        waiting = self.lane(asked.lane).waiting
        later = (place for place, other in enumerate(waiting) if other.deadline > asked.deadline)
        waiting.insert(next(later, len(waiting)), asked)

    def _unline(self, asked: Asked) -> None:
        lane = self.lane(asked.lane)
        if asked in lane.waiting:
            lane.waiting.remove(asked)
            if not lane.waiting:
                lane.credit, lane.excess, lane.largest = Fraction(0), Fraction(0), 0

    def _pass_on(self, asked: Asked) -> None:
        """Those of its key wait for it no longer."""
        row = self.rows.get((asked.lane, asked.key), [])
        if asked in row:
            was_first = row[0] is asked
            row.remove(asked)
            if was_first and row:
                self._line_up(row[0])

    # ------------------------------------------------------------------ whose turn it is

    def turn(self) -> tuple[Asked, Fraction] | None:
        """Who is next, and the share of the bucket that must be left to others."""
        found: Lane | None = None
        for lane in self.lanes:
            if not lane.waiting:
                continue
            charge = lane.waiting[0].charge
            if lane.credit >= charge:
                found = lane
                break
            if found is None or found.excess >= charge:
                found = lane
        if found is None:
            return None
        above = self.lanes[: self.lanes.index(found)]
        return found.waiting[0], sum((each.shares.reserve for each in above if not each.waiting), Fraction(0))

    def due(self) -> tuple[Asked, int] | None:
        """Who is next and when it can be called if nothing else happens; None if nobody can before a call ends."""
        turn = self.turn()
        if turn is None or self._is_full(turn[1]):
            return None
        asked, keep = turn
        amount, kept = asked.charge + ROUNDING, floor(self.capacity * keep)
        at = self._holds_at(amount + kept)
        if kept and at > self.now and amount - ROUNDING + kept > self.capacity:
            if self.crowded is None or self.crowded[0] is not asked:
                self.crowded = asked, self.now
            at = min(at, max(self.crowded[1] + ceil(self.capacity / self.rate), self._holds_at(amount)))
        return asked, at

    def _is_full(self, keep: Fraction) -> bool:
        return self.places is not None and self.inflight >= max(1, self.places - floor(self.places * keep))

    def _holds_at(self, tokens: int) -> int:
        """When so many are there, or the bucket is full."""
        missing = min(tokens, self.capacity) - self.level
        return self.now + max(0, ceil(missing / self.rate))

    def call(self, asked: Asked) -> None:
        """It is called: everybody who waits is owed its share of that."""
        own = self.lane(asked.lane)
        waiting = [lane for lane in self.lanes if lane.waiting]
        for lane in waiting:
            paid = asked.charge if lane is own else 0
            lane.largest = max(lane.largest, asked.charge, *(each.waiting[0].charge for each in waiting))
            lane.credit = lane.saved(lane.credit + asked.charge * lane.shares.floor - paid)
            if any(each is not own for each in waiting):
                lane.excess = lane.saved(lane.excess + paid - asked.charge * lane.shares.ceiling)
        self._unline(asked)
        if not own.shares.serial:
            self._pass_on(asked)
        self.level -= asked.charge + ROUNDING
        self.inflight += 1
