"""Calls sent just before a mark of two counters, while the delay by which they may be late is being learned."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import TOKENS
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.two_counters import RECOUNTED_PARTS, TwoCounterMirror
from tests.unit.core.counters import hearing

PERIOD, LIMIT = 60_000, 60_000


@pytest.mark.parametrize(
    ("delay_ms", "left"),
    [
        (DELAY_MAX_MS // RECOUNTED_PARTS + 1, 0),
        (DELAY_MAX_MS // RECOUNTED_PARTS, LIMIT // 2),
    ],
)
def test_a_shorter_delay_returns_calls_to_the_former_window_in_which_they_count(delay_ms: int, left: int) -> None:
    """Before: what was sent within a second before a mark came back a window late (seed 92001)."""
    sends = SentCalls()
    mirror = TwoCounterMirror(TOKENS, LIMIT, PERIOD, 0, sends, mark_ms=PERIOD)
    for sent_ms, tokens in ((PERIOD - 600, LIMIT - 1_000), (PERIOD + 1_000, 998)):
        number = sends.append(sent_ms, tokens)
        mirror.pay(tokens, number, sent_ms)
    half_ms = PERIOD + PERIOD // 2
    assert mirror.low(half_ms) <= 0
    mirror.observe(500, hearing(sends, number, PERIOD + 3_000, delay_ms), sends)
    assert mirror.low(half_ms) == pytest.approx(left, abs=1_100)


def test_calls_are_counted_again_by_their_present_prices_and_only_those_that_may_matter() -> None:
    sends = SentCalls()
    mirror = TwoCounterMirror(TOKENS, LIMIT, PERIOD, 0, sends, mark_ms=PERIOD)
    for sent_ms, tokens in ((100, 7_000), (PERIOD + 500, 5_000), (3 * PERIOD - 1_000, 3_000), (3 * PERIOD, 2_000)):
        number = sends.append(sent_ms, tokens)
        mirror.pay(tokens, number, sent_ms)
    sends.strike(number - 1)
    mirror.refund(3_000, number - 1, 3 * PERIOD)
    mirror.observe(58_000, hearing(sends, number, 3 * PERIOD + 1_000, 100), sends)
    assert set(mirror._most._counts) == {1, 2}
    assert sum(mirror._most._counts.values()) == 2_000 + 2 * charge_rounding(TOKENS)
    assert mirror._long is mirror._most


def test_a_delay_that_has_grown_is_learned_to_be_short_again() -> None:
    sends = SentCalls()
    mirror = TwoCounterMirror(TOKENS, LIMIT, PERIOD, 0, sends, mark_ms=PERIOD)
    late_ms = []
    for call, delay_ms in enumerate((120, 960, 120)):
        number = sends.append(1_000 * call, 1_000)
        mirror.pay(1_000, number, 1_000 * call)
        mirror.observe(LIMIT - 1_000 * (call + 1), hearing(sends, number, 1_000 * call + 20, delay_ms), sends)
        late_ms.append(mirror._counted_ms)
    assert late_ms == [120, 960, 120]


def test_calls_that_are_forgotten_are_not_left_out_when_the_others_are_counted_again() -> None:
    sends = SentCalls()
    mirror = TwoCounterMirror(TOKENS, 1_000_000, PERIOD, 0, sends, mark_ms=PERIOD)
    for call in range(9_000):
        number = sends.append(6 * call, 100)
        mirror.pay(100, number, 6 * call)
    assert sends.forgotten
    before = mirror.low(54_000)
    mirror.observe(100_000, hearing(sends, number, 54_000, 120), sends)
    assert mirror.low(54_000) <= before
