"""A budget that knows its leeway pays what one pays that asks every bucket each time, and nothing else.

Two budgets live through the same events, whatever the server says. One of them is told before each question to pause
until now, which changes nothing but that its leeway is void.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, SECOND_MS, LimitMetric, Reading, Snapshot
from headrace.broker.core.answers.verdict import Meaning, Verdict, success
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

CAPACITY = 60_000
REQUESTS = 20
SETTINGS = (
    LimitBeliefs("m", CAPACITY, REQUESTS),
    LimitBeliefs("m", None, None),
    LimitBeliefs("m", CAPACITY, None, cap_tokens=5_000),
    LimitBeliefs("m", CAPACITY, None, inflight_max=2),
    LimitBeliefs("m", CAPACITY, None, burst_ms=2_000),
    LimitBeliefs("m", CAPACITY, REQUESTS, tokens_per_day=70_000),
    LimitBeliefs("m", CAPACITY, None, refusals_charged=True),
)
LAWS = (Law.CHAT_LEGACY, Law.CHAT_2025, Law.USAGE)


class Twins:
    """Two budgets, of which the second has no leeway."""

    def __init__(self, settings: LimitBeliefs, left: int | None, borne: int) -> None:
        checkpoint = None
        if left is not None:
            level = LevelBounds(LimitMetric.TOKENS, left, CAPACITY, CAPACITY, MINUTE_MS)
            checkpoint = Checkpoint("m", 0, (level,), 0, 0, PPM, tolerated_burst_tokens=borne)
        self.both = Budget(settings, 0, checkpoint), Budget(settings, 0, checkpoint)
        self.open: list[int] = []
        self.attempts = self.now_ms = 0

    def ask(self, prices: Prices, reserved_ppm: int) -> None:
        charges = {budget.tariff.price(prices) for budget in self.both}
        assert len(charges) == 1
        (charge,) = charges
        self.both[1].pause_until(self.now_ms)
        one, other = (budget.payable_at(charge, self.now_ms, reserved_ppm=reserved_ppm) for budget in self.both)
        assert one == other
        if one is not None and one <= self.now_ms:
            self.attempts += 1
            self.open.append(self.attempts)
            for budget in self.both:
                budget.reserve(self.attempts, charge, self.now_ms, prices=prices)
        assert self.both[0].levels(self.now_ms) == self.both[1].levels(self.now_ms)

    def hear(self, verdict: Verdict, usage: TokenUsage | None) -> None:
        attempt = self.open.pop(0)
        for budget in self.both:
            budget.record_answer(attempt, self.now_ms, verdict, usage)


def told(data: st.DataObject, twins: Twins) -> Verdict:
    """An answer that agrees with what is believed, more or less, or a refusal."""
    levels = {level.metric: level for level in reversed(twins.both[0].levels(twins.now_ms))}
    tokens = levels[LimitMetric.TOKENS].low if LimitMetric.TOKENS in levels else CAPACITY
    capacity = data.draw(st.sampled_from([CAPACITY] * 8 + [CAPACITY // 2]))
    left = max(0, min(capacity, tokens + data.draw(st.sampled_from([0] * 6 + [-4_000, -50, 50, 5_000]))))
    if data.draw(st.sampled_from([False] * 9 + [True])):
        snapshot = Snapshot(
            LimitMetric.TOKENS, MINUTE_MS, capacity, capacity - left, data.draw(st.integers(1, 900)), None, 9
        )
        stated = data.draw(st.sampled_from([None, snapshot]))
        return Verdict(Meaning.RATE_LIMITED, True, 10, (), stated, False, "No.")
    period_ms = data.draw(st.sampled_from([MINUTE_MS] * 6 + [SECOND_MS, DAY_MS, None]))
    shown = Reading(LimitMetric.TOKENS, capacity, left, period_ms, 10 + (capacity - left) * MINUTE_MS // capacity)
    spent = Reading(LimitMetric.REQUESTS, REQUESTS, data.draw(st.integers(0, REQUESTS)), MINUTE_MS)
    return success(200, data.draw(st.sampled_from([(), (shown,), (shown,), (shown, spent)])))


@pytest.mark.slow
@given(data=st.data(), settings=st.sampled_from(SETTINGS), borne=st.sampled_from([0, 3_000, CAPACITY]))
def test_leeway_never_changes_when_a_call_may_leave(data: st.DataObject, settings: LimitBeliefs, borne: int) -> None:
    twins = Twins(settings, data.draw(st.sampled_from([None, 10_000, CAPACITY])), borne)
    for _ in range(data.draw(st.integers(1, 40))):
        twins.now_ms += data.draw(st.sampled_from([0, 0, 0, 7, 400, 4_000]))
        if twins.open and data.draw(st.sampled_from([0, 1])):
            usage = data.draw(st.sampled_from([None, TokenUsage(100, 50)]))
            twins.hear(told(data, twins), usage)
        tokens = data.draw(st.integers(1, 1_500))
        prices = Prices("chat.completions", LAWS, (2 * tokens, tokens, tokens // 2 + 1))
        twins.ask(prices, data.draw(st.sampled_from([0, 50_000])))
