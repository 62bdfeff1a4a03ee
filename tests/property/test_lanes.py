"""The lanes of a limit against their model: who is called, in which order, at which instant.

The model shares no code with the core. Whatever comes in whatever order, whoever can pay by the rules is called at that
very instant, nobody else is, and the core asks to be woken before the next one can.
"""

from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.core.units import PPM
from tests.property.lanes_model import Asked, Model, Shares
from tests.unit.core.specimens import FAR_MS, candidate, ticket, verdict

pytestmark = pytest.mark.timeout(300)  # what fails is made small first

NAMES = ("first", "second", "third")
CAPACITY = 6_000
TENTHS = st.integers(0, 3).map(lambda tenths: Fraction(tenths, 10))
CHARGES = st.one_of(st.sampled_from([10, 100, 1_000]), st.integers(1, CAPACITY))


@st.composite
def shares(draw: st.DrawFn, name: str) -> Shares:
    ceiling = draw(st.sampled_from([Fraction(1), Fraction(1), Fraction(1, 2), Fraction(1, 5)]))
    return Shares(name, draw(TENTHS), draw(TENTHS), ceiling, serial=draw(st.booleans()))


def ppm(share: Fraction) -> int:
    return int(share * PPM)


class Play(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.asked: dict[Ticket, Asked] = {}
        self.tickets: dict[Asked, Ticket] = {}
        self.calls: list[Asked] = []
        self.ended: list[Asked] = []

    @initialize(lanes=st.tuples(*map(shares, NAMES)), places=st.sampled_from([None, None, 1, 4, 10]))
    def start(self, lanes: tuple[Shares, ...], places: int | None) -> None:
        rules = [
            LaneRule(
                each.name,
                order,
                ppm(each.reserve),
                ppm(each.floor),
                buffer_max=1_000,
                buffer_bytes_max=1 << 30,
                ceiling_ppm=ppm(each.ceiling),
                serial=each.serial,
            )
            for order, each in enumerate(lanes)
        ]
        full = LevelBounds(LimitMetric.TOKENS, CAPACITY, CAPACITY, CAPACITY, MINUTE_MS)

        def make(limit: str, now_ms: int) -> Budget:
            left = Checkpoint(limit, now_ms, (full,), 0, 0, PPM, tolerated_burst_tokens=CAPACITY)
            return Budget(LimitBeliefs(limit, CAPACITY, None, inflight_max=places), now_ms, left)

        self.limits = Scheduler(rules, make)
        self.limits.limit_queue("gpt", 0)
        self.model = Model(lanes, CAPACITY, MINUTE_MS, places)

    # ------------------------------------------------------------------ what may happen

    @rule(
        lane=st.sampled_from(NAMES),
        charge=CHARGES,
        deadline=st.sampled_from([0, 0, 0, 1, 2]),
        key=st.sampled_from(["", "", "k", "l"]),
        times=st.sampled_from([1, 1, 3]),
    )
    def ask(self, lane: str, charge: int, deadline: int, key: str, times: int) -> None:
        for _ in range(times):
            content = candidate(charge=charge, deadline_ms=FAR_MS + deadline, order=key.encode())
            asked, made = Asked(len(self.asked), lane, charge, deadline, key), ticket(content, lane=lane)
            self.asked[made], self.tickets[asked] = asked, made
            self.limits.enqueue(made, self.now)
            self.model.ask(asked)
        self.call()

    @rule(ms=st.one_of(st.integers(1, 500), st.integers(1, 2 * MINUTE_MS)))
    def wait(self, ms: int) -> None:
        until = self.now + ms
        while (at := self.limits.wake_at()) is not None and at <= until:
            assert at > self.now
            self.now = at
            self.model.until(at)
            self.call()
        self.now = until
        self.model.until(until)
        self.call()

    @rule(lane=st.sampled_from(NAMES), charge=CHARGES, ms=st.integers(5_000, 30_000), times=st.integers(2, 8))
    def trickle(self, lane: str, charge: int, ms: int, times: int) -> None:
        for _ in range(times):
            self.ask(lane, charge, deadline=0, key="", times=1)
            self.wait(ms)

    @precondition(lambda self: any(True for _ in self.model.waits()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = sorted(self.model.waits(), key=lambda asked: asked.number)
        asked = data.draw(st.sampled_from(waiting))
        self.limits.withdraw(self.tickets[asked], self.now)
        self.model.leave(asked)
        self.call()

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), again=st.booleans())
    def answer(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 — drawn by name
        asked = data.draw(st.sampled_from(self.calls))
        made = self.tickets[asked]
        self.calls.remove(asked)
        self.limits.limit_queue("gpt", self.now).budget.record_answer(made.number, self.now, verdict())
        self.model.inflight -= 1
        if again:
            made.state = State.WAITING
            self.limits.enqueue(made, self.now, front=True)
            self.model.come_back(asked)
        else:
            self.ended.append(asked)
            made.state = State.SETTLED
            self.limits.withdraw(made, self.now)
            self.model.leave(asked)
        self.call()

    # ------------------------------------------------------------------ what must hold

    def call(self) -> None:
        """Everybody who may be called is, in the model's order, and the next one at the model's instant."""
        for made in self.limits.payable(self.now):
            assert self.model.due() == (self.asked[made], self.now)
            made.state = State.CALLING
            self.limits.serve(made, self.now).reserve(made.number, made.charge, self.now)
            self.model.call(self.asked[made])
            self.calls.append(self.asked[made])
        due = self.model.due()
        woken = self.limits.wake_at()
        if due is None:
            assert woken is None
        else:
            assert due[1] > self.now, "somebody can pay and is not called"
            assert woken is not None
            assert self.now < woken <= due[1], "the next one's instant is slept through"

    @invariant()
    def as_many_wait_as_in_the_model(self) -> None:
        if hasattr(self, "model"):
            assert self.limits.waiting() == sum(len(lane.waiting) for lane in self.model.lanes)


def test_a_head_below_leaves_the_reserve_untouched_though_nothing_was_sent_for_long() -> None:
    """What seed 211 has come down to. Before, 25 s without a call were a doubt, and it was called without a reserve."""
    whole = Fraction(1)
    lanes = [
        Shares(name, Fraction(tenths, 10), Fraction(0), whole) for name, tenths in zip(NAMES, (3, 2, 0), strict=True)
    ]
    play = Play()
    play.start(tuple(lanes), None)
    play.wait(1_000)
    play.ask("first", CAPACITY - 2, 0, "", 1)
    play.ask("third", 10, 0, "", 1)
    play.wait(26_000)
    play.ask("third", 10, 0, "", 1)
    play.wait(MINUTE_MS)
    assert len(play.calls) == 3


class PlayAtLength(Play):
    """The same with more examples, for `make test-long`."""


TestPlay = pytest.mark.slow(Play.TestCase)
TestPlay.settings = settings(max_examples=75, stateful_step_count=40)
TestPlayAtLength = pytest.mark.long(pytest.mark.slow(PlayAtLength.TestCase))
TestPlayAtLength.settings = settings(max_examples=150, stateful_step_count=40)
