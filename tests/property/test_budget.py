"""A budget against a tiny server of its own, in any order of events that the world allows.

The assumptions: a call reaches the server within `DELAY_MIN_MS`, and at once while the server is full; its charge
differs from ours by at most the rounding; nobody else spends; the checkpoint was true. Then the lower end is never
above the truth, so the server never has to refuse; and whatever happens, a reservation ends once, a pause is never
shortened, and what may not pay takes nothing.
"""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Answer, judge
from headrace.broker.core.budget.admission_delay import DELAY_MIN_MS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.units import PPM, ROUNDING_TOKENS

CAPACITY = 6_000
OVERLOADED = judge(Answer(503, {"retry-after": "1"}, None, None, None, ""))


@dataclass
class Call:
    attempt: int
    sent_ms: int
    charge: int
    answer: Answer | None = None  # None: still on its way to the server


class Play(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.truth = Fraction(0)
        self.calls: list[Call] = []
        self.ended: list[int] = []
        self.attempts = 0
        self.paused_until = 0

    @initialize(level=st.integers(0, CAPACITY), known=st.integers(0, CAPACITY), inflight=st.sampled_from([None, 3]))
    def begin(self, level: int, known: int, inflight: int | None) -> None:
        self.start(level, known, inflight)

    def start(self, level: int, known: int, inflight: int | None) -> None:
        self.truth = Fraction(level)
        left = LevelBounds(LimitMetric.TOKENS, min(level, known), CAPACITY, CAPACITY, MINUTE_MS)
        self.budget = Budget(
            LimitBeliefs("m", CAPACITY, None, inflight_max=inflight), 0, Checkpoint("m", 0, (left,), 0, 0, PPM)
        )

    def arrive(self, call: Call) -> None:
        assert self.truth >= call.charge, "the server would have refused a call that the budget let through"
        self.truth -= call.charge
        headers = {
            "x-ratelimit-limit-tokens": str(CAPACITY),
            "x-ratelimit-remaining-tokens": str(int(self.truth)),
            "x-ratelimit-reset-tokens": f"{int((CAPACITY - self.truth) * MINUTE_MS / CAPACITY)}ms",
        }
        call.answer = Answer(200, headers, None, None, None, "")

    def tick(self, ms: int) -> None:
        while coming := [call for call in self.calls if call.answer is None]:
            full_in = int((CAPACITY - self.truth) * MINUTE_MS / CAPACITY)
            if full_in > ms:
                break
            self.refill(full_in)
            self.arrive(coming[0])
            ms -= full_in
        self.refill(ms)

    def refill(self, ms: int) -> None:
        self.now += ms
        self.truth = min(Fraction(CAPACITY), self.truth + Fraction(ms * CAPACITY, MINUTE_MS))

    @rule(ms=st.one_of(st.integers(0, 300), st.integers(0, 40_000)))
    def wait(self, ms: int) -> None:
        self.pass_ms(ms)

    def pass_ms(self, ms: int) -> None:
        until = self.now + ms
        while due := [call for call in self.calls if call.answer is None and call.sent_ms + DELAY_MIN_MS <= until]:
            latest = min(due, key=lambda call: call.sent_ms)
            self.tick(latest.sent_ms + DELAY_MIN_MS - self.now)
            if latest.answer is None:
                self.arrive(latest)
        self.tick(until - self.now)

    @rule(
        charge=st.integers(1, 2_500),
        error=st.integers(-ROUNDING_TOKENS, ROUNDING_TOKENS),
        reserved_ppm=st.sampled_from([0, 50_000]),
    )
    def send(self, charge: int, error: int, reserved_ppm: int) -> None:
        self.spend(charge, error, reserved_ppm)

    def spend(self, charge: int, error: int, reserved_ppm: int) -> None:
        at = self.budget.payable_at(charge, self.now, reserved_ppm=reserved_ppm)
        assert at is None or at >= max(self.now, self.paused_until)
        if at == self.now:
            self.attempts += 1
            self.budget.reserve(self.attempts, charge, self.now)
            self.calls.append(Call(self.attempts, self.now, max(1, charge + error)))
            self.tick(0)

    @rule(charge=st.integers(1, 2_500))
    def force(self, charge: int) -> None:
        at = self.budget.payable_at(charge, self.now)
        if at is None or at > self.now:
            before = self.budget.checkpoint(self.now)
            with pytest.raises(AssertionError):
                self.budget.reserve(10**9, charge, self.now)
            assert self.budget.checkpoint(self.now) == before

    @precondition(lambda self: any(call.answer is None for call in self.calls))
    @rule(data=st.data())
    def reach(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.sampled_from([call for call in self.calls if call.answer is None])))

    @precondition(lambda self: any(call.answer is not None for call in self.calls))
    @rule(data=st.data(), lost=st.sampled_from(["answered", "answered", "answered", "lost", "overloaded"]))
    def answer(self, data: st.DataObject, lost: str) -> None:
        call = data.draw(st.sampled_from([call for call in self.calls if call.answer is not None]))
        assert call.answer is not None
        self.calls.remove(call)
        self.ended.append(call.attempt)
        if lost == "lost":
            self.budget.abandon(call.attempt, self.now)
        elif lost == "overloaded":
            self.budget.record_answer(call.attempt, self.now, OVERLOADED)
            self.paused_until = max(self.paused_until, self.now + 1_000)
        else:
            self.budget.record_answer(call.attempt, self.now, judge(call.answer))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def end_twice(self, data: st.DataObject) -> None:
        with pytest.raises(KeyError):
            self.budget.abandon(data.draw(st.sampled_from(self.ended)), self.now)

    @rule(ms=st.integers(0, 3_000))
    def pause(self, ms: int) -> None:
        self.budget.pause_until(self.now + ms)
        self.paused_until = max(self.paused_until, self.now + ms)

    @invariant()
    def the_interval_holds_the_truth(self) -> None:
        if not hasattr(self, "budget"):
            return
        (level,) = self.budget.levels(self.now)
        coming = sum(call.charge for call in self.calls if call.answer is None)
        assert level.low <= self.truth - coming
        assert self.truth - coming <= level.high + 1
        assert level.low <= level.high <= CAPACITY

    @invariant()
    def every_call_without_an_end_is_in_flight(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.inflight == len(self.calls)
            assert self.budget.corrections == 0


TestPlay = pytest.mark.slow(Play.TestCase)
TestPlay.settings = settings(deadline=None, max_examples=20, stateful_step_count=30)


@pytest.mark.parametrize(
    ("level", "known", "charge"),
    [(2_405, 3, 1), (2_405, 3, 2_500), (5_000, 3, 2_500), (5_000, 5_000, 2_500)],
)
def test_an_answer_of_before_the_server_was_full_hides_nothing_that_was_spent_since(
    level: int, known: int, charge: int
) -> None:
    """The first call takes so long that the server is full meanwhile: refills were counted upon that never came."""
    play = Play()
    play.start(level, known, None)
    play.spend(1, 0, 0)
    (first,) = play.calls
    play.pass_ms(36_870)
    play.spend(charge, 0, 0)
    assert len(play.calls) == 2
    assert first.answer is not None
    play.calls.remove(first)
    play.budget.record_answer(first.attempt, play.now, judge(first.answer))
    play.the_interval_holds_the_truth()
    play.every_call_without_an_end_is_in_flight()
