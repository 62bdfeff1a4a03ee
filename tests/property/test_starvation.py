"""Nobody starves: each request that fits its limit is called within a time that can be computed when it comes.

The bound is one of bookkeeping and knows nothing of how a turn is decided. A lane with a floor gets that share of what
is admitted, less two of the largest charges; so at most so many tokens are admitted before the last of those that wait
before it, and these flow in within so long. A lane without one is promised nothing unless it is the first, which gets
what the floors of the others leave.
"""

from fractions import Fraction
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.specimens import candidate, ticket, verdict

pytestmark = pytest.mark.timeout(300)  # what fails is made small first

NAMES = ("first", "second", "third")
CAPACITY = 6_000
SMALLEST = 200
CHARGES = st.one_of(st.sampled_from([SMALLEST, 1_500, 5_000]), st.integers(SMALLEST, CAPACITY))
SIZES = st.lists(CHARGES, min_size=1, max_size=4)
FLOODED = st.sets(st.sampled_from(NAMES), max_size=2)
GUSTS = st.lists(
    st.tuples(st.integers(0, 90_000), st.sampled_from(NAMES), st.lists(CHARGES, min_size=1, max_size=2)), max_size=6
)
Gusts = list[tuple[int, str, list[int]]]
PERCENTS = st.tuples(*[st.one_of(st.just(0), st.integers(15, 30))] * 3)
Percents = tuple[int, ...]


class Adversary:
    """A limit, and somebody who sends whatever is worst for those who wait."""

    def __init__(self, floors: Percents, reserves: Percents, *, level: int) -> None:
        rules = [
            LaneRule(name, order, reserve * PPM // 100, floor * PPM // 100, 1_000, 1 << 30)
            for order, (name, floor, reserve) in enumerate(zip(NAMES, floors, reserves, strict=True))
        ]
        known = LevelBounds(LimitMetric.TOKENS, level, level, CAPACITY, MINUTE_MS)

        def make(limit: str, now_ms: int) -> Budget:
            left = Checkpoint(limit, now_ms, (known,), 0, 0, PPM, tolerated_burst_tokens=CAPACITY)
            return Budget(LimitBeliefs(limit, CAPACITY, None), now_ms, left)

        self.limits = Scheduler(rules, make)
        self.budget = self.limits.limit_queue("gpt", 0).budget
        self.shares = {name: Fraction(floor, 100) for name, floor in zip(NAMES, floors, strict=True)}
        self.shares["first"] = 1 - self.shares["second"] - self.shares["third"]
        self.waiting: dict[str, list[Ticket]] = {name: [] for name in NAMES}
        self.latest: dict[Ticket, int] = {}
        self.now = self.calls = 0

    def ask(self, lane: str, charge: int) -> None:
        """A request comes, and it is known when it will have been called."""
        made = ticket(candidate(charge=charge), lane=lane)
        self.waiting[lane].append(made)
        self.limits.enqueue(made, self.now)
        if share := self.shares[lane]:
            before = sum(each.charge for each in self.waiting[lane]) + 2 * CAPACITY
            paid = before / share * Fraction(SMALLEST + ROUNDING_TOKENS, SMALLEST)
            self.latest[made] = self.now + int((paid + CAPACITY) * MINUTE_MS / CAPACITY) + 1

    def call(self) -> None:
        """Whoever can be called is, and answered at once."""
        for made in self.limits.payable(self.now):
            self.limits.serve(made, self.now).reserve(made.number, made.charge, self.now)
            self.waiting[made.source.partition.lane].remove(made)
            self.calls += 1
            self.judge(made)
            self.latest.pop(made, None)
            self.budget.record_answer(made.number, self.now, verdict())

    def judge(self, made: Ticket) -> None:
        """It is not too late for it."""
        late = self.now - self.latest.get(made, self.now)
        assert late <= 0, f"{made.source.partition.lane} has waited {late} ms too long for {made.charge} tokens"

    def judge_all(self) -> None:
        """It is not too late for anybody."""
        for each in self.latest:
            self.judge(each)

    def wait(self, until: int) -> None:
        """Time passes, and calls are made."""
        while (at := self.limits.wake_at()) is not None and at <= until:
            self.now = at
            self.call()
        self.now = until
        self.call()


@pytest.mark.slow
@given(floors=PERCENTS, reserves=PERCENTS, gusts=GUSTS, flooded=FLOODED, sizes=SIZES)
def test_every_request_that_fits_is_called_within_a_bound_though_other_lanes_never_run_empty(
    floors: Percents, reserves: Percents, gusts: Gusts, flooded: set[str], sizes: list[int]
) -> None:
    world, next_sizes = Adversary(floors, reserves, level=CAPACITY), cycle(sizes)
    for after, lane, charges in gusts:
        for charge in charges:
            world.ask(lane, charge)
        world.call()
        world.wait(world.now + after)
    asked = set(world.latest)
    while asked & world.latest.keys():
        for name in sorted(flooded):
            while len(world.waiting[name]) < 2:
                world.ask(name, next(next_sizes))
        world.call()
        world.judge_all()
        if (at := world.limits.wake_at()) is not None:
            world.wait(at)


@given(
    floor=st.integers(20, 100),
    reserve=st.integers(0, 50),
    charge=st.sampled_from([1_000, 3_000, 5_000, CAPACITY]),
    size=st.integers(500, CAPACITY),
    level=st.integers(0, CAPACITY),
    pace=st.sampled_from([100, 100, 90, 70]),
)
@settings(max_examples=40)
def test_a_large_request_is_called_within_a_bound_though_a_lane_above_is_idle_in_between_and_leaves_nothing(
    *, floor: int, reserve: int, charge: int, size: int, level: int, pace: int
) -> None:
    world = Adversary((0, 0, floor), (reserve, 0, 0), level=level)
    world.ask("third", charge)
    every = (size + ROUNDING_TOKENS) * MINUTE_MS // CAPACITY * pace // 100
    while world.waiting["third"]:
        world.ask("first", size)
        world.call()
        world.wait(world.now + every)
        world.judge_all()
