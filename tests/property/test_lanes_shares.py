"""Floors and ceilings over every stretch, whatever comes: what a lane gets of the tokens admitted while it waits.

Only sums are looked at, so these say what the rules are for and not how they work. A lane that waits throughout a
stretch lacks at most its own head, which it must have earned, and its share of what goes first though it has: heads of
other lanes that are owed theirs, and whoever was called last. That is less than two of the largest charges. What a lane
takes beyond its ceiling is bounded likewise, by the head that it gives way to and one charge of its own.
"""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.units import PPM
from tests.unit.core.specimens import candidate, ticket

pytestmark = pytest.mark.timeout(300)  # what fails is made small first

NAMES = ("first", "second", "third")
Coming = list[tuple[str, int]]
CHARGES = st.one_of(st.sampled_from([10, 100, 1_000]), st.integers(1, 6_000))
COMING = st.lists(st.tuples(st.sampled_from([*NAMES, "call", "call"]), CHARGES), max_size=60)
SIZES = st.tuples(CHARGES, CHARGES, CHARGES)
Sizes = tuple[int, int, int]
ROUNDS = st.integers(0, 150)
SHARES = st.lists(st.integers(0, 33), min_size=3, max_size=3)
CEILINGS = st.tuples(st.integers(10, 100), st.integers(10, 100)).map(lambda two: [*two, 100])


def rules(floors: list[int], ceilings: list[int]) -> list[LaneRule]:
    """Three lanes; shares in percent."""
    made = [LaneRule(name, order, 0, 0, 1_000, 1 << 30) for order, name in enumerate(NAMES)]
    return [
        replace(rule, floor_ppm=floor * PPM // 100, ceiling_ppm=ceiling * PPM // 100)
        for rule, floor, ceiling in zip(made, floors, ceilings, strict=True)
    ]


class Stretch:
    """What a lane got of what was admitted since it began to wait, or since others began to wait beside it."""

    def __init__(self, share_ppm: int) -> None:
        self.share = Fraction(share_ppm, PPM)
        self.due = self.least = self.most = Fraction(0)

    def served(self, charge: int, *, own: bool) -> None:
        """Somebody was called meanwhile."""
        self.due += charge * self.share - (charge if own else 0)
        self.least, self.most = min(self.least, self.due), max(self.most, self.due)

    @property
    def lacks(self) -> Fraction:
        """What it got less than its share, over that part of the stretch that is worst."""
        return self.due - self.least

    @property
    def exceeds(self) -> Fraction:
        """What it got more."""
        return self.most - self.due


class Court:
    """The lanes, and for each what it has got in its stretch."""

    def __init__(self, lane_rules: list[LaneRule]) -> None:
        self.lanes = Lanes(lane_rules, Tenants())
        self.rules = {rule.name: rule for rule in lane_rules}
        self.waiting: dict[str, list[int]] = {name: [] for name in NAMES}
        self.floors: dict[str, Stretch] = {}
        self.ceilings: dict[str, Stretch] = {}
        self.largest = 0

    def ask(self, lane: str, charge: int) -> None:
        """A request lines up."""
        self.lanes.queue(lane).append(ticket(candidate(charge=charge), lane=lane))
        self.waiting[lane].append(charge)
        self.largest = max(self.largest, charge)
        self.begin()

    def begin(self) -> None:
        """Stretches begin where they can; a ceiling is one only while somebody without waits below."""
        for name, rule in self.rules.items():
            if self.waiting[name]:
                self.floors.setdefault(name, Stretch(rule.floor_ppm))
                if self.waiting["third"] and name != "third":
                    self.ceilings.setdefault(name, Stretch(rule.ceiling_ppm))

    def call(self) -> str | None:
        """Whose turn it is, is called; its lane."""
        pick = self.lanes.pick(0)
        if pick is None:
            assert not any(self.waiting.values()), "somebody waits and nobody is called"
            return None
        lane, charge = pick.ticket.source.partition.lane, pick.ticket.charge
        for stretches in (self.floors, self.ceilings):
            for name, stretch in stretches.items():
                stretch.served(charge, own=name == lane)
        self.lanes.serve(pick.ticket, 0)
        self.waiting[lane].remove(charge)
        self.judge()
        self.end()
        return lane

    def judge(self) -> None:
        """Nobody has got too little or too much, over any stretch up to now."""
        for name, stretch in self.floors.items():
            assert stretch.lacks <= 2 * self.largest, f"{name} lacks {stretch.lacks} of its floor"
        for name, stretch in self.ceilings.items():
            assert stretch.exceeds <= 2 * self.largest, f"{name} has {stretch.exceeds} beyond its ceiling"

    def end(self) -> None:
        """Stretches end where nobody waits any more."""
        waits = [name for name in NAMES if self.waiting[name]]
        self.floors = {name: stretch for name, stretch in self.floors.items() if name in waits}
        self.ceilings = {name: each for name, each in self.ceilings.items() if name in waits and "third" in waits}

    def play(self, coming: Coming, sizes: Sizes, rounds: int) -> None:
        """Let requests come as they will; from then on all lanes wait throughout."""
        for lane, charge in coming:
            self.call() if lane == "call" else self.ask(lane, charge)
        for lane, size in zip(NAMES, sizes, strict=True):
            self.ask(lane, size)
        for _ in range(rounds):
            called = self.call()
            assert called is not None
            self.ask(called, sizes[NAMES.index(called)])


@pytest.mark.slow
@given(floors=SHARES, coming=COMING, sizes=SIZES, rounds=ROUNDS)
def test_a_lane_that_waits_gets_its_floor_over_every_stretch(
    floors: list[int], coming: Coming, sizes: Sizes, rounds: int
) -> None:
    Court(rules(floors, [100, 100, 100])).play(coming, sizes, rounds)


@pytest.mark.slow
@given(floors=SHARES, ceilings=CEILINGS, coming=COMING, sizes=SIZES, rounds=ROUNDS)
def test_a_lane_gets_no_more_than_its_ceiling_over_every_stretch_in_which_a_lane_below_waits(
    floors: list[int], ceilings: list[int], coming: Coming, sizes: Sizes, rounds: int
) -> None:
    floors = [min(floor, ceiling) for floor, ceiling in zip(floors, ceilings, strict=True)]
    Court(rules(floors, ceilings)).play(coming, sizes, rounds)
